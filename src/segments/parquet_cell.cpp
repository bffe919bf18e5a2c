// Finding the page of a row, the place of its value there, and that value.
#include "segments/parquet_cell.h"

#include <bit>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "segments/parquet_chunk.h"
#include "segments/parquet_levels.h"

namespace kalam::segments {
namespace {

using CellPtr = std::shared_ptr<const DecodedColumn>;

Status Bad(std::string_view what) { return Status(ErrorKind::Corruption, std::string(what)); }

/// A page as it lies in the file.
struct StoredPage {
  PageHeader header;
  std::string_view bytes;
};

class CellDecoder {
 public:
  CellDecoder(const ParquetColumn& column, const ParquetChunk& chunk, uint32_t list_length,
              Decompressor& decompressor)
      : column_(column),
        chunk_(chunk),
        value_width_(ValueWidth(column)),
        list_length_(list_length),
        decompressor_(decompressor) {}

  /// Null: the value has to be looked for in the whole chunk.
  Result<CellPtr> Find(std::string_view bytes, size_t row);

 private:
  /// Bytes of a value as it is kept: a list is one run of its elements.
  size_t width() const { return value_width_ * (list_length_ == 0 ? 1 : list_length_); }
  Result<CellPtr> ValueAt(const StoredPage& page, size_t row);
  Result<CellPtr> ListAt(const StoredPage& page, size_t row);
  /// `index` counts the values of the page that are there, `count` are wanted (elements of a list).
  Result<CellPtr> Take(const StoredPage& page, size_t index, size_t count);
  Result<CellPtr> TakePlain(PageBytes& plain, size_t at, size_t index, size_t count);
  Result<CellPtr> TakeFromDictionary(size_t index, size_t count);
  Result<CellPtr> TakeBit(size_t index, int64_t encoding);
  Result<CellPtr> Null() const {
    std::vector<bool> nulls(1, true);
    return MakeCell(std::vector<char>(width()), std::move(nulls));
  }
  Result<CellPtr> MakeCell(std::vector<char> heap, std::vector<bool> nulls = {}) const {
    std::vector<uint32_t> offsets(value_width_ == 0 ? 1 : 0);
    return CellPtr(std::make_shared<DecodedColumn>(static_cast<uint32_t>(width()), std::move(heap),
                                                   std::move(offsets), std::move(nulls), 1));
  }

  const ParquetColumn& column_;
  const ParquetChunk& chunk_;
  const size_t value_width_;
  const uint32_t list_length_;
  Decompressor& decompressor_;
  std::optional<StoredPage> dictionary_;
  DataPage page_;
};

Result<CellPtr> CellDecoder::Find(std::string_view bytes, size_t row) {
  while (!bytes.empty()) {
    StoredPage page;
    KALAM_ASSIGN_OR_RETURN(page.header, ReadPageHeader(&bytes));
    page.bytes = bytes.substr(0, static_cast<size_t>(page.header.compressed_size));
    bytes.remove_prefix(page.bytes.size());
    if (page.header.type == kDictionaryPage) {
      dictionary_ = page;
    } else if (page.header.is_data()) {
      const auto value_count = static_cast<size_t>(page.header.value_count);
      if (value_count > static_cast<size_t>(chunk_.value_count)) {
        return Bad("a page has too many values");
      }
      if (list_length_ > 0) {
        // How many rows a page of lists has is known only from its levels.
        if (!bytes.empty()) return CellPtr();
        return ListAt(page, row);
      }
      if (row < value_count) return ValueAt(page, row);
      row -= value_count;
    }
  }
  return Bad("a column ends early");
}

Result<CellPtr> CellDecoder::ValueAt(const StoredPage& page, size_t row) {
  KALAM_RETURN_IF_ERROR(page_.Open(page.header, page.bytes, column_, chunk_.codec, decompressor_));
  size_t index = row;
  if (column_.definition_max > 0) {
    HybridReader levels(page_.definition, std::bit_width(column_.definition_max));
    uint32_t level = 0;
    if (!levels.Count(row, column_.definition_max, &index) || !levels.Read(&level, 1)) {
      return Bad("the levels of a page end early");
    }
    if (level > column_.definition_max) {
      return Bad("a page has a level that its column does not have");
    }
    if (level < column_.definition_max) return Null();
  }
  return Take(page, index, 1);
}

Result<CellPtr> CellDecoder::ListAt(const StoredPage& page, size_t row) {
  KALAM_RETURN_IF_ERROR(page_.Open(page.header, page.bytes, column_, chunk_.codec, decompressor_));
  const auto entry_count = static_cast<size_t>(page.header.value_count);
  // The entries of a list follow one that repeats nothing; a NULL list has that one alone.
  HybridReader starts(page_.repetition, std::bit_width(column_.repetition_max));
  size_t entries = 0;
  if (!starts.Find(row + 1, 0, entry_count, &entries)) return Bad("a column ends early");
  const size_t first = entries - 1;
  HybridReader levels(page_.definition, std::bit_width(column_.definition_max));
  size_t index = 0;
  uint32_t level = 0;
  if (!levels.Count(first, column_.definition_max, &index) || !levels.Read(&level, 1)) {
    return Bad("the levels of a page end early");
  }
  if (level == 0) return Null();
  size_t rest_there = 0, repeated = 0;
  const size_t rest = list_length_ - 1;
  const bool whole = level == column_.definition_max && rest <= entry_count - entries &&
                     levels.Count(rest, column_.definition_max, &rest_there) &&
                     rest_there == rest && starts.Count(rest, 1, &repeated) && repeated == rest;
  if (!whole) return Bad("a list has the wrong length or a NULL inside");
  uint32_t next = 0;
  if (entries + rest < entry_count && (!starts.Read(&next, 1) || next != 0)) {
    return Bad("a list has the wrong length");
  }
  return Take(page, index, list_length_);
}

Result<CellPtr> CellDecoder::Take(const StoredPage& page, size_t index, size_t count) {
  const int64_t encoding = page.header.encoding;
  const bool is_boolean = column_.type == ParquetType::kBoolean;
  if (is_boolean && (encoding == kPlain || encoding == kRle)) return TakeBit(index, encoding);
  if (encoding == kPlain) return TakePlain(page_.plain, page_.values_at, index, count);
  if (encoding == kPlainDictionary || encoding == kRleDictionary) {
    return TakeFromDictionary(index, count);
  }
  return Bad("a page has an unknown encoding");
}

Result<CellPtr> CellDecoder::TakePlain(PageBytes& plain, size_t at, size_t index, size_t count) {
  if (value_width_ > 0) {
    const size_t size = count * value_width_;
    if (index > plain.size() / value_width_) return Bad("the values of a page end early");
    at += index * value_width_;
    KALAM_RETURN_IF_ERROR(plain.Reach(at + size));
    const std::string_view value = plain.bytes().substr(at, size);
    return MakeCell({value.begin(), value.end()});
  }
  // Runs of bytes stand one behind the other, each behind its length.
  for (size_t passed = 0;; ++passed) {
    uint32_t size = 0;
    KALAM_RETURN_IF_ERROR(plain.Reach(at + kPageLengthBytes));
    std::memcpy(&size, plain.bytes().data() + at, kPageLengthBytes);
    if (size > plain.size() - at - kPageLengthBytes) return Bad("the values of a page end early");
    if (passed < index) {
      at += kPageLengthBytes + size;
      continue;
    }
    KALAM_RETURN_IF_ERROR(plain.Reach(at + kPageLengthBytes + size));
    const std::string_view value = plain.bytes().substr(at, kPageLengthBytes + size);
    return MakeCell({value.begin(), value.end()});
  }
}

Result<CellPtr> CellDecoder::TakeBit(size_t index, int64_t encoding) {
  KALAM_RETURN_IF_ERROR(page_.plain.ReachAll());
  std::string_view bytes = page_.plain.bytes().substr(page_.values_at);
  uint32_t bit = 0;
  if (encoding == kPlain) {
    if (index / 8 >= bytes.size()) return Bad("the values of a page end early");
    bit = static_cast<uint8_t>(bytes[index / 8]) >> (index % 8);
  } else {
    std::string_view runs;
    size_t ignored = 0;
    if (!TakeLengthPrefixed(&bytes, &runs)) return Bad("the values of a page end early");
    HybridReader reader(runs, 1);
    if (!reader.Count(index, 1, &ignored) || !reader.Read(&bit, 1)) {
      return Bad("the values of a page end early");
    }
  }
  return MakeCell({static_cast<char>(bit & 1)});
}

Result<CellPtr> CellDecoder::TakeFromDictionary(size_t index, size_t count) {
  if (!dictionary_) return Bad("a page refers to a dictionary that is not there");
  const PageHeader& header = dictionary_->header;
  if (count != 1) return CellPtr();  // lists of numbers have none
  KALAM_RETURN_IF_ERROR(page_.plain.ReachAll());
  const std::string_view bytes = page_.plain.bytes().substr(page_.values_at);
  if (bytes.empty()) return Bad("the values of a page end early");
  const int bit_width = static_cast<uint8_t>(bytes.front());
  if (bit_width > 32) return Bad("a page has an unknown encoding");
  HybridReader indexes(bytes.substr(1), bit_width);
  size_t ignored = 0;
  uint32_t entry = 0;
  if (!indexes.Count(index, 0, &ignored) || !indexes.Read(&entry, 1)) {
    return Bad("the values of a page end early");
  }
  if ((header.encoding != kPlain && header.encoding != kPlainDictionary) ||
      column_.type == ParquetType::kBoolean) {
    return Bad("a dictionary has an unknown encoding");
  }
  if (entry >= header.value_count) return Bad("a page refers outside of its dictionary");
  PageBytes plain;
  KALAM_RETURN_IF_ERROR(plain.Open(dictionary_->bytes, chunk_.codec, header.size, decompressor_));
  return TakePlain(plain, 0, entry, 1);
}

}  // namespace

Result<CellPtr> DecodeCell(const ParquetColumn& column, const ParquetChunk& chunk,
                           std::string_view bytes, int64_t row_count, uint32_t list_length,
                           size_t row, Decompressor& decompressor) {
  const bool is_list = column.repetition_max > 0;
  if (is_list != (list_length > 0) || (is_list && ValueWidth(column) == 0)) {
    return Bad("a column has an unknown form");
  }
  KALAM_ASSIGN_OR_RETURN(CellPtr cell,
                         CellDecoder(column, chunk, list_length, decompressor).Find(bytes, row));
  if (cell != nullptr) return cell;
  KALAM_ASSIGN_OR_RETURN(const CellPtr all,
                         DecodeChunk(column, chunk, bytes, row_count, list_length, decompressor));
  const bool is_null = all->is_null(row);
  const std::string_view value = is_null ? std::string_view() : all->bytes(row);
  std::vector<char> heap(value.begin(), value.end());
  if (is_null) heap.resize(all->width());
  return CellPtr(std::make_shared<DecodedColumn>(all->width(), std::move(heap),
                                                 std::vector<uint32_t>(),
                                                 std::vector<bool>(is_null ? 1 : 0, true), 1));
}

}  // namespace kalam::segments
