// Row images into row, order and change records.
#include "replication/apply.h"

#include <string>

#include "replication/records.h"
#include "types/key_codec.h"
#include "types/row_codec.h"

namespace kalam::replication {
namespace {

using storage::Family;

void PutChange(const RowMutation& row, std::string_view seq_key, int64_t commit_time_us,
               std::string* scratch, storage::WriteBatch* batch) {
  scratch->clear();
  EncodeChangeRecord({.op = row.op,
                      .is_stream = row.is_stream,
                      .schema_version = row.schema_version,
                      .previous_seq = row.read_seq,
                      .commit_time_us = commit_time_us,
                      .expire_at_us = row.expire_at_us,
                      .encoded_pk = row.encoded_pk,
                      .row = row.row,
                      .old_cells = row.old_cells},
                     scratch);
  batch->Put(Family::kChanges, seq_key, *scratch);
}

void ForgetVersion(const RowMutation& row, storage::WriteBatch* batch) {
  batch->Delete(Family::kRows, storage::RowKey(row.table, row.scope, row.encoded_pk));
  batch->SingleDelete(Family::kOrder, storage::SeqKey(row.table, row.scope, row.read_seq));
}

void ApplyRow(const RowMutation& row, Seq seq, std::string_view seq_key, std::string* scratch,
              storage::WriteBatch* batch) {
  bool tombstone = row.op == ChangeOp::kDelete;
  scratch->clear();
  EncodeRowRecord({tombstone, seq, row.schema_version, row.row}, scratch);
  batch->Put(Family::kRows, storage::RowKey(row.table, row.scope, row.encoded_pk), *scratch);
  if (row.read_seq.value != 0 && !row.read_was_cold) {
    batch->SingleDelete(Family::kOrder, storage::SeqKey(row.table, row.scope, row.read_seq));
  }
  scratch->clear();
  EncodeOrderRecord({tombstone, row.encoded_pk}, scratch);
  batch->Put(Family::kOrder, seq_key, *scratch);
}

}  // namespace

void ApplyCommand(const Command& command, Seq base, int64_t commit_time_us,
                  storage::WriteBatch* batch) {
  std::string scratch;
  Seq seq = base;
  for (const RowMutation& row : command.rows) {
    if (row.forgets_version) {
      ForgetVersion(row, batch);
      ++seq.value;
      continue;
    }
    std::string seq_key = storage::SeqKey(row.table, row.scope, seq);
    if (!row.is_stream) {
      ApplyRow(row, seq, seq_key, &scratch, batch);
    } else if (row.op == ChangeOp::kDelete && row.read_seq.value != 0) {
      batch->Delete(Family::kChanges, storage::SeqKey(row.table, row.scope, row.read_seq));
    }
    PutChange(row, seq_key, commit_time_us, &scratch, batch);
    ++seq.value;
  }
  for (const catalog::RecordWrite& write : command.records) {
    if (write.value) {
      batch->Put(write.family, write.key, *write.value);
    } else {
      batch->Delete(write.family, write.key);
    }
  }
  for (const ForgottenRange& range : command.forgotten_ranges)
    batch->DeleteRange(range.family, range.begin, range.end);
  for (TableId table : command.dropped_tables) {
    std::string begin = storage::TablePrefix(table);
    std::string end = PrefixEnd(begin);
    for (Family family : {Family::kRows, Family::kOrder, Family::kChanges, Family::kSegments}) {
      batch->DeleteRange(family, begin, end);
    }
  }
}

void PutGroupRecord(const GroupRecord& record, storage::WriteBatch* batch) {
  std::string value;
  PutVarint(&value, record.last_applied);
  PutVarint(&value, static_cast<uint64_t>(record.last_seq.value));
  batch->Put(Family::kLog, kStandaloneGroupKey, value);
}

Result<GroupRecord> ReadGroupRecord(storage::Store& store) {
  KALAM_ASSIGN_OR_RETURN(auto value, store.Get(Family::kLog, kStandaloneGroupKey));
  GroupRecord record;
  if (!value) return record;
  std::string_view bytes = *value;
  uint64_t last_seq = 0;
  if (!GetVarint(&bytes, &record.last_applied) || !GetVarint(&bytes, &last_seq) || !bytes.empty() ||
      last_seq > INT64_MAX) {
    return Status(ErrorKind::Corruption,
                  "the record of the replication group cannot be decoded; restore the data "
                  "directory from a backup");
  }
  record.last_seq.value = static_cast<int64_t>(last_seq);
  return record;
}

}  // namespace kalam::replication
