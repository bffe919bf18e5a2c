// Primary keys that are whole numbers: how a row group's are kept, and how one is found among them.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "segments/packed_numbers.h"
#include "segments/segment_file.h"

namespace kalam::segments {

/// Whether the keys of the file can be kept as PackedNumbers: those of one scope are in the order
/// of their values.
bool HasNumberKeys(const SegmentFile& file);

/// `keys`: the key column of a row group of such a file. Null when they do not pack.
std::shared_ptr<const PackedNumbers> PackKeys(const SegmentFile& file, const DecodedColumn& keys);

/// The place of a key, from `begin` on. `kind`: of the file's key column.
std::optional<size_t> FindKey(const PackedNumbers& keys, TypeKind kind, std::string_view encoded_pk,
                              size_t begin = 0);

}  // namespace kalam::segments
