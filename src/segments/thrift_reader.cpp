// The compact protocol's integers, lists and what is skipped.
#include "segments/thrift_reader.h"

#include "types/row_codec.h"

namespace kalam::segments {
namespace {

constexpr int kDepthMax = 16;
constexpr size_t kDoubleBytes = 8;

}  // namespace

uint8_t ThriftReader::Byte() {
  if (rest_.empty()) ok_ = false;
  if (!ok_) return 0;
  const auto byte = static_cast<uint8_t>(rest_.front());
  rest_.remove_prefix(1);
  return byte;
}

uint64_t ThriftReader::Varint() {
  uint64_t value = 0;
  if (ok_ && !GetVarint(&rest_, &value)) ok_ = false;
  return ok_ ? value : 0;
}

int64_t ThriftReader::Integer() {
  const uint64_t value = Varint();
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

std::string_view ThriftReader::Binary() {
  const uint64_t size = Varint();
  if (size > rest_.size()) ok_ = false;
  if (!ok_) return {};
  const std::string_view bytes = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return bytes;
}

bool ThriftReader::NextField(int16_t* id, Type* type) {
  const uint8_t header = Byte();
  *type = static_cast<Type>(header & 0x0F);
  if (!ok_ || *type == kStop) return false;
  if (*type > kStruct) {
    ok_ = false;
    return false;
  }
  const int delta = header >> 4;
  *id = static_cast<int16_t>(delta == 0 ? Integer() : *id + delta);
  return ok_;
}

size_t ThriftReader::ListHeader(Type* type) {
  const uint8_t header = Byte();
  *type = static_cast<Type>(header & 0x0F);
  const uint64_t size = (header >> 4) == 15 ? Varint() : header >> 4;
  // Every element takes a byte at least.
  if (size > rest_.size()) ok_ = false;
  return ok_ ? static_cast<size_t>(size) : 0;
}

size_t ThriftReader::ListBegin(Type type) {
  Type found = kStop;
  const size_t size = ListHeader(&found);
  if (size > 0 && found != type) ok_ = false;
  return ok_ ? size : 0;
}

void ThriftReader::SkipElements(Type type, size_t count, int depth) {
  for (; count > 0 && ok_; --count) {
    if (type == kTrue || type == kFalse) {
      Byte();  // in a list a boolean is a byte of its own
    } else {
      Skip(type, depth);
    }
  }
}

void ThriftReader::Skip(Type type, int depth) {
  if (depth > kDepthMax) ok_ = false;
  if (!ok_) return;
  switch (type) {
    case kTrue:
    case kFalse:
      return;
    case kByte:
      Byte();
      return;
    case kInt16:
    case kInt32:
    case kInt64:
      Varint();
      return;
    case kDouble:
      if (rest_.size() < kDoubleBytes) {
        ok_ = false;
      } else {
        rest_.remove_prefix(kDoubleBytes);
      }
      return;
    case kBinary:
      Binary();
      return;
    case kList:
    case kSet: {
      Type element = kStop;
      const size_t count = ListHeader(&element);
      SkipElements(element, count, depth + 1);
      return;
    }
    case kMap: {
      const uint64_t count = Varint();
      if (count > rest_.size()) ok_ = false;
      if (!ok_ || count == 0) return;
      const uint8_t types = Byte();
      for (uint64_t i = 0; i < count && ok_; ++i) {
        SkipElements(static_cast<Type>(types >> 4), 1, depth + 1);
        SkipElements(static_cast<Type>(types & 0x0F), 1, depth + 1);
      }
      return;
    }
    case kStruct: {
      int16_t id = 0;
      Type field = kStop;
      while (NextField(&id, &field)) Skip(field, depth + 1);
      return;
    }
    default:
      ok_ = false;
  }
}

}  // namespace kalam::segments
