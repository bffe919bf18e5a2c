// Parsing and checking of Parquet footers.
#include "segments/parquet_footer.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "segments/thrift_reader.h"

namespace kalam::segments {
namespace {

constexpr size_t kColumnsMax = 10'000;
constexpr int64_t kFixedWidthMax = 1 << 20;
constexpr int64_t kRowGroupRowsMax = 1 << 24;

enum Repetition : uint8_t { kRequired = 0, kOptional = 1, kRepeated = 2 };

Status Bad(std::string_view what) {
  return Status(ErrorKind::Corruption, "its footer " + std::string(what));
}

struct SchemaElement {
  bool is_leaf = false;
  int64_t type = 0;
  int64_t width = 0;
  int64_t repetition = kRequired;
  int64_t child_count = 0;
  int64_t field_id = 0;
  std::string_view name;
};

SchemaElement ReadSchemaElement(ThriftReader& reader) {
  SchemaElement element;
  reader.Struct([&](int16_t id, ThriftReader::Type type) {
    switch (id) {
      case 1:
        element.is_leaf = true;
        element.type = reader.Integer();
        return true;
      case 2:
        element.width = reader.Integer();
        return true;
      case 3:
        element.repetition = reader.Integer();
        return true;
      case 4:
        if (type != ThriftReader::kBinary) return false;
        element.name = reader.Binary();
        return true;
      case 5:
        element.child_count = reader.Integer();
        return true;
      case 9:
        element.field_id = reader.Integer();
        return true;
      default:
        return false;
    }
  });
  return element;
}

struct RawChunk {
  int64_t codec = 0;
  int64_t value_count = 0;
  int64_t size = 0;
  int64_t data_offset = -1;
  int64_t dictionary_offset = -1;
};

RawChunk ReadColumnMetadata(ThriftReader& reader) {
  RawChunk chunk;
  reader.Struct([&](int16_t id, ThriftReader::Type) {
    switch (id) {
      case 4:
        chunk.codec = reader.Integer();
        return true;
      case 5:
        chunk.value_count = reader.Integer();
        return true;
      case 7:
        chunk.size = reader.Integer();
        return true;
      case 9:
        chunk.data_offset = reader.Integer();
        return true;
      case 11:
        chunk.dictionary_offset = reader.Integer();
        return true;
      default:
        return false;
    }
  });
  return chunk;
}

RawChunk ReadColumnChunk(ThriftReader& reader) {
  RawChunk chunk;
  reader.Struct([&](int16_t id, ThriftReader::Type type) {
    if (id != 3 || type != ThriftReader::kStruct) return false;
    chunk = ReadColumnMetadata(reader);
    return true;
  });
  return chunk;
}

struct RawRowGroup {
  int64_t row_count = 0;
  std::vector<RawChunk> chunks;
};

RawRowGroup ReadRowGroup(ThriftReader& reader) {
  RawRowGroup group;
  reader.Struct([&](int16_t id, ThriftReader::Type type) {
    if (id == 1 && type == ThriftReader::kList) {
      reader.List(ThriftReader::kStruct, [&] { group.chunks.push_back(ReadColumnChunk(reader)); });
      return true;
    }
    if (id != 3) return false;
    group.row_count = reader.Integer();
    return true;
  });
  return group;
}

void ReadKeyValue(ThriftReader& reader, std::map<std::string, std::string>* metadata) {
  std::string_view key, value;
  reader.Struct([&](int16_t id, ThriftReader::Type type) {
    if (type != ThriftReader::kBinary || (id != 1 && id != 2)) return false;
    (id == 1 ? key : value) = reader.Binary();
    return true;
  });
  metadata->insert_or_assign(std::string(key), std::string(value));
}

struct RawFooter {
  std::vector<SchemaElement> schema;
  std::vector<RawRowGroup> row_groups;
};

bool ReadFooter(std::string_view bytes, RawFooter* raw, ParquetFooter* footer) {
  ThriftReader reader(bytes);
  reader.Struct([&](int16_t id, ThriftReader::Type type) {
    if (id == 3) {
      footer->row_count = reader.Integer();
      return true;
    }
    if (type != ThriftReader::kList) return false;
    switch (id) {
      case 2:
        reader.List(ThriftReader::kStruct,
                    [&] { raw->schema.push_back(ReadSchemaElement(reader)); });
        return true;
      case 4:
        reader.List(ThriftReader::kStruct,
                    [&] { raw->row_groups.push_back(ReadRowGroup(reader)); });
        return true;
      case 5:
        reader.List(ThriftReader::kStruct, [&] { ReadKeyValue(reader, &footer->metadata); });
        return true;
      default:
        return false;
    }
  });
  return reader.ok();
}

bool SetLeafType(const SchemaElement& element, ParquetColumn* column) {
  switch (element.type) {
    case 0:
    case 1:
    case 2:
    case 4:
    case 5:
    case 6:
      column->type = static_cast<ParquetType>(element.type);
      return true;
    case 7:
      column->type = ParquetType::kFixed;
      column->width = static_cast<int32_t>(element.width);
      return element.width > 0 && element.width <= kFixedWidthMax;
    default:
      return false;
  }
}

/// Reads the columns out of the flattened tree: leaves, and lists as three elements each.
Status ReadColumns(const std::vector<SchemaElement>& schema, ParquetFooter* footer) {
  if (schema.empty() || schema.front().is_leaf) return Bad("has no schema");
  if (schema.size() > kColumnsMax) return Bad("has too many columns");
  size_t at = 1;
  while (at < schema.size()) {
    ParquetColumn column;
    column.name = std::string(schema[at].name);
    column.field_id = static_cast<int32_t>(schema[at].field_id);
    // A list is an optional group of one repeated group of one element.
    const bool is_list = !schema[at].is_leaf;
    const size_t leaf = is_list ? at + 2 : at;
    if (leaf >= schema.size() || !schema[leaf].is_leaf) return Bad("has a column of unknown form");
    if (is_list && (schema[at].child_count != 1 || schema[at + 1].child_count != 1 ||
                    schema[at + 1].is_leaf || schema[at + 1].repetition != kRepeated)) {
      return Bad("has a column of unknown form");
    }
    for (size_t i = at; i <= leaf; ++i) {
      const bool repeated = schema[i].repetition == kRepeated;
      if (schema[i].repetition > kRepeated || schema[i].repetition < kRequired ||
          repeated != (is_list && i == at + 1)) {
        return Bad("has a column of unknown form");
      }
      column.definition_max += schema[i].repetition == kRequired ? 0 : 1;
      column.repetition_max += repeated ? 1 : 0;
    }
    if (!SetLeafType(schema[leaf], &column)) return Bad("has a column of unknown type");
    footer->columns.push_back(std::move(column));
    at = leaf + 1;
  }
  if (schema.front().child_count != static_cast<int64_t>(footer->columns.size())) {
    return Bad("counts its columns wrongly");
  }
  return Status::Ok();
}

Result<ParquetChunk> ReadChunk(const RawChunk& raw, const ParquetColumn& column, int64_t row_count,
                               int64_t data_end) {
  ParquetChunk chunk;
  chunk.offset = raw.data_offset;
  if (raw.dictionary_offset > 0) chunk.offset = std::min(chunk.offset, raw.dictionary_offset);
  chunk.size = raw.size;
  chunk.value_count = raw.value_count;
  if (raw.codec != static_cast<int64_t>(ParquetCodec::kUncompressed) &&
      raw.codec != static_cast<int64_t>(ParquetCodec::kZstd)) {
    return Bad("names an unknown compression");
  }
  chunk.codec = static_cast<ParquetCodec>(raw.codec);
  if (chunk.offset < static_cast<int64_t>(kParquetMagic.size()) || chunk.size <= 0 ||
      chunk.offset > data_end || chunk.size > data_end - chunk.offset) {
    return Bad("names bytes outside of the file");
  }
  const bool counts_agree =
      column.repetition_max == 0 ? chunk.value_count == row_count : chunk.value_count >= row_count;
  if (!counts_agree || chunk.value_count > std::numeric_limits<int32_t>::max()) {
    return Bad("counts values wrongly");
  }
  return chunk;
}

}  // namespace

int64_t ParquetFooter::filters_offset() const {
  int64_t offset = static_cast<int64_t>(kParquetMagic.size());
  for (const ParquetRowGroup& group : row_groups) {
    for (const ParquetChunk& chunk : group.chunks)
      offset = std::max(offset, chunk.offset + chunk.size);
  }
  return offset;
}

size_t ParquetFooter::memory_bytes() const {
  size_t bytes = sizeof(ParquetFooter);
  for (const ParquetColumn& column : columns) bytes += sizeof column + column.name.capacity();
  for (const ParquetRowGroup& group : row_groups) {
    bytes += sizeof group + group.chunks.capacity() * sizeof(ParquetChunk);
  }
  for (const auto& [key, value] : metadata) bytes += 96 + key.capacity() + value.capacity();
  return bytes;
}

Result<int64_t> ParquetFooterSize(std::string_view tail, int64_t file_size) {
  if (tail.size() != kParquetTailBytes || tail.substr(4) != kParquetMagic) {
    return Status(ErrorKind::Corruption, "it does not end as a Parquet file does");
  }
  uint32_t size = 0;
  std::memcpy(&size, tail.data(), sizeof size);
  if (size == 0 ||
      size > file_size - kParquetTailBytes - static_cast<int64_t>(kParquetMagic.size())) {
    return Status(ErrorKind::Corruption, "its footer is longer than the file");
  }
  return static_cast<int64_t>(size);
}

Result<ParquetFooter> ParseParquetFooter(std::string_view bytes, int64_t file_size) {
  ParquetFooter footer;
  RawFooter raw;
  if (!ReadFooter(bytes, &raw, &footer)) return Bad("cannot be decoded");
  KALAM_RETURN_IF_ERROR(ReadColumns(raw.schema, &footer));
  const int64_t data_end = file_size - kParquetTailBytes - static_cast<int64_t>(bytes.size());
  int64_t row_count = 0;
  for (const RawRowGroup& raw_group : raw.row_groups) {
    ParquetRowGroup group;
    group.row_count = raw_group.row_count;
    if (group.row_count <= 0 || group.row_count > kRowGroupRowsMax ||
        raw_group.chunks.size() != footer.columns.size()) {
      return Bad("has a row group of unknown form");
    }
    for (size_t i = 0; i < raw_group.chunks.size(); ++i) {
      KALAM_ASSIGN_OR_RETURN(ParquetChunk chunk, ReadChunk(raw_group.chunks[i], footer.columns[i],
                                                           group.row_count, data_end));
      group.chunks.push_back(chunk);
    }
    row_count += group.row_count;
    footer.row_groups.push_back(std::move(group));
  }
  if (row_count != footer.row_count) return Bad("counts its rows wrongly");
  return footer;
}

}  // namespace kalam::segments
