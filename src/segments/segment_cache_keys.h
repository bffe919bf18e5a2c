// The keys under which parts of segments are kept in the cache: no two kinds share one.
#pragma once

#include <string>

#include "segments/segment_record.h"
#include "types/key_codec.h"

namespace kalam::segments {

/// What all cache keys of one kind of one segment begin with.
inline std::string SegmentCacheKey(char kind, const SegmentRecord& record) {
  std::string key(1, kind);
  EncodeBigEndian32(record.table.value, &key);
  EncodeBigEndian64(record.segment_id, &key);
  return key;
}

/// A SegmentFile.
inline std::string FileCacheKey(const SegmentRecord& record) {
  return SegmentCacheKey('f', record);
}
/// CheckedRanges.
inline std::string ChecksCacheKey(const SegmentRecord& record) {
  return SegmentCacheKey('k', record);
}
/// A DecodedColumn.
inline std::string ColumnCacheKey(const SegmentRecord& record, size_t group, uint32_t column) {
  std::string key = SegmentCacheKey('c', record);
  EncodeBigEndian32(static_cast<uint32_t>(group), &key);
  EncodeBigEndian32(column, &key);
  return key;
}
/// PackedNumbers: the primary keys of a row group.
inline std::string KeysCacheKey(const SegmentRecord& record, size_t group) {
  std::string key = SegmentCacheKey('n', record);
  EncodeBigEndian32(static_cast<uint32_t>(group), &key);
  return key;
}

}  // namespace kalam::segments
