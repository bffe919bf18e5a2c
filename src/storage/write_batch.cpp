// WriteBatch: operations in the form in which RocksDB logs them, so that Write hands over the bytes
// as they are.
//
//   batch     := sequence:8 (filled in by RocksDB)  count:4  operation*
//   operation := tag:1  family:varint  key length:varint  key  [value length:varint  value]
//
// This is the format of RocksDB's log file, which it promises to read for ever. Building it here
// needs no handle of an open database and no second copy.
#include <rocksdb/write_batch.h>

#include "storage/rocksdb_internal.h"
#include "storage/write_batch_rep.h"
#include "types/row_codec.h"

namespace kalam::storage {
namespace {

constexpr size_t kHeaderBytes = 12;
constexpr char kDeletion = 0x4;
constexpr char kValue = 0x5;
constexpr char kSingleDeletion = 0x8;
constexpr char kRangeDeletion = 0xE;

void AppendBytes(std::string_view bytes, std::string* out) {
  PutVarint(out, bytes.size());
  out->append(bytes);
}

void AppendOperation(char tag, Family family, std::string_view key, std::string* out) {
  out->push_back(tag);
  PutVarint(out, FamilyNumber(family));
  AppendBytes(key, out);
}

}  // namespace

WriteBatch::WriteBatch() : rep_(std::make_unique<Rep>()) { Clear(); }
WriteBatch::~WriteBatch() = default;
WriteBatch::WriteBatch(WriteBatch&&) noexcept = default;
WriteBatch& WriteBatch::operator=(WriteBatch&&) noexcept = default;

void WriteBatch::Put(Family family, std::string_view key, std::string_view value) {
  AppendOperation(kValue, family, key, &rep_->bytes);
  AppendBytes(value, &rep_->bytes);
  ++rep_->count;
}

void WriteBatch::Delete(Family family, std::string_view key) {
  AppendOperation(kDeletion, family, key, &rep_->bytes);
  ++rep_->count;
}

void WriteBatch::SingleDelete(Family family, std::string_view key) {
  AppendOperation(kSingleDeletion, family, key, &rep_->bytes);
  ++rep_->count;
}

void WriteBatch::DeleteRange(Family family, std::string_view begin, std::string_view end) {
  AppendOperation(kRangeDeletion, family, begin, &rep_->bytes);
  AppendBytes(end, &rep_->bytes);
  ++rep_->count;
  rep_->deleted_ranges[family].Add(begin, end);
}

void WriteBatch::Clear() {
  rep_->bytes.assign(kHeaderBytes, '\0');
  rep_->count = 0;
  rep_->deleted_ranges.clear();
}

size_t WriteBatch::byte_size() const { return rep_->bytes.size(); }

bool WriteBatch::empty() const { return rep_->count == 0; }

}  // namespace kalam::storage
