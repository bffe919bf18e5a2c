// Storing, finding and reading; removal is in file_cleanup.cpp.
#include "files/file_store.h"

#include "catalog/storage_folder.h"
#include "tables/file_records.h"
#include "types/key_codec.h"
#include "types/row_codec.h"

namespace kalam::files {
namespace {

using storage::Family;

constexpr int kConflictRoundsMax = 8;

std::string FolderKey(std::string_view scope_prefix) {
  return std::string(tables::kFileFolderPrefix) + std::string(scope_prefix);
}

std::string EncodeFolder(const FolderCount& count) {
  std::string bytes;
  PutVarint(&bytes, static_cast<uint64_t>(count.folder_number));
  PutVarint(&bytes, static_cast<uint64_t>(count.file_count));
  return bytes;
}

Result<FolderCount> ReadFolder(storage::Store& store, std::string_view scope_prefix) {
  KALAM_ASSIGN_OR_RETURN(const auto value, store.Get(Family::kSystem, FolderKey(scope_prefix)));
  if (!value) return FolderCount{};
  std::string_view bytes = *value;
  uint64_t folder = 0, count = 0;
  if (!GetVarint(&bytes, &folder) || !GetVarint(&bytes, &count) || folder > INT32_MAX ||
      count > INT32_MAX) {
    return Status(ErrorKind::Corruption, "the count of a folder of files cannot be decoded");
  }
  return FolderCount{static_cast<int64_t>(folder), static_cast<int64_t>(count)};
}

}  // namespace

Upload::~Upload() { store_.Settle(ids_); }

FileStore::FileStore(Services services, FileLimits limits)
    : services_(std::move(services)),
      limits_(std::move(limits)),
      ids_(services_.clock, 0, 2),
      uploaded_(services_.metrics.counter("files_uploaded")),
      removed_(services_.metrics.counter("files_removed")) {
  observer_ = services_.group.AddObserver([this](const auto& batch) { OnCommitted(*batch); });
}

FileStore::~FileStore() { Close(); }

Result<std::unique_ptr<FileStore>> FileStore::Open(Services services, FileLimits limits) {
  KALAM_RETURN_IF_ERROR(RemoveStagedLeftovers(limits));
  return std::make_unique<FileStore>(std::move(services), std::move(limits));
}

Status FileStore::Commit(catalog::RecordWrites records) {
  auto command = std::make_shared<replication::Command>();
  command->records = std::move(records);
  Status status;
  for (int round = 0; round < kConflictRoundsMax; ++round) {
    status = replication::ProposeAndWait(services_.group, command).status;
    if (!status.Is(ErrorKind::Conflict)) break;
  }
  return status;
}

// Where the next file of the scope goes. Counts of scopes with uploads under way are kept in
// memory, so that two of them do not count the same place; a crash may leave a folder a little
// fuller.
Result<FolderCount> FileStore::NextFolder(const std::string& scope_prefix) {
  const std::lock_guard lock(mutex_);
  auto found = open_folders_.find(scope_prefix);
  if (found == open_folders_.end()) {
    KALAM_ASSIGN_OR_RETURN(const FolderCount stored, ReadFolder(services_.store, scope_prefix));
    found = open_folders_.emplace(scope_prefix, OpenFolder{stored, 0}).first;
  }
  OpenFolder& open = found->second;
  ++open.users;
  if (open.count.folder_number == 0 || open.count.file_count >= limits_.files_per_folder_max) {
    open.count = {open.count.folder_number + 1, 0};
  }
  ++open.count.file_count;
  return open.count;
}

void FileStore::LeaveFolder(const std::string& scope_prefix) {
  const std::lock_guard lock(mutex_);
  const auto found = open_folders_.find(scope_prefix);
  if (found != open_folders_.end() && --found->second.users == 0) open_folders_.erase(found);
}

Result<std::unique_ptr<Upload>> FileStore::Store(const FileScope& target,
                                                 const std::vector<const StagedFile*>& files) {
  const std::string& storage_id = target.table->options.storage_id;
  KALAM_ASSIGN_OR_RETURN(const auto record, services_.catalog.FindStorage(storage_id));
  if (!record) return Status(ErrorKind::NotFound, "Storage '" + storage_id + "' not found");
  KALAM_ASSIGN_OR_RETURN(const auto storage, services_.find_storage(storage_id));
  const std::string scope_prefix = storage::ScopePrefix(target.table->id, target.scope);
  const std::string folder = catalog::ScopeFolder(*record, *target.table, target.scope.user_id());

  std::vector<int64_t> ids;
  for (size_t i = 0; i < files.size(); ++i) ids.push_back(ids_.Next());
  {
    const std::lock_guard lock(mutex_);
    active_.insert(ids.begin(), ids.end());
  }
  auto upload = std::make_unique<Upload>(*this, ids);
  catalog::RecordWrites records;
  std::vector<std::string> paths;
  Status status;
  size_t folder_users = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    const StagedFile& file = *files[i];
    Result<FolderCount> count = NextFolder(scope_prefix);
    if (!count.ok()) {
      status = std::move(count).status();
      break;
    }
    ++folder_users;
    FileEntry entry;
    entry.reference = {.id = ids[i],
                       .sub = FolderName(count->folder_number),
                       .name = file.name,
                       .size_bytes = file.size_bytes,
                       .mime = file.mime,
                       .sha256 = file.sha256};
    entry.stored_name = StoredName(ids[i], file.name);
    entry.storage_id = storage_id;
    entry.path = folder + "/" + entry.reference.sub + "/" + entry.stored_name;
    entry.created_at_us = services_.clock.NowUs();
    records.push_back(
        {Family::kSystem, tables::FileEntryKey(scope_prefix, ids[i]), EncodeFileEntry(entry)});
    records.push_back({Family::kSystem, tables::FilePendingKey(ids[i]), scope_prefix});
    records.push_back({Family::kSystem, FolderKey(scope_prefix), EncodeFolder(*count)});
    paths.push_back(std::move(entry.path));
    upload->references.emplace(file.placeholder, std::move(entry.reference));
  }
  if (status.ok()) status = Commit(std::move(records));
  for (; folder_users > 0; --folder_users) LeaveFolder(scope_prefix);
  KALAM_RETURN_IF_ERROR(status);
  for (size_t i = 0; i < files.size(); ++i) {
    KALAM_RETURN_IF_ERROR(storage->PutFile(files[i]->path, paths[i]));
    uploaded_.Add();
  }
  return upload;
}

void FileStore::Settle(const std::vector<int64_t>& ids) {
  const std::lock_guard lock(mutex_);
  for (const int64_t id : ids) {
    active_.erase(id);
    settled_.push_back(id);
  }
  due_.store(true);
}

bool FileStore::HasReference(std::string_view scope_prefix, int64_t id) {
  const std::string prefix = tables::FileReferencesKey(scope_prefix, id);
  const auto references =
      services_.store.NewIterator(Family::kSystem, {prefix, PrefixEnd(prefix)}, nullptr);
  references->SeekToFirst();
  // What cannot be read counts as referred to: nothing is removed on a doubt.
  return references->Valid() || !references->status().ok();
}

Result<std::optional<FileEntry>> FileStore::Find(const FileScope& target, std::string_view sub,
                                                 std::string_view name) {
  const int64_t id = IdOfStoredName(name);
  if (id == 0) return std::optional<FileEntry>();
  const std::string scope_prefix = storage::ScopePrefix(target.table->id, target.scope);
  KALAM_ASSIGN_OR_RETURN(
      const auto value,
      services_.store.Get(Family::kSystem, tables::FileEntryKey(scope_prefix, id)));
  if (!value) return std::optional<FileEntry>();
  KALAM_ASSIGN_OR_RETURN(FileEntry entry, DecodeFileEntry(*value));
  const bool named = name == entry.stored_name || name == std::to_string(id);
  if (!named || entry.reference.sub != sub || !HasReference(scope_prefix, id)) {
    return std::optional<FileEntry>();
  }
  return std::optional<FileEntry>(std::move(entry));
}

Result<std::string> FileStore::Read(const FileEntry& entry, int64_t offset, int64_t length) {
  KALAM_ASSIGN_OR_RETURN(const auto storage, services_.find_storage(entry.storage_id));
  Result<std::string> bytes = storage->Read(entry.path, offset, length);
  if (!bytes.ok() && bytes.status().Is(ErrorKind::NotFound)) {
    return Status(ErrorKind::FileNotFound, "File not found");
  }
  return bytes;
}

Status FileStore::List(const FileScope& target,
                       const std::function<bool(const FileEntry&)>& visit) {
  const std::string scope_prefix = storage::ScopePrefix(target.table->id, target.scope);
  const std::string prefix = std::string(tables::kFileEntryPrefix) + scope_prefix;
  const auto entries =
      services_.store.NewIterator(Family::kSystem, {prefix, PrefixEnd(prefix)}, nullptr);
  for (entries->SeekToFirst(); entries->Valid(); entries->Next()) {
    KALAM_ASSIGN_OR_RETURN(const FileEntry entry, DecodeFileEntry(entries->value()));
    if (HasReference(scope_prefix, entry.reference.id) && !visit(entry)) break;
  }
  return entries->status();
}

Result<FolderCount> FileStore::Folder(TableId table, const storage::Scope& scope) {
  return ReadFolder(services_.store, storage::ScopePrefix(table, scope));
}

}  // namespace kalam::files
