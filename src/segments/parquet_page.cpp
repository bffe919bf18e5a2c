// Headers of pages, and zstd block by block.
#include "segments/parquet_page.h"

// Decompressing block by block into one buffer is what this unlocks: a row is reached without what
// comes after it, and without a second copy.
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include <cstring>
#include <string>

#include "segments/thrift_reader.h"

namespace kalam::segments {
namespace {

Status Bad(std::string_view what) { return Status(ErrorKind::Corruption, std::string(what)); }

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

}  // namespace

size_t ValueWidth(const ParquetColumn& column) {
  switch (column.type) {
    case ParquetType::kBoolean:
      return 1;
    case ParquetType::kInt32:
    case ParquetType::kFloat:
      return 4;
    case ParquetType::kInt64:
    case ParquetType::kDouble:
      return 8;
    case ParquetType::kFixed:
      return static_cast<size_t>(column.width);
    case ParquetType::kByteArray:
      break;
  }
  return 0;
}

bool TakeLengthPrefixed(std::string_view* in, std::string_view* bytes) {
  uint32_t size = 0;
  if (in->size() < kPageLengthBytes) return false;
  std::memcpy(&size, in->data(), kPageLengthBytes);
  if (size > in->size() - kPageLengthBytes) return false;
  *bytes = in->substr(kPageLengthBytes, size);
  in->remove_prefix(kPageLengthBytes + size);
  return true;
}

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
  if (!page.is_data() && page.type != kDictionaryPage && page.type != kIndexPage) {
    return Bad("a page has an unknown type");
  }
  return page;
}

struct Decompressor::State {
  ZSTD_DCtx* context = nullptr;  // made when it is needed first
  ~State() { ZSTD_freeDCtx(context); }
};

Decompressor::Decompressor() : state_(std::make_unique<State>()) {}
Decompressor::~Decompressor() = default;

Status PageBytes::Open(std::string_view stored, ParquetCodec codec, int64_t size,
                       Decompressor& decompressor) {
  size_ = static_cast<size_t>(size);
  reached_ = 0;
  if (codec == ParquetCodec::kUncompressed) {
    if (stored.size() != size_) return Bad("a page has the wrong size");
    data_ = stored.data();
    reached_ = size_;
    return Status::Ok();
  }
  // The frame says how much it holds; nothing is allocated for a size it does not confirm.
  if (ZSTD_getFrameContentSize(stored.data(), stored.size()) != static_cast<uint64_t>(size)) {
    return Bad("a page has the wrong size");
  }
  if (buffer_size_ < size_) {
    buffer_ = std::make_unique_for_overwrite<char[]>(size_);
    buffer_size_ = size_;
  }
  data_ = buffer_.get();
  rest_ = stored;
  decompressor_ = &decompressor;
  Decompressor::State& state = decompressor.state();
  if (state.context == nullptr) state.context = ZSTD_createDCtx();
  if (state.context == nullptr || ZSTD_isError(ZSTD_decompressBegin(state.context))) {
    return Status(ErrorKind::MemoryExceeded, "no memory to decompress a page");
  }
  return Status::Ok();
}

Status PageBytes::Decompress(size_t end) {
  if (end > size_) return Bad("the values of a page end early");
  ZSTD_DCtx* const context = decompressor_->state().context;
  if (reached_ == 0 && end == size_) {
    const size_t written =
        ZSTD_decompressDCtx(context, buffer_.get(), size_, rest_.data(), rest_.size());
    if (ZSTD_isError(written) || written != size_) return Bad("a page cannot be decompressed");
    reached_ = size_;
    return Status::Ok();
  }
  while (reached_ < end) {
    const size_t wanted = ZSTD_nextSrcSizeToDecompress(context);
    if (wanted == 0 || wanted > rest_.size()) return Bad("a page cannot be decompressed");
    const size_t written = ZSTD_decompressContinue(context, buffer_.get() + reached_,
                                                   size_ - reached_, rest_.data(), wanted);
    if (ZSTD_isError(written)) return Bad("a page cannot be decompressed");
    rest_.remove_prefix(wanted);
    reached_ += written;
  }
  return Status::Ok();
}

namespace {

/// Reads levels behind their length from `*at` on, and moves it behind them.
Status TakeLevels(PageBytes* plain, size_t* at, std::string_view* levels) {
  KALAM_RETURN_IF_ERROR(plain->Reach(*at + kPageLengthBytes));
  uint32_t size = 0;
  std::memcpy(&size, plain->bytes().data() + *at, kPageLengthBytes);
  *at += kPageLengthBytes;
  if (size > plain->size() - *at) return Bad("the levels of a page end early");
  KALAM_RETURN_IF_ERROR(plain->Reach(*at + size));
  *levels = plain->bytes().substr(*at, size);
  *at += size;
  return Status::Ok();
}

}  // namespace

Status DataPage::Open(const PageHeader& header, std::string_view stored,
                      const ParquetColumn& column, ParquetCodec codec, Decompressor& decompressor) {
  values_at = 0;
  repetition = definition = {};
  if (header.type == kDataPageV2) {
    repetition = stored.substr(0, static_cast<size_t>(header.repetition_bytes));
    definition = stored.substr(repetition.size(), static_cast<size_t>(header.definition_bytes));
    const size_t level_bytes = repetition.size() + definition.size();
    return plain.Open(stored.substr(level_bytes),
                      header.is_compressed ? codec : ParquetCodec::kUncompressed,
                      header.size - static_cast<int64_t>(level_bytes), decompressor);
  }
  KALAM_RETURN_IF_ERROR(plain.Open(stored, codec, header.size, decompressor));
  if (column.repetition_max > 0) {
    KALAM_RETURN_IF_ERROR(TakeLevels(&plain, &values_at, &repetition));
  }
  if (column.definition_max > 0) return TakeLevels(&plain, &values_at, &definition);
  return Status::Ok();
}

}  // namespace kalam::segments
