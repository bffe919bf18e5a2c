// Decodes one value of a column chunk, and as little besides as the format allows.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/status.h"
#include "segments/decoded_column.h"
#include "segments/parquet_footer.h"
#include "segments/parquet_page.h"

namespace kalam::segments {

/// The value of `row` (less than `row_count`) as a column of that one row; the rest as DecodeChunk,
/// which would give the same value. Pages before the row's are passed over, its own is decompressed
/// up to the value, and of dictionaries the entries up to the value's are looked at. What comes
/// after is not checked.
Result<std::shared_ptr<const DecodedColumn>> DecodeCell(const ParquetColumn& column,
                                                        const ParquetChunk& chunk,
                                                        std::string_view bytes, int64_t row_count,
                                                        uint32_t list_length, size_t row,
                                                        Decompressor& decompressor);

}  // namespace kalam::segments
