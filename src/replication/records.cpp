// Encoding and decoding of the three records.
#include "replication/records.h"

#include "types/row_codec.h"

namespace kalam::replication {
namespace {

constexpr char kTombstoneFlag = 1;
constexpr char kStreamFlag = 1;

Status Broken(const char* record) {
  return Status(ErrorKind::Corruption, std::string("a ") + record + " record cannot be decoded");
}

bool TakeByte(std::string_view* bytes, char* byte) {
  if (bytes->empty()) return false;
  *byte = bytes->front();
  bytes->remove_prefix(1);
  return true;
}

bool TakeInt64(std::string_view* bytes, int64_t* value) {
  uint64_t number = 0;
  if (!GetVarint(bytes, &number)) return false;
  *value = static_cast<int64_t>(number);
  return true;
}

bool TakeVersion(std::string_view* bytes, uint32_t* version) {
  uint64_t number = 0;
  if (!GetVarint(bytes, &number) || number > UINT32_MAX) return false;
  *version = static_cast<uint32_t>(number);
  return true;
}

bool TakeRun(std::string_view* bytes, std::string_view* run) {
  uint64_t size = 0;
  if (!GetVarint(bytes, &size) || size > bytes->size()) return false;
  *run = bytes->substr(0, size);
  bytes->remove_prefix(size);
  return true;
}

void PutInt64(std::string* out, int64_t value) { PutVarint(out, static_cast<uint64_t>(value)); }

void PutRun(std::string* out, std::string_view run) {
  PutVarint(out, run.size());
  out->append(run);
}

}  // namespace

void EncodeRowRecord(const RowRecord& record, std::string* out) {
  out->push_back(record.tombstone ? kTombstoneFlag : 0);
  PutInt64(out, record.seq.value);
  PutVarint(out, record.schema_version);
  out->append(record.row);
}

void EncodeOrderRecord(const OrderRecord& record, std::string* out) {
  out->push_back(record.tombstone ? kTombstoneFlag : 0);
  out->append(record.encoded_pk);
}

void EncodeChangeRecord(const ChangeRecord& record, std::string* out) {
  out->push_back(static_cast<char>(record.op));
  out->push_back(record.is_stream ? kStreamFlag : 0);
  PutVarint(out, record.schema_version);
  PutInt64(out, record.previous_seq.value);
  PutInt64(out, record.commit_time_us);
  PutInt64(out, record.expire_at_us);
  PutRun(out, record.encoded_pk);
  PutRun(out, record.row);
  out->append(record.old_cells);
}

Result<RowRecord> DecodeRowRecord(std::string_view bytes) {
  RowRecord record;
  char flags = 0;
  if (!TakeByte(&bytes, &flags) || !TakeInt64(&bytes, &record.seq.value) ||
      !TakeVersion(&bytes, &record.schema_version)) {
    return Broken("row");
  }
  record.tombstone = (flags & kTombstoneFlag) != 0;
  record.row = bytes;
  return record;
}

Result<OrderRecord> DecodeOrderRecord(std::string_view bytes) {
  OrderRecord record;
  char flags = 0;
  if (!TakeByte(&bytes, &flags)) return Broken("order");
  record.tombstone = (flags & kTombstoneFlag) != 0;
  record.encoded_pk = bytes;
  return record;
}

Result<ChangeRecord> DecodeChangeRecord(std::string_view bytes) {
  ChangeRecord record;
  char op = 0;
  char flags = 0;
  bool whole = TakeByte(&bytes, &op) && TakeByte(&bytes, &flags) &&
               TakeVersion(&bytes, &record.schema_version) &&
               TakeInt64(&bytes, &record.previous_seq.value) &&
               TakeInt64(&bytes, &record.commit_time_us) &&
               TakeInt64(&bytes, &record.expire_at_us) && TakeRun(&bytes, &record.encoded_pk) &&
               TakeRun(&bytes, &record.row);
  if (!whole || op < static_cast<char>(ChangeOp::kInsert) ||
      op > static_cast<char>(ChangeOp::kDelete)) {
    return Broken("change");
  }
  record.op = static_cast<ChangeOp>(op);
  record.is_stream = (flags & kStreamFlag) != 0;
  record.old_cells = bytes;
  return record;
}

}  // namespace kalam::replication
