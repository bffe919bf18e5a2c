// Decodes the pages of one column chunk.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/status.h"
#include "segments/decoded_column.h"
#include "segments/parquet_footer.h"
#include "segments/parquet_page.h"

namespace kalam::segments {

/// `bytes` are the chunk's, all of them. `list_length`: how many elements every list that is not
/// NULL has (a list's values are given as one run of that many); 0 for a column that is no list.
/// Knows data pages of both versions, plain and dictionary encodings, zstd. Errors: Corruption
/// (also for encodings that our writer never uses); never reads outside `bytes`.
Result<std::shared_ptr<const DecodedColumn>> DecodeChunk(const ParquetColumn& column,
                                                         const ParquetChunk& chunk,
                                                         std::string_view bytes, int64_t row_count,
                                                         uint32_t list_length,
                                                         Decompressor& decompressor);

}  // namespace kalam::segments
