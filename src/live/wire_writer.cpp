// JSON and MessagePack output.
#include "live/wire_writer.h"

#include <simdjson.h>

#include <cmath>
#include <cstring>

#include "types/convert.h"

namespace kalam::live {
namespace {

/// The content of a cell that JSON shows as a string without characters to escape: numbers as text,
/// UUIDs.
std::string PlainText(const Datum& cell, const DataType& type) {
  std::string quoted;
  AppendCellJson(cell, type, &quoted);
  if (quoted.size() >= 2 && quoted.front() == '"') return quoted.substr(1, quoted.size() - 2);
  return quoted;
}

/// Text with each malformed UTF-8 sequence replaced, as the JSON side does.
std::string ReplaceMalformed(std::string_view text) {
  std::string out;
  size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (i + size <= text.size() && simdjson::validate_utf8(text.data() + i, size)) {
      out += text.substr(i, size);
      i += size;
    } else {
      out += "\xef\xbf\xbd";
      ++i;
    }
  }
  return out;
}

}  // namespace

void WireWriter::BeforeValue() {
  if (msgpack_) return;
  if (after_key_) {
    after_key_ = false;
    return;
  }
  const uint64_t bit = uint64_t{1} << (depth_ & 63);
  if (depth_ > 0 && (has_entry_ & bit) != 0) out_.push_back(',');
  has_entry_ |= bit;
}

void WireWriter::AfterOpen() {
  ++depth_;
  has_entry_ &= ~(uint64_t{1} << (depth_ & 63));
}

void WireWriter::PackBigEndian(uint64_t value, int width) {
  for (int shift = 8 * (width - 1); shift >= 0; shift -= 8) {
    out_.push_back(static_cast<char>(value >> shift));
  }
}

/// The head of a map or array: small counts in the tag, else 16 or 32 bits (the 32-bit tag follows
/// the 16-bit one).
void WireWriter::PackHead(uint8_t fix, uint32_t fix_max, uint8_t tag16, uint32_t count) {
  if (count <= fix_max) {
    out_.push_back(static_cast<char>(fix | count));
  } else if (count <= 0xffff) {
    out_.push_back(static_cast<char>(tag16));
    PackBigEndian(count, 2);
  } else {
    out_.push_back(static_cast<char>(tag16 + 1));
    PackBigEndian(count, 4);
  }
}

void WireWriter::BeginMap(uint32_t entry_count) {
  BeforeValue();
  AfterOpen();
  if (msgpack_) {
    PackHead(0x80, 15, 0xde, entry_count);
  } else {
    out_.push_back('{');
  }
}

void WireWriter::EndMap() {
  --depth_;
  if (!msgpack_) out_.push_back('}');
}

void WireWriter::BeginArray(uint32_t count) {
  BeforeValue();
  AfterOpen();
  if (msgpack_) {
    PackHead(0x90, 15, 0xdc, count);
  } else {
    out_.push_back('[');
  }
}

void WireWriter::EndArray() {
  --depth_;
  if (!msgpack_) out_.push_back(']');
}

size_t WireWriter::BeginOpenArray() {
  BeforeValue();
  AfterOpen();
  const size_t mark = out_.size();
  if (msgpack_) {
    out_.push_back(static_cast<char>(0xdd));
    PackBigEndian(0, 4);
  } else {
    out_.push_back('[');
  }
  return mark;
}

void WireWriter::EndOpenArray(size_t mark, uint32_t count) {
  EndArray();
  if (!msgpack_) return;
  for (int i = 0; i < 4; ++i) out_[mark + 1 + i] = static_cast<char>(count >> (24 - 8 * i));
}

void WireWriter::Key(std::string_view name) {
  if (msgpack_) {
    Text(name);
    return;
  }
  BeforeValue();
  AppendJsonString(name, &out_);
  out_.push_back(':');
  after_key_ = true;
}

void WireWriter::Text(std::string_view text) {
  BeforeValue();
  if (!msgpack_) {
    AppendJsonString(text, &out_);
    return;
  }
  if (!simdjson::validate_utf8(text.data(), text.size())) {
    Text(ReplaceMalformed(text));
    return;
  }
  const auto size = static_cast<uint32_t>(text.size());
  if (size > 31 && size <= 0xff) {
    out_.push_back(static_cast<char>(0xd9));
    out_.push_back(static_cast<char>(size));
  } else {
    PackHead(0xa0, 31, 0xda, size);
  }
  Raw(text);
}

void WireWriter::Integer(int64_t value) {
  BeforeValue();
  if (!msgpack_) {
    out_ += std::to_string(value);
  } else if (value >= -32 && value <= 127) {
    out_.push_back(static_cast<char>(value));
  } else if (value >= INT32_MIN && value <= INT32_MAX) {
    out_.push_back(static_cast<char>(0xd2));
    PackBigEndian(static_cast<uint64_t>(value), 4);
  } else {
    out_.push_back(static_cast<char>(0xd3));
    PackBigEndian(static_cast<uint64_t>(value), 8);
  }
}

void WireWriter::Boolean(bool value) {
  BeforeValue();
  if (msgpack_) {
    out_.push_back(static_cast<char>(value ? 0xc3 : 0xc2));
  } else {
    out_ += value ? "true" : "false";
  }
}

void WireWriter::Null() {
  BeforeValue();
  if (msgpack_) {
    out_.push_back(static_cast<char>(0xc0));
  } else {
    out_ += "null";
  }
}

void WireWriter::Double(double value) {
  if (!std::isfinite(value)) {
    Null();
    return;
  }
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  out_.push_back(static_cast<char>(0xcb));
  PackBigEndian(bits, 8);
}

void WireWriter::Cell(const Datum& cell, const DataType& type) {
  if (!msgpack_) {
    BeforeValue();
    AppendCellJson(cell, type, &out_);
    return;
  }
  if (cell.is_null) {
    Null();
    return;
  }
  switch (type.kind) {
    case TypeKind::kBoolean:
      return Boolean(cell.boolean());
    case TypeKind::kSmallInt:
    case TypeKind::kInt:
    case TypeKind::kTimestamp:
    case TypeKind::kDateTime:
    case TypeKind::kDate:
    case TypeKind::kTime:
      return Integer(cell.i);
    case TypeKind::kFloat:
    case TypeKind::kDouble:
      return Double(cell.d);
    case TypeKind::kText:
    case TypeKind::kJson:
    case TypeKind::kFile:
      return Text(cell.text());
    case TypeKind::kBytes:
      BeginArray(cell.size);
      for (char byte : cell.text()) Integer(static_cast<unsigned char>(byte));
      return EndArray();
    case TypeKind::kEmbedding:
      BeginArray(cell.size / sizeof(float));
      for (size_t at = 0; at + sizeof(float) <= cell.size; at += sizeof(float)) {
        float element;
        std::memcpy(&element, cell.data + at, sizeof(element));
        Double(static_cast<double>(element));
      }
      return EndArray();
    default:
      return Text(PlainText(cell, type));
  }
}

void WireWriter::TypeName(const DataType& type) {
  if (!msgpack_) {
    BeforeValue();
    Raw(WireJson(type));
  } else if (type.kind == TypeKind::kEmbedding) {
    BeginMap(1);
    Key("Embedding");
    Integer(type.dimension);
    EndMap();
  } else if (type.kind == TypeKind::kDecimal) {
    BeginMap(1);
    Key("Decimal");
    BeginMap(2);
    Key("precision");
    Integer(type.precision);
    Key("scale");
    Integer(type.scale);
    EndMap();
    EndMap();
  } else {
    const std::string quoted = WireJson(type);
    Text(std::string_view(quoted).substr(1, quoted.size() - 2));
  }
}

}  // namespace kalam::live
