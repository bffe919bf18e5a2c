// A collector that notes in each table file where its deletions of ranges lie, a listener that
// looks there, and marks of writes.
#include "storage/range_deletions.h"

#include <rocksdb/listener.h>
#include <rocksdb/table_properties.h>
#include <rocksdb/wal_filter.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "storage/rocksdb_internal.h"

namespace kalam::storage {
namespace {

constexpr char kProperty[] = "kalam.deleted_ranges";

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::optional<Family> FamilyOf(const std::string& name) {
  const auto known = std::find(kFamilyNames.begin(), kFamilyNames.end(), name);
  if (known == kFamilyNames.end()) return std::nullopt;
  return static_cast<Family>(known - kFamilyNames.begin());
}

std::string_view ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

class Collector final : public rocksdb::TablePropertiesCollector {
 public:
  const char* Name() const override { return kProperty; }
  rocksdb::Status AddUserKey(const rocksdb::Slice& key, const rocksdb::Slice& value,
                             rocksdb::EntryType type, rocksdb::SequenceNumber, uint64_t) override {
    if (type == rocksdb::kEntryRangeDeletion) spans_.Add(ToView(key), ToView(value));
    return {};
  }
  rocksdb::Status Finish(rocksdb::UserCollectedProperties* properties) override {
    if (!spans_.empty()) (*properties)[kProperty] = spans_.Encode();
    return {};
  }
  rocksdb::UserCollectedProperties GetReadableProperties() const override { return {}; }

 private:
  KeySpans spans_;
};

class CollectorFactory final : public rocksdb::TablePropertiesCollectorFactory {
 public:
  const char* Name() const override { return kProperty; }
  rocksdb::TablePropertiesCollector* CreateTablePropertiesCollector(Context) override {
    return std::make_unique<Collector>().release();  // RocksDB owns it
  }
};

class Listener final : public rocksdb::EventListener {
 public:
  explicit Listener(std::shared_ptr<RangeDeletions> files) : files_(std::move(files)) {}
  // Before any reader can see the file ...
  void OnTableFileCreated(const rocksdb::TableFileCreationInfo& created) override {
    if (created.status.ok())
      files_->AddFile(created.cf_name, created.file_path, created.table_properties);
  }
  // ... and when the last reader has let go of it.
  void OnTableFileDeleted(const rocksdb::TableFileDeletionInfo& deleted) override {
    files_->RemoveFile(deleted.file_path);
  }
  // Its file was told of by then.
  void OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo& flushed) override {
    const auto family = FamilyOf(flushed.cf_name);
    if (family) files_->WrittenOut(*family, flushed.largest_seqno);
  }

 private:
  const std::shared_ptr<RangeDeletions> files_;
};

/// Looks for operations that delete ranges.
class RangeDeletionFinder final : public rocksdb::WriteBatch::Handler {
 public:
  explicit RangeDeletionFinder(DeletedRanges* found) : found_(*found) {}
  rocksdb::Status DeleteRangeCF(uint32_t number, const rocksdb::Slice& begin,
                                const rocksdb::Slice& end) override {
    for (int i = 0; i < kFamilyCount; ++i) {
      const auto family = static_cast<Family>(i);
      if (number == FamilyNumber(family)) found_[family].Add(ToView(begin), ToView(end));
    }
    return {};
  }
  rocksdb::Status PutCF(uint32_t, const rocksdb::Slice&, const rocksdb::Slice&) override {
    return {};
  }
  rocksdb::Status DeleteCF(uint32_t, const rocksdb::Slice&) override { return {}; }
  rocksdb::Status SingleDeleteCF(uint32_t, const rocksdb::Slice&) override { return {}; }
  void LogData(const rocksdb::Slice&) override {}

 private:
  DeletedRanges& found_;
};

class LogReader final : public rocksdb::WalFilter {
 public:
  explicit LogReader(DeletedRanges* found) : found_(found) {}
  void ColumnFamilyLogNumberMap(const std::map<uint32_t, uint64_t>& first_logs,
                                const std::map<std::string, uint32_t>&) override {
    first_logs_ = first_logs;
  }
  WalProcessingOption LogRecordFound(unsigned long long log, const std::string&,
                                     const rocksdb::WriteBatch& batch, rocksdb::WriteBatch*,
                                     bool*) override {
    if (!batch.HasDeleteRange()) return WalProcessingOption::kContinueProcessing;
    DeletedRanges deleted;
    RangeDeletionFinder finder(&deleted);
    // What cannot be looked at is no range of ours; recovery finds what is wrong with it.
    batch.Iterate(&finder).PermitUncheckedError();
    for (const auto& [family, spans] : deleted) {
      // Of an older log the family has everything in its files.
      const auto first = first_logs_.find(FamilyNumber(family));
      if (first == first_logs_.end() || log >= first->second) (*found_)[family].Add(spans);
    }
    return WalProcessingOption::kContinueProcessing;
  }
  const char* Name() const override { return "kalam.range_deletions"; }

 private:
  DeletedRanges* const found_;
  std::map<uint32_t, uint64_t> first_logs_;  // that recovery reads, by number of the family
};

}  // namespace

std::shared_ptr<rocksdb::EventListener> RangeDeletions::MakeListener() {
  return std::make_shared<Listener>(shared_from_this());
}

std::shared_ptr<rocksdb::TablePropertiesCollectorFactory> RangeDeletions::MakeCollectorFactory() {
  return std::make_shared<CollectorFactory>();
}

std::unique_ptr<rocksdb::WalFilter> RangeDeletions::MakeLogReader(DeletedRanges* found) {
  return std::make_unique<LogReader>(found);
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
  std::vector<rocksdb::LiveFileMetaData> files;
  database.GetLiveFilesMetaData(&files);
  std::map<std::string, ScanRange> bounds;
  // The greatest key may be the end of a range, which is not inside, or a key.
  for (const rocksdb::LiveFileMetaData& file : files)
    bounds[NameOf(file.name)] = {file.smallestkey, file.largestkey + '\0'};
  for (rocksdb::ColumnFamilyHandle* family : families) {
    rocksdb::TablePropertiesCollection properties;
    KALAM_RETURN_IF_ERROR(ToStatus(database.GetPropertiesOfAllTables(family, &properties),
                                   "cannot read the properties of a table file"));
    for (const auto& [path, of_file] : properties)
      AddFile(family->GetName(), path, *of_file, bounds[NameOf(path)]);
  }
  return Status::Ok();
}

KeySpans RangeDeletions::HiddenIn(Family family, const ScanRange& range) const {
  KeySpans hidden;
  if (count(family) == 0) return hidden;
  const std::lock_guard lock(mutex_);
  for (const auto& [name, file] : files_)
    if (file.family == family) hidden.AddOverlapping(file.spans, range);
  for (const InMemtable& memtable : memtables_)
    if (memtable.family == family) hidden.AddOverlapping(memtable.spans, range);
  return hidden;
}

KeySpans RangeDeletions::LeftIn(rocksdb::DB& database, Family family,
                                const ScanRange& range) const {
  KeySpans left;
  if (count(family) == 0) return left;
  std::vector<rocksdb::LiveFileMetaData> live;
  database.GetLiveFilesMetaData(&live);
  const std::lock_guard lock(mutex_);
  for (const rocksdb::LiveFileMetaData& file : live) {
    const auto known = files_.find(NameOf(file.name));
    if (known != files_.end() && known->second.family == family)
      left.AddOverlapping(known->second.spans, range);
  }
  return left;
}

uint64_t RangeDeletions::BeginWrite(const DeletedRanges& ranges) {
  if (ranges.empty()) return 0;
  const std::lock_guard lock(mutex_);
  const uint64_t write = write_count_.load(std::memory_order_relaxed) + 1;
  for (const auto& [family, spans] : ranges) {
    memtables_.push_back({.write = write, .family = family, .spans = spans});
    counts_[static_cast<size_t>(family)].fetch_add(1, std::memory_order_release);
  }
  write_count_.store(write, std::memory_order_release);
  return write;
}

void RangeDeletions::EndWrite(uint64_t write, uint64_t sequence) {
  if (write == 0) return;
  const std::lock_guard lock(mutex_);
  std::vector<Family> families;
  for (InMemtable& memtable : memtables_) {
    if (memtable.write != write) continue;
    memtable.sequence = std::max<uint64_t>(sequence, 1);
    families.push_back(memtable.family);
  }
  // The memtable may have been written out before its writer was told that it has written.
  for (const Family family : families) DropWritten(family);
}

void RangeDeletions::WrittenOut(Family family, uint64_t sequence) {
  const std::lock_guard lock(mutex_);
  uint64_t& written_out = written_out_[static_cast<size_t>(family)];
  written_out = std::max(written_out, sequence);
  DropWritten(family);
}

void RangeDeletions::DropWritten(Family family) {
  const auto index = static_cast<size_t>(family);
  const auto dropped = std::erase_if(memtables_, [&](const InMemtable& memtable) {
    return memtable.family == family && memtable.sequence != 0 &&
           memtable.sequence <= written_out_[index];
  });
  counts_[index].fetch_sub(static_cast<int>(dropped), std::memory_order_release);
}

void RangeDeletions::AddFile(const std::string& family_name, const std::string& path,
                             const rocksdb::TableProperties& properties, const ScanRange& bounds) {
  if (properties.num_range_deletions == 0) return;
  const auto family = FamilyOf(family_name);
  if (!family) return;
  const auto noted = properties.user_collected_properties.find(kProperty);
  std::optional<KeySpans> spans;
  if (noted != properties.user_collected_properties.end()) spans = KeySpans::Decode(noted->second);
  // A file of an older version says only that there are some.
  if (!spans || spans->empty()) {
    spans.emplace();
    spans->Add(bounds.lower, bounds.upper);
  }
  const std::lock_guard lock(mutex_);
  if (files_.emplace(NameOf(path), InFile{*family, *std::move(spans)}).second)
    counts_[static_cast<size_t>(*family)].fetch_add(1, std::memory_order_release);
}

void RangeDeletions::RemoveFile(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto file = files_.find(NameOf(path));
  if (file == files_.end()) return;
  counts_[static_cast<size_t>(file->second.family)].fetch_sub(1, std::memory_order_release);
  files_.erase(file);
}

}  // namespace kalam::storage
