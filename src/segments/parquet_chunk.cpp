// Pages, their levels and their values.
#include "segments/parquet_chunk.h"

#include <zstd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "segments/parquet_levels.h"
#include "segments/thrift_reader.h"

namespace kalam::segments {
namespace {

/// A page that claims more was not written by us.
constexpr int64_t kPageBytesMax = int64_t{1} << 30;
constexpr size_t kLengthBytes = 4;

Status Bad(std::string_view what) { return Status(ErrorKind::Corruption, std::string(what)); }

enum PageType : uint8_t { kDataPage = 0, kIndexPage = 1, kDictionaryPage = 2, kDataPageV2 = 3 };
enum Encoding : uint8_t { kPlain = 0, kPlainDictionary = 2, kRle = 3, kRleDictionary = 8 };

struct PageHeader {
  int64_t type = -1;
  int64_t size = -1;             // as it is read from the pages
  int64_t compressed_size = -1;  // as it lies in the file
  int64_t value_count = 0;
  int64_t encoding = -1;
  // Of the second version, whose levels are not compressed.
  int64_t definition_bytes = 0;
  int64_t repetition_bytes = 0;
  bool is_compressed = true;
};

void ReadDataHeader(ThriftReader& reader, PageHeader* page) {
  reader.Struct([&](int16_t id, ThriftReader::Type) {
    if (id != 1 && id != 2) return false;
    (id == 1 ? page->value_count : page->encoding) = reader.Integer();
    return true;
  });
}

void ReadDataHeaderV2(ThriftReader& reader, PageHeader* page) {
  reader.Struct([&](int16_t id, ThriftReader::Type type) {
    switch (id) {
      case 1:
        page->value_count = reader.Integer();
        return true;
      case 4:
        page->encoding = reader.Integer();
        return true;
      case 5:
        page->definition_bytes = reader.Integer();
        return true;
      case 6:
        page->repetition_bytes = reader.Integer();
        return true;
      case 7:
        page->is_compressed = type == ThriftReader::kTrue;
        return type == ThriftReader::kTrue || type == ThriftReader::kFalse;
      default:
        return false;
    }
  });
}

/// Reads a page's header from the front of `rest` and drops it.
Result<PageHeader> ReadPageHeader(std::string_view* rest) {
  ThriftReader reader(*rest);
  PageHeader page;
  reader.Struct([&](int16_t id, ThriftReader::Type type) {
    const bool is_struct = type == ThriftReader::kStruct;
    if (id == 1) {
      page.type = reader.Integer();
    } else if (id == 2) {
      page.size = reader.Integer();
    } else if (id == 3) {
      page.compressed_size = reader.Integer();
    } else if ((id == 5 || id == 7) && is_struct) {
      ReadDataHeader(reader, &page);
    } else if (id == 8 && is_struct) {
      ReadDataHeaderV2(reader, &page);
    } else {
      return false;
    }
    return true;
  });
  if (!reader.ok()) return Bad("the header of a page cannot be decoded");
  rest->remove_prefix(reader.consumed());
  const bool sound = page.size >= 0 && page.size <= kPageBytesMax && page.compressed_size >= 0 &&
                     page.compressed_size <= static_cast<int64_t>(rest->size()) &&
                     page.value_count >= 0 && page.definition_bytes >= 0 &&
                     page.repetition_bytes >= 0 && page.definition_bytes <= page.compressed_size &&
                     page.repetition_bytes <= page.compressed_size - page.definition_bytes &&
                     page.definition_bytes + page.repetition_bytes <= page.size;
  if (!sound) return Bad("the header of a page names bytes outside of its column");
  return page;
}

/// The plain bytes of a page: `stored` itself or what it is decompressed to, in `buffer`.
Result<std::string_view> PlainBytes(std::string_view stored, ParquetCodec codec, int64_t size,
                                    std::vector<char>* buffer) {
  if (codec == ParquetCodec::kUncompressed) {
    if (static_cast<int64_t>(stored.size()) != size) return Bad("a page has the wrong size");
    return stored;
  }
  // The frame says how much it holds; nothing is allocated for a size it does not confirm.
  if (ZSTD_getFrameContentSize(stored.data(), stored.size()) != static_cast<uint64_t>(size)) {
    return Bad("a page has the wrong size");
  }
  buffer->resize(static_cast<size_t>(size));
  const size_t written =
      ZSTD_decompress(buffer->data(), buffer->size(), stored.data(), stored.size());
  if (ZSTD_isError(written) || written != buffer->size()) {
    return Bad("a page cannot be decompressed");
  }
  return std::string_view(buffer->data(), buffer->size());
}

/// Reads `[length: 4 LE] bytes` from the front of `in` and drops it.
bool TakeLengthPrefixed(std::string_view* in, std::string_view* bytes) {
  uint32_t size = 0;
  if (in->size() < kLengthBytes) return false;
  std::memcpy(&size, in->data(), kLengthBytes);
  if (size > in->size() - kLengthBytes) return false;
  *bytes = in->substr(kLengthBytes, size);
  in->remove_prefix(kLengthBytes + size);
  return true;
}

class ChunkDecoder {
 public:
  ChunkDecoder(const ParquetColumn& column, const ParquetChunk& chunk, int64_t row_count,
               uint32_t list_length)
      : column_(column), chunk_(chunk), row_count_(static_cast<size_t>(row_count)) {
    switch (column.type) {
      case ParquetType::kBoolean:
        width_ = 1;
        break;
      case ParquetType::kInt32:
      case ParquetType::kFloat:
        width_ = 4;
        break;
      case ParquetType::kInt64:
      case ParquetType::kDouble:
        width_ = 8;
        break;
      case ParquetType::kFixed:
        width_ = static_cast<size_t>(column.width);
        break;
      case ParquetType::kByteArray:
        width_ = 0;
        break;
    }
    is_list_ = column.repetition_max > 0;
    elements_per_row_ = is_list_ ? list_length : 1;
  }

  Result<std::shared_ptr<const DecodedColumn>> Decode(std::string_view bytes);

 private:
  struct Dictionary {
    std::vector<char> heap;         // values of one width, or length-prefixed runs
    std::vector<uint32_t> offsets;  // of the latter, where they will lie in heap_
    size_t count = 0;
  };

  Status DecodeDictionary(const PageHeader& page, std::string_view stored);
  Status DecodeDataPage(const PageHeader& page, std::string_view stored);
  Status ReadLevels(std::string_view bytes, uint8_t level_max, size_t count,
                    std::vector<uint32_t>* levels);
  /// Turns the levels of a page into the slots that its values go to.
  Status PlaceValues(size_t value_count);
  Status PlaceListElements(size_t value_count);
  Status DecodeValues(int64_t encoding, std::string_view bytes);
  Status PlainValues(std::string_view bytes);
  Status PlainBooleans(std::string_view bytes);
  Status PlainRuns(std::string_view bytes);
  Status DictionaryValues(std::string_view bytes);
  Status RleBooleans(std::string_view bytes);
  void SetNull(size_t row) {
    if (nulls_.empty()) nulls_.resize(row_count_);
    nulls_[row] = true;
  }
  size_t slot_count() const { return row_count_ * elements_per_row_; }

  const ParquetColumn& column_;
  const ParquetChunk& chunk_;
  const size_t row_count_;
  size_t width_ = 0;
  bool is_list_ = false;
  size_t elements_per_row_ = 1;

  std::optional<Dictionary> dictionary_;
  std::vector<char> heap_;
  std::vector<uint32_t> offsets_;
  std::vector<bool> nulls_;
  size_t rows_done_ = 0;        // rows begun, for lists; rows placed otherwise
  size_t elements_in_row_ = 0;  // of the list that is open
  bool row_is_null_ = false;    // the list that is open

  // Of the page at hand; kept to save allocations.
  std::vector<char> plain_;
  std::vector<uint32_t> definition_, repetition_, indexes_;
  std::vector<uint32_t> slots_;  // where each value that is there goes
};

Status ChunkDecoder::ReadLevels(std::string_view bytes, uint8_t level_max, size_t count,
                                std::vector<uint32_t>* levels) {
  levels->resize(count);
  HybridReader reader(bytes, std::bit_width(level_max));
  if (!reader.Read(levels->data(), count)) return Bad("the levels of a page end early");
  for (uint32_t level : *levels) {
    if (level > level_max) return Bad("a page has a level that its column does not have");
  }
  return Status::Ok();
}

Status ChunkDecoder::DecodeDictionary(const PageHeader& page, std::string_view stored) {
  if (dictionary_ || rows_done_ > 0) return Bad("a dictionary stands in the wrong place");
  if (page.encoding != kPlain && page.encoding != kPlainDictionary) {
    return Bad("a dictionary has an unknown encoding");
  }
  std::vector<char> buffer;
  KALAM_ASSIGN_OR_RETURN(std::string_view bytes,
                         PlainBytes(stored, chunk_.codec, page.size, &buffer));
  Dictionary dictionary;
  dictionary.count = static_cast<size_t>(page.value_count);
  if (column_.type == ParquetType::kBoolean) return Bad("a dictionary has an unknown encoding");
  if (width_ > 0) {
    if (dictionary.count > bytes.size() / width_) return Bad("a dictionary ends early");
    dictionary.heap.assign(bytes.begin(), bytes.end());
  } else {
    if (dictionary.count > bytes.size() / kLengthBytes) return Bad("a dictionary ends early");
    heap_.assign(bytes.begin(), bytes.end());
    std::string_view rest = bytes;
    std::string_view value;
    for (size_t i = 0; i < dictionary.count; ++i) {
      dictionary.offsets.push_back(static_cast<uint32_t>(bytes.size() - rest.size()));
      if (!TakeLengthPrefixed(&rest, &value)) return Bad("a dictionary ends early");
    }
  }
  dictionary_ = std::move(dictionary);
  return Status::Ok();
}

Status ChunkDecoder::PlaceValues(size_t value_count) {
  if (value_count > row_count_ - rows_done_) return Bad("a page has too many values");
  slots_.clear();
  for (size_t i = 0; i < value_count; ++i) {
    const size_t row = rows_done_ + i;
    if (column_.definition_max > 0 && definition_[i] < column_.definition_max) {
      SetNull(row);
    } else {
      slots_.push_back(static_cast<uint32_t>(row));
    }
  }
  rows_done_ += value_count;
  return Status::Ok();
}

Status ChunkDecoder::PlaceListElements(size_t value_count) {
  // A NULL list has one entry whose level is below that of an empty list.
  slots_.clear();
  for (size_t i = 0; i < value_count; ++i) {
    if (repetition_[i] == 0) {
      const bool whole = rows_done_ == 0 || row_is_null_ || elements_in_row_ == elements_per_row_;
      if (!whole || rows_done_ == row_count_) return Bad("a list has the wrong length");
      ++rows_done_;
      elements_in_row_ = 0;
      row_is_null_ = definition_[i] == 0 && column_.definition_max > 0;
      if (row_is_null_) {
        SetNull(rows_done_ - 1);
        continue;
      }
    }
    const bool fits = rows_done_ > 0 && !row_is_null_ && elements_in_row_ < elements_per_row_ &&
                      definition_[i] == column_.definition_max;
    if (!fits) return Bad("a list has the wrong length or a NULL inside");
    slots_.push_back(
        static_cast<uint32_t>((rows_done_ - 1) * elements_per_row_ + elements_in_row_));
    ++elements_in_row_;
  }
  return Status::Ok();
}

Status ChunkDecoder::DecodeDataPage(const PageHeader& page, std::string_view stored) {
  const auto count = static_cast<size_t>(page.value_count);
  if (count > static_cast<size_t>(chunk_.value_count)) return Bad("a page has too many values");
  std::string_view repetition, definition, values;
  if (page.type == kDataPageV2) {
    repetition = stored.substr(0, static_cast<size_t>(page.repetition_bytes));
    definition = stored.substr(repetition.size(), static_cast<size_t>(page.definition_bytes));
    const size_t level_bytes = repetition.size() + definition.size();
    KALAM_ASSIGN_OR_RETURN(
        values, PlainBytes(stored.substr(level_bytes),
                           page.is_compressed ? chunk_.codec : ParquetCodec::kUncompressed,
                           page.size - static_cast<int64_t>(level_bytes), &plain_));
  } else {
    KALAM_ASSIGN_OR_RETURN(values, PlainBytes(stored, chunk_.codec, page.size, &plain_));
    const bool there = (column_.repetition_max == 0 || TakeLengthPrefixed(&values, &repetition)) &&
                       (column_.definition_max == 0 || TakeLengthPrefixed(&values, &definition));
    if (!there) return Bad("the levels of a page end early");
  }
  if (column_.repetition_max > 0) {
    KALAM_RETURN_IF_ERROR(ReadLevels(repetition, column_.repetition_max, count, &repetition_));
  }
  if (column_.definition_max > 0) {
    KALAM_RETURN_IF_ERROR(ReadLevels(definition, column_.definition_max, count, &definition_));
  }
  KALAM_RETURN_IF_ERROR(is_list_ ? PlaceListElements(count) : PlaceValues(count));
  return DecodeValues(page.encoding, values);
}

Status ChunkDecoder::DecodeValues(int64_t encoding, std::string_view bytes) {
  if (slots_.empty()) return Status::Ok();
  const bool is_boolean = column_.type == ParquetType::kBoolean;
  switch (encoding) {
    case kPlain:
      if (is_boolean) return PlainBooleans(bytes);
      return width_ > 0 ? PlainValues(bytes) : PlainRuns(bytes);
    case kPlainDictionary:
    case kRleDictionary:
      return DictionaryValues(bytes);
    case kRle:
      if (is_boolean) return RleBooleans(bytes);
      break;
    default:
      break;
  }
  return Bad("a page has an unknown encoding");
}

Status ChunkDecoder::PlainValues(std::string_view bytes) {
  if (slots_.size() > bytes.size() / width_) return Bad("the values of a page end early");
  // Without NULLs the values go side by side to where they stand already.
  if (slots_.back() - slots_.front() + 1 == slots_.size()) {
    std::memcpy(heap_.data() + slots_.front() * width_, bytes.data(), slots_.size() * width_);
    return Status::Ok();
  }
  const char* from = bytes.data();
  for (uint32_t slot : slots_) {
    std::memcpy(heap_.data() + slot * width_, from, width_);
    from += width_;
  }
  return Status::Ok();
}

Status ChunkDecoder::PlainBooleans(std::string_view bytes) {
  if (slots_.size() > bytes.size() * 8) return Bad("the values of a page end early");
  for (size_t i = 0; i < slots_.size(); ++i) {
    heap_[slots_[i]] = static_cast<char>((static_cast<uint8_t>(bytes[i / 8]) >> (i % 8)) & 1);
  }
  return Status::Ok();
}

Status ChunkDecoder::RleBooleans(std::string_view bytes) {
  std::string_view runs;
  if (!TakeLengthPrefixed(&bytes, &runs)) return Bad("the values of a page end early");
  indexes_.resize(slots_.size());
  HybridReader reader(runs, 1);
  if (!reader.Read(indexes_.data(), indexes_.size())) {
    return Bad("the values of a page end early");
  }
  for (size_t i = 0; i < slots_.size(); ++i) heap_[slots_[i]] = static_cast<char>(indexes_[i] & 1);
  return Status::Ok();
}

Status ChunkDecoder::PlainRuns(std::string_view bytes) {
  const size_t begin = heap_.size();
  if (bytes.size() > UINT32_MAX - begin) return Bad("a column has too many bytes");
  std::string_view rest = bytes;
  std::string_view value;
  for (uint32_t slot : slots_) {
    offsets_[slot] = static_cast<uint32_t>(begin + (bytes.size() - rest.size()));
    if (!TakeLengthPrefixed(&rest, &value)) return Bad("the values of a page end early");
  }
  heap_.insert(heap_.end(), bytes.begin(), bytes.end());
  return Status::Ok();
}

Status ChunkDecoder::DictionaryValues(std::string_view bytes) {
  if (!dictionary_) return Bad("a page refers to a dictionary that is not there");
  if (bytes.empty()) return Bad("the values of a page end early");
  const int bit_width = static_cast<uint8_t>(bytes.front());
  if (bit_width > 32) return Bad("a page has an unknown encoding");
  indexes_.resize(slots_.size());
  HybridReader reader(bytes.substr(1), bit_width);
  if (!reader.Read(indexes_.data(), indexes_.size())) {
    return Bad("the values of a page end early");
  }
  for (size_t i = 0; i < slots_.size(); ++i) {
    const uint32_t index = indexes_[i];
    if (index >= dictionary_->count) return Bad("a page refers outside of its dictionary");
    if (width_ > 0) {
      std::memcpy(heap_.data() + slots_[i] * width_, dictionary_->heap.data() + index * width_,
                  width_);
    } else {
      offsets_[slots_[i]] = dictionary_->offsets[index];
    }
  }
  return Status::Ok();
}

Result<std::shared_ptr<const DecodedColumn>> ChunkDecoder::Decode(std::string_view bytes) {
  if (is_list_ != (elements_per_row_ != 1 || column_.repetition_max > 0) ||
      elements_per_row_ == 0 || (is_list_ && width_ == 0) || slot_count() > UINT32_MAX ||
      static_cast<int64_t>(slot_count() * std::max<size_t>(width_, 1)) > 4 * kPageBytesMax) {
    return Bad("a column has an unknown form");
  }
  if (width_ > 0) {
    heap_.resize(slot_count() * width_);
  } else {
    offsets_.resize(row_count_);
  }
  while (!bytes.empty()) {
    KALAM_ASSIGN_OR_RETURN(PageHeader page, ReadPageHeader(&bytes));
    const std::string_view stored = bytes.substr(0, static_cast<size_t>(page.compressed_size));
    bytes.remove_prefix(stored.size());
    if (page.type == kDictionaryPage) {
      KALAM_RETURN_IF_ERROR(DecodeDictionary(page, stored));
    } else if (page.type == kDataPage || page.type == kDataPageV2) {
      KALAM_RETURN_IF_ERROR(DecodeDataPage(page, stored));
    } else if (page.type != kIndexPage) {
      return Bad("a page has an unknown type");
    }
  }
  const bool last_is_whole = !is_list_ || row_is_null_ || elements_in_row_ == elements_per_row_;
  if (rows_done_ != row_count_ || !last_is_whole) return Bad("a column ends early");
  heap_.shrink_to_fit();
  const auto width = static_cast<uint32_t>(width_ * elements_per_row_);
  return std::shared_ptr<const DecodedColumn>(std::make_shared<DecodedColumn>(
      width, std::move(heap_), std::move(offsets_), std::move(nulls_), row_count_));
}

}  // namespace

Result<std::shared_ptr<const DecodedColumn>> DecodeChunk(const ParquetColumn& column,
                                                         const ParquetChunk& chunk,
                                                         std::string_view bytes, int64_t row_count,
                                                         uint32_t list_length) {
  if (column.repetition_max > 0 && list_length == 0) return Bad("a column has an unknown form");
  return ChunkDecoder(column, chunk, row_count, list_length).Decode(bytes);
}

}  // namespace kalam::segments
