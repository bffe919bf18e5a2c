// Records of kRows, kOrder and kChanges: written by apply, read by `tables`.
//
//   row     := flags:1 (1 = tombstone)  seq:varint  schema_version:varint  row bytes (row_codec.h)
//   order   := flags:1 (1 = tombstone)  encoded primary key
//   change  := op:1  flags:1 (1 = STREAM)  schema_version:varint  previous_seq:varint
//   commit_time_us:varint
//              expire_at_us:varint  pk length:varint  encoded pk  row length:varint  row  old cells
//
// Every row key has exactly one order entry, put once and deleted with it; tombstones have one
// as well, so that a resume from state finds deletions in `_seq` order.
#pragma once

#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/status.h"
#include "replication/command.h"

namespace kalam::replication {

struct RowRecord {
  bool tombstone = false;
  Seq seq;
  uint32_t schema_version = 0;
  std::string_view row;
};
struct OrderRecord {
  bool tombstone = false;
  std::string_view encoded_pk;
};
struct ChangeRecord {
  ChangeOp op = ChangeOp::kInsert;
  bool is_stream = false;
  uint32_t schema_version = 0;
  Seq previous_seq;
  int64_t commit_time_us = 0;
  int64_t expire_at_us = 0;
  std::string_view encoded_pk;
  std::string_view row;
  std::string_view old_cells;
};

void EncodeRowRecord(const RowRecord& record, std::string* out);
void EncodeOrderRecord(const OrderRecord& record, std::string* out);
void EncodeChangeRecord(const ChangeRecord& record, std::string* out);
/// Views into `bytes`. Errors: Corruption.
Result<RowRecord> DecodeRowRecord(std::string_view bytes);
Result<OrderRecord> DecodeOrderRecord(std::string_view bytes);
Result<ChangeRecord> DecodeChangeRecord(std::string_view bytes);

}  // namespace kalam::replication
