// A listener of RocksDB that looks at the properties of each table file, and marks of writes.
#include "storage/range_deletions.h"

#include <rocksdb/listener.h>
#include <rocksdb/table_properties.h>
#include <rocksdb/wal_filter.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <map>
#include <utility>

#include "storage/rocksdb_internal.h"

namespace kalam::storage {
namespace {

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

class Listener final : public rocksdb::EventListener {
 public:
  explicit Listener(std::shared_ptr<RangeDeletions> files) : files_(std::move(files)) {}
  // Before any reader can see the file ...
  void OnTableFileCreated(const rocksdb::TableFileCreationInfo& created) override {
    if (created.status.ok() && created.table_properties.num_range_deletions > 0)
      files_->Add(created.cf_name, created.file_path);
  }
  // ... and when the last reader has let go of it.
  void OnTableFileDeleted(const rocksdb::TableFileDeletionInfo& deleted) override {
    files_->Remove(deleted.file_path);
  }
  // Its file was told of by then.
  void OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo& flushed) override {
    const auto family = RangeDeletions::FollowedFamily(flushed.cf_name);
    if (family) files_->WrittenOut(*family, flushed.largest_seqno);
  }

 private:
  const std::shared_ptr<RangeDeletions> files_;
};

/// Looks for operations that delete ranges.
class RangeDeletionFinder final : public rocksdb::WriteBatch::Handler {
 public:
  explicit RangeDeletionFinder(RangeDeletions::Families* found) : found_(*found) {}
  rocksdb::Status DeleteRangeCF(uint32_t number, const rocksdb::Slice&,
                                const rocksdb::Slice&) override {
    for (const Family family : RangeDeletions::kFollowed)
      if (number == FamilyNumber(family)) found_ |= RangeDeletions::BitOf(family);
    return {};
  }
  rocksdb::Status PutCF(uint32_t, const rocksdb::Slice&, const rocksdb::Slice&) override {
    return {};
  }
  rocksdb::Status DeleteCF(uint32_t, const rocksdb::Slice&) override { return {}; }
  rocksdb::Status SingleDeleteCF(uint32_t, const rocksdb::Slice&) override { return {}; }
  void LogData(const rocksdb::Slice&) override {}

 private:
  RangeDeletions::Families& found_;
};

class LogReader final : public rocksdb::WalFilter {
 public:
  explicit LogReader(RangeDeletions::Families* found) : found_(found) {}
  void ColumnFamilyLogNumberMap(const std::map<uint32_t, uint64_t>& first_logs,
                                const std::map<std::string, uint32_t>&) override {
    first_logs_ = first_logs;
  }
  WalProcessingOption LogRecordFound(unsigned long long log, const std::string&,
                                     const rocksdb::WriteBatch& batch, rocksdb::WriteBatch*,
                                     bool*) override {
    if (batch.HasDeleteRange()) {
      RangeDeletions::Families read = 0;
      for (const Family family : RangeDeletions::kFollowed) {
        // Of an older log the family has everything in its files.
        const auto first = first_logs_.find(FamilyNumber(family));
        if (first == first_logs_.end() || log >= first->second)
          read |= RangeDeletions::BitOf(family);
      }
      RangeDeletions::Families found = 0;
      RangeDeletionFinder finder(&found);
      // What cannot be looked at is no range of ours; recovery finds what is wrong with it.
      batch.Iterate(&finder).PermitUncheckedError();
      *found_ |= found & read;
    }
    return WalProcessingOption::kContinueProcessing;
  }
  const char* Name() const override { return "kalam.range_deletions"; }

 private:
  RangeDeletions::Families* const found_;
  std::map<uint32_t, uint64_t> first_logs_;  // that recovery reads, by number of the family
};

}  // namespace

std::shared_ptr<rocksdb::EventListener> RangeDeletions::MakeListener() {
  return std::make_shared<Listener>(shared_from_this());
}

std::unique_ptr<rocksdb::WalFilter> RangeDeletions::MakeLogReader(Families* found) {
  return std::make_unique<LogReader>(found);
}

std::optional<Family> RangeDeletions::FollowedFamily(std::string_view name) {
  for (const Family family : RangeDeletions::kFollowed)
    if (name == kFamilyNames[static_cast<size_t>(family)]) return family;
  return std::nullopt;
}

Status RangeDeletions::Load(rocksdb::DB& database,
                            const std::vector<rocksdb::ColumnFamilyHandle*>& families) {
  std::vector<std::string> names;
  KALAM_RETURN_IF_ERROR(ToStatus(database.GetEnv()->GetChildren(database.GetName(), &names),
                                 "cannot list the data directory"));
  // A new server does without the code that looks further, and the memory that it takes.
  if (std::none_of(names.begin(), names.end(),
                   [](const std::string& name) { return name.ends_with(".sst"); })) {
    return Status::Ok();
  }
  for (rocksdb::ColumnFamilyHandle* family : families) {
    rocksdb::TablePropertiesCollection properties;
    KALAM_RETURN_IF_ERROR(ToStatus(database.GetPropertiesOfAllTables(family, &properties),
                                   "cannot read the properties of a table file"));
    for (const auto& [path, of_file] : properties) {
      if (of_file->num_range_deletions > 0) Add(family->GetName(), path);
    }
  }
  return Status::Ok();
}

void RangeDeletions::RefreshFlag(size_t index) {
  const Memtable& memtable = memtables_[index];
  in_memtable_[index].store(memtable.writes_under_way > 0 || memtable.up_to > 0,
                            std::memory_order_release);
}

void RangeDeletions::BeginWrite(Families families) {
  if (families == 0) return;
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < kFamilyCount; ++i) {
    if ((families & BitOf(static_cast<Family>(i))) == 0) continue;
    ++memtables_[i].writes_under_way;
    RefreshFlag(i);
  }
}

void RangeDeletions::EndWrite(Families families, uint64_t last_sequence) {
  if (families == 0) return;
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < kFamilyCount; ++i) {
    if ((families & BitOf(static_cast<Family>(i))) == 0) continue;
    --memtables_[i].writes_under_way;
    memtables_[i].up_to = std::max(memtables_[i].up_to, last_sequence);
    RefreshFlag(i);
  }
}

uint64_t RangeDeletions::in_memtable_up_to(Family family) const {
  const std::lock_guard lock(mutex_);
  return memtables_[static_cast<size_t>(family)].up_to;
}

void RangeDeletions::WrittenOut(Family family, uint64_t sequence) {
  const auto index = static_cast<size_t>(family);
  const std::lock_guard lock(mutex_);
  if (memtables_[index].up_to > sequence) return;
  memtables_[index].up_to = 0;
  RefreshFlag(index);
}

void RangeDeletions::Add(std::string_view family_name, const std::string& path) {
  const auto family = FollowedFamily(family_name);
  if (!family) return;
  const std::lock_guard lock(mutex_);
  if (files_.emplace(NameOf(path), *family).second) ++counts_[static_cast<size_t>(*family)];
}

void RangeDeletions::Remove(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto file = files_.find(NameOf(path));
  if (file == files_.end()) return;
  --counts_[static_cast<size_t>(file->second)];
  files_.erase(file);
}

}  // namespace kalam::storage
