// A record of a segment for tests that look at records only: no file lies behind it.
#pragma once

#include <string>

#include "segments/segment_record.h"

namespace kalam::tiering {

/// Of many scopes, ten rows with keys from "a" to "k"; `_seq`s as of the hundred of its number.
inline segments::SegmentRecord TestSegment(TableId table, uint64_t id) {
  segments::SegmentRecord segment;
  segment.table = table;
  segment.segment_id = id;
  segment.place = segments::SegmentPlace::Many();
  segment.min_key = "a";
  segment.max_key = "k";
  segment.row_count = 10;
  segment.min_seq = Seq{static_cast<int64_t>(id) * 100};
  segment.max_seq = Seq{static_cast<int64_t>(id) * 100 + 99};
  segment.storage_id = "local";
  segment.path = "app/t/batch-0.parquet";
  segment.size_bytes = 1000;
  segment.footer_bytes = 100;
  segment.checksum.assign(16, 'c');
  segment.schema_version = 1;
  return segment;
}

}  // namespace kalam::tiering
