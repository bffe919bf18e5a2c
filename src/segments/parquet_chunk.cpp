// Pages, their levels and their values.
#include "segments/parquet_chunk.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "segments/parquet_levels.h"
#include "segments/parquet_page.h"

namespace kalam::segments {
namespace {

Status Bad(std::string_view what) { return Status(ErrorKind::Corruption, std::string(what)); }

class ChunkDecoder {
 public:
  ChunkDecoder(const ParquetColumn& column, const ParquetChunk& chunk, int64_t row_count,
               uint32_t list_length, Decompressor& decompressor)
      : column_(column),
        chunk_(chunk),
        row_count_(static_cast<size_t>(row_count)),
        width_(ValueWidth(column)),
        is_list_(column.repetition_max > 0),
        elements_per_row_(is_list_ ? list_length : 1),
        decompressor_(decompressor) {}

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
  const size_t width_;
  const bool is_list_;
  const size_t elements_per_row_;
  Decompressor& decompressor_;

  std::optional<Dictionary> dictionary_;
  std::vector<char> heap_;
  std::vector<uint32_t> offsets_;
  std::vector<bool> nulls_;
  size_t rows_done_ = 0;        // rows begun, for lists; rows placed otherwise
  size_t elements_in_row_ = 0;  // of the list that is open
  bool row_is_null_ = false;    // the list that is open

  // Of the page at hand; kept to save allocations.
  DataPage page_;
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
  PageBytes plain;
  KALAM_RETURN_IF_ERROR(plain.Open(stored, chunk_.codec, page.size, decompressor_));
  KALAM_RETURN_IF_ERROR(plain.ReachAll());
  const std::string_view bytes = plain.bytes();
  Dictionary dictionary;
  dictionary.count = static_cast<size_t>(page.value_count);
  if (column_.type == ParquetType::kBoolean) return Bad("a dictionary has an unknown encoding");
  if (width_ > 0) {
    if (dictionary.count > bytes.size() / width_) return Bad("a dictionary ends early");
    dictionary.heap.assign(bytes.begin(), bytes.end());
  } else {
    if (dictionary.count > bytes.size() / kPageLengthBytes) return Bad("a dictionary ends early");
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
  slots_.resize(value_count);
  std::iota(slots_.begin(), slots_.end(), static_cast<uint32_t>(rows_done_));
  rows_done_ += value_count;
  if (column_.definition_max == 0) return Status::Ok();
  HybridReader levels(page_.definition, std::bit_width(column_.definition_max));
  size_t there = 0;
  // Most pages have no NULL, and their levels are one run.
  if (levels.Count(value_count, column_.definition_max, &there) && there == value_count) {
    return Status::Ok();
  }
  KALAM_RETURN_IF_ERROR(
      ReadLevels(page_.definition, column_.definition_max, value_count, &definition_));
  there = 0;
  for (size_t i = 0; i < value_count; ++i) {
    if (definition_[i] < column_.definition_max) {
      SetNull(slots_[i]);
    } else {
      slots_[there++] = slots_[i];
    }
  }
  slots_.resize(there);
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
  KALAM_RETURN_IF_ERROR(page_.Open(page, stored, column_, chunk_.codec, decompressor_));
  KALAM_RETURN_IF_ERROR(page_.plain.ReachAll());
  if (column_.repetition_max > 0) {
    KALAM_RETURN_IF_ERROR(
        ReadLevels(page_.repetition, column_.repetition_max, count, &repetition_));
  }
  if (is_list_) {
    KALAM_RETURN_IF_ERROR(
        ReadLevels(page_.definition, column_.definition_max, count, &definition_));
    KALAM_RETURN_IF_ERROR(PlaceListElements(count));
  } else {
    KALAM_RETURN_IF_ERROR(PlaceValues(count));
  }
  return DecodeValues(page.encoding, page_.plain.bytes().substr(page_.values_at));
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
    } else if (page.is_data()) {
      KALAM_RETURN_IF_ERROR(DecodeDataPage(page, stored));
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
                                                         uint32_t list_length,
                                                         Decompressor& decompressor) {
  if (column.repetition_max > 0 && list_length == 0) return Bad("a column has an unknown form");
  return ChunkDecoder(column, chunk, row_count, list_length, decompressor).Decode(bytes);
}

}  // namespace kalam::segments
