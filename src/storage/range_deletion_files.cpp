// A listener of RocksDB that looks at the properties of each table file.
#include "storage/range_deletion_files.h"

#include <rocksdb/listener.h>
#include <rocksdb/table_properties.h>

#include <algorithm>
#include <utility>

#include "storage/rocksdb_internal.h"

namespace kalam::storage {
namespace {

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

class Listener final : public rocksdb::EventListener {
 public:
  explicit Listener(std::shared_ptr<RangeDeletionFiles> files) : files_(std::move(files)) {}
  // Before any reader can see the file ...
  void OnTableFileCreated(const rocksdb::TableFileCreationInfo& created) override {
    if (created.status.ok() && created.table_properties.num_range_deletions > 0)
      files_->Add(created.cf_name, created.file_path);
  }
  // ... and when the last reader has let go of it.
  void OnTableFileDeleted(const rocksdb::TableFileDeletionInfo& deleted) override {
    files_->Remove(deleted.file_path);
  }

 private:
  const std::shared_ptr<RangeDeletionFiles> files_;
};

}  // namespace

std::shared_ptr<rocksdb::EventListener> RangeDeletionFiles::MakeListener() {
  return std::make_shared<Listener>(shared_from_this());
}

Status RangeDeletionFiles::Load(rocksdb::DB& database,
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

void RangeDeletionFiles::Add(std::string_view family_name, const std::string& path) {
  for (const Family family : {Family::kRows, Family::kOrder}) {
    const auto index = static_cast<size_t>(family);
    if (family_name != kFamilyNames[index]) continue;
    const std::lock_guard lock(mutex_);
    if (files_.emplace(NameOf(path), family).second) ++counts_[index];
  }
}

void RangeDeletionFiles::Remove(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto file = files_.find(NameOf(path));
  if (file == files_.end()) return;
  --counts_[static_cast<size_t>(file->second)];
  files_.erase(file);
}

}  // namespace kalam::storage
