// Writes small Parquet files for the tests of this layer: the forms that the format allows and the
// engine does not choose at will (page versions, codecs, page sizes).
#pragma once

#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "segments/parquet_footer.h"
#include "types/row_codec.h"

namespace kalam::segments {

/// A column and its cells: raw bytes as the format stores them (little-endian numbers, a byte for a
/// boolean, concatenated elements for a list), nullopt for NULL.
struct TestColumn {
  std::string name;
  int32_t field_id = 0;
  ParquetType type = ParquetType::kInt64;
  int32_t width = 0;     // kFixed
  bool is_list = false;  // of kFloat
  bool has_dictionary = false;
  std::vector<std::optional<std::string>> cells;
};

struct TestFileOptions {
  size_t row_group_rows = 16384;
  size_t page_rows = 100'000;
  bool second_version = false;
  bool compressed = true;
  std::map<std::string, std::string> metadata;
};

/// Thrift's compact protocol, written.
class ThriftWriter {
 public:
  ThriftWriter& Field(int id, int type) {
    out_.push_back(static_cast<char>(((id - last_.back()) << 4) | type));
    last_.back() = id;
    return *this;
  }
  ThriftWriter& Number(int64_t value) {
    PutVarint(&out_, (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63));
    return *this;
  }
  ThriftWriter& Int(int id, int64_t value) { return Field(id, 6).Number(value); }
  ThriftWriter& Text(int id, std::string_view text) {
    Field(id, 8);
    PutVarint(&out_, text.size());
    out_.append(text);
    return *this;
  }
  ThriftWriter& List(int id, size_t size) {
    Field(id, 9);
    out_.push_back(static_cast<char>(0xF0 | 12));
    PutVarint(&out_, size);
    return *this;
  }
  ThriftWriter& Begin() {
    last_.push_back(0);
    return *this;
  }
  ThriftWriter& End() {
    out_.push_back(0);
    last_.pop_back();
    return *this;
  }
  std::string Take() { return std::move(out_); }

 private:
  std::string out_;
  std::vector<int> last_{0};
};

class TestFileWriter {
 public:
  explicit TestFileWriter(const TestFileOptions& options) : options_(options) {}

  std::string Write(const std::vector<TestColumn>& columns) {
    const size_t rows = columns.front().cells.size();
    ThriftWriter footer;
    footer.Int(1, 1).List(2, SchemaElements(columns)).Begin().Text(4, "schema");
    footer.Int(5, static_cast<int64_t>(columns.size())).End();
    for (const TestColumn& column : columns) WriteSchema(column, &footer);
    footer.Int(3, static_cast<int64_t>(rows));
    footer.List(4, (rows + options_.row_group_rows - 1) / options_.row_group_rows);
    for (size_t begin = 0; begin < rows; begin += options_.row_group_rows) {
      const size_t end = std::min(rows, begin + options_.row_group_rows);
      footer.Begin().List(1, columns.size());
      for (const TestColumn& column : columns) WriteChunk(column, begin, end, &footer);
      footer.Int(3, static_cast<int64_t>(end - begin)).End();
    }
    if (!options_.metadata.empty()) {
      footer.List(5, options_.metadata.size());
      for (const auto& [key, value] : options_.metadata) {
        footer.Begin().Text(1, key).Text(2, value).End();
      }
    }
    std::string bytes = footer.End().Take();
    const auto size = static_cast<uint32_t>(bytes.size());
    file_ += bytes;
    file_.append(reinterpret_cast<const char*>(&size), sizeof size);
    file_ += kParquetMagic;
    return std::move(file_);
  }

 private:
  static size_t SchemaElements(const std::vector<TestColumn>& columns) {
    size_t count = 1;
    for (const TestColumn& column : columns) count += column.is_list ? 3 : 1;
    return count;
  }

  static void WriteSchema(const TestColumn& column, ThriftWriter* out) {
    const auto leaf = [&](std::string_view name) {
      out->Begin().Int(1, static_cast<int64_t>(column.type));
      if (column.type == ParquetType::kFixed) out->Int(2, column.width);
      out->Int(3, 1).Text(4, name);
      if (!column.is_list) out->Int(9, column.field_id);
      out->End();
    };
    if (!column.is_list) return leaf(column.name);
    out->Begin().Int(3, 1).Text(4, column.name).Int(5, 1).Int(9, column.field_id).End();
    out->Begin().Int(3, 2).Text(4, "list").Int(5, 1).End();
    leaf("element");
  }

  /// Levels as runs of one.
  static std::string Levels(const std::vector<uint8_t>& levels) {
    std::string out;
    for (uint8_t level : levels) {
      PutVarint(&out, 2);
      out.push_back(static_cast<char>(level));
    }
    return out;
  }
  static std::string WithLength(std::string_view bytes) {
    const auto size = static_cast<uint32_t>(bytes.size());
    return std::string(reinterpret_cast<const char*>(&size), sizeof size).append(bytes);
  }

  std::string Compress(const std::string& plain) const {
    if (!options_.compressed) return plain;
    std::string out(ZSTD_compressBound(plain.size()), '\0');
    out.resize(ZSTD_compress(out.data(), out.size(), plain.data(), plain.size(), 1));
    return out;
  }

  static std::string PlainValues(const TestColumn& column,
                                 const std::vector<std::string_view>& values) {
    std::string out;
    for (size_t i = 0; i < values.size(); ++i) {
      if (column.type == ParquetType::kByteArray) {
        out += WithLength(values[i]);
      } else if (column.type == ParquetType::kBoolean) {
        if (i % 8 == 0) out.push_back(0);
        out.back() = static_cast<char>(out.back() | (values[i][0] << (i % 8)));
      } else {
        out += values[i];
      }
    }
    return out;
  }

  void WritePage(const TestColumn& column, size_t begin, size_t end,
                 const std::vector<std::string>& dictionary) {
    std::vector<uint8_t> definition, repetition;
    std::vector<std::string_view> values;
    for (size_t row = begin; row < end; ++row) {
      const auto& cell = column.cells[row];
      const size_t elements = column.is_list && cell ? cell->size() / sizeof(float) : 1;
      for (size_t i = 0; i < elements; ++i) {
        repetition.push_back(i > 0);
        definition.push_back(!cell ? 0 : column.is_list ? 3 : 1);
      }
      if (cell) values.push_back(*cell);
    }
    std::string data;
    if (dictionary.empty()) {
      data = PlainValues(column, values);
    } else {
      data.push_back(8);
      for (std::string_view value : values) {
        const auto at = std::find(dictionary.begin(), dictionary.end(), value);
        PutVarint(&data, 2);
        data.push_back(static_cast<char>(at - dictionary.begin()));
      }
    }
    const std::string levels = Levels(definition);
    const std::string repetitions = column.is_list ? Levels(repetition) : "";
    const int encoding = dictionary.empty() ? 0 : 8;
    ThriftWriter header;
    std::string stored;
    if (options_.second_version) {
      stored = Compress(data);
      const auto level_bytes = static_cast<int64_t>(levels.size() + repetitions.size());
      header.Int(1, 3).Int(2, static_cast<int64_t>(data.size()) + level_bytes);
      header.Int(3, static_cast<int64_t>(stored.size()) + level_bytes);
      header.Field(8, 12).Begin().Int(1, static_cast<int64_t>(definition.size())).Int(2, 0);
      header.Int(3, static_cast<int64_t>(end - begin)).Int(4, encoding);
      header.Int(5, static_cast<int64_t>(levels.size()));
      header.Int(6, static_cast<int64_t>(repetitions.size())).End().End();
      stored = repetitions + levels + stored;
    } else {
      const std::string plain =
          (column.is_list ? WithLength(repetitions) : "") + WithLength(levels) + data;
      stored = Compress(plain);
      header.Int(1, 0).Int(2, static_cast<int64_t>(plain.size()));
      header.Int(3, static_cast<int64_t>(stored.size())).Field(5, 12).Begin();
      header.Int(1, static_cast<int64_t>(definition.size())).Int(2, encoding);
      header.Int(3, 3).Int(4, 3).End().End();
    }
    file_ += header.Take() + stored;
    value_count_ += static_cast<int64_t>(definition.size());
  }

  std::vector<std::string> WriteDictionary(const TestColumn& column, size_t begin, size_t end) {
    std::vector<std::string> dictionary;
    for (size_t row = begin; row < end; ++row) {
      const auto& cell = column.cells[row];
      if (cell && std::find(dictionary.begin(), dictionary.end(), *cell) == dictionary.end()) {
        dictionary.push_back(*cell);
      }
    }
    const std::vector<std::string_view> views(dictionary.begin(), dictionary.end());
    const std::string plain = PlainValues(column, views);
    const std::string stored = Compress(plain);
    ThriftWriter header;
    header.Int(1, 2).Int(2, static_cast<int64_t>(plain.size()));
    header.Int(3, static_cast<int64_t>(stored.size())).Field(7, 12).Begin();
    header.Int(1, static_cast<int64_t>(dictionary.size())).Int(2, 0).End().End();
    file_ += header.Take() + stored;
    return dictionary;
  }

  void WriteChunk(const TestColumn& column, size_t begin, size_t end, ThriftWriter* footer) {
    const size_t chunk_begin = file_.size();
    value_count_ = 0;
    std::vector<std::string> dictionary;
    if (column.has_dictionary) dictionary = WriteDictionary(column, begin, end);
    const size_t data_begin = file_.size();
    for (size_t at = begin; at < end; at += options_.page_rows) {
      WritePage(column, at, std::min(end, at + options_.page_rows), dictionary);
    }
    footer->Begin().Field(3, 12).Begin().Int(4, options_.compressed ? 6 : 0).Int(5, value_count_);
    footer->Int(7, static_cast<int64_t>(file_.size() - chunk_begin));
    footer->Int(9, static_cast<int64_t>(data_begin));
    if (column.has_dictionary) footer->Int(11, static_cast<int64_t>(chunk_begin));
    footer->End().End();
  }

  const TestFileOptions options_;
  std::string file_{kParquetMagic};
  int64_t value_count_ = 0;  // of the chunk at hand
};

}  // namespace kalam::segments
