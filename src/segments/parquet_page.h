// The pages of a column chunk: what their headers say, and their bytes, decompressed as far as
// somebody looks.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/status.h"
#include "segments/parquet_footer.h"

namespace kalam::segments {

/// A page that claims more was not written by us.
inline constexpr int64_t kPageBytesMax = int64_t{1} << 30;

/// The numbers of the format.
enum PageType : uint8_t { kDataPage = 0, kIndexPage = 1, kDictionaryPage = 2, kDataPageV2 = 3 };
enum PageEncoding : uint8_t { kPlain = 0, kPlainDictionary = 2, kRle = 3, kRleDictionary = 8 };

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

  bool is_data() const { return type == kDataPage || type == kDataPageV2; }
};

/// Bytes of one value of a column; 0 where each has its own length before it.
size_t ValueWidth(const ParquetColumn& column);

/// Of the length before levels, dictionary indexes of booleans and runs of bytes.
inline constexpr size_t kPageLengthBytes = 4;
/// Reads `[length: 4 LE] bytes` from the front of `in` and drops it; false when it ends before.
[[nodiscard]] bool TakeLengthPrefixed(std::string_view* in, std::string_view* bytes);

/// Reads a page's header from the front of `rest` and drops it; the page's bytes follow there, all
/// of them. Errors: Corruption.
Result<PageHeader> ReadPageHeader(std::string_view* rest);

/// What decompressing needs besides the bytes, for one page after another. Not thread-safe.
class Decompressor {
 public:
  Decompressor();
  ~Decompressor();
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
  struct State;
  State& state() { return *state_; }

 private:
  const std::unique_ptr<State> state_;
};

/// Bytes of one page, decompressed from their begin on. Not thread-safe; one of a Decompressor at a
/// time.
class PageBytes {
 public:
  /// `stored` must outlive it. Errors: Corruption (they do not hold `size` bytes).
  Status Open(std::string_view stored, ParquetCodec codec, int64_t size,
              Decompressor& decompressor);
  size_t size() const { return size_; }
  /// What is there by now; grows by Reach, and stays where it is.
  std::string_view bytes() const { return {data_, reached_}; }
  /// Makes the first `end` bytes available. Errors: Corruption (the page is shorter, or cannot be
  /// decompressed).
  Status Reach(size_t end) { return end <= reached_ ? Status::Ok() : Decompress(end); }
  Status ReachAll() { return Reach(size_); }

 private:
  Status Decompress(size_t end);

  Decompressor* decompressor_ = nullptr;
  std::string_view rest_;  // not decompressed yet
  std::unique_ptr<char[]> buffer_;
  size_t buffer_size_ = 0;
  const char* data_ = nullptr;
  size_t size_ = 0;
  size_t reached_ = 0;
};

/// A data page whose levels can be read.
struct DataPage {
  PageBytes plain;
  // RLE and packed bits; empty where the column has none. Views into `plain` or into the file.
  std::string_view repetition, definition;
  size_t values_at = 0;  // in `plain`

  /// Of both versions. Reaches no further than the levels. `stored` must outlive it. Errors:
  /// Corruption.
  Status Open(const PageHeader& header, std::string_view stored, const ParquetColumn& column,
              ParquetCodec codec, Decompressor& decompressor);
};

}  // namespace kalam::segments
