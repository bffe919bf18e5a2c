// Executors of backup and restore jobs.
#include "jobs/backup_jobs.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "backup/fetch_file.h"
#include "base/log.h"
#include "segments/segment_record.h"
#include "storage/checkpoint.h"

namespace kalam::jobs {
namespace {

constexpr double kMegabyte = 1 << 20;
constexpr std::string_view kLocal = "local";

/// An opened place: the objects below `prefix` of `storage`.
struct OpenPlace {
  std::shared_ptr<objects::ObjectStorage> storage;
  std::string prefix;
};

struct Parameters {
  BackupPlace place;
  std::string namespace_id, user_id;
};

Parameters ParametersOf(const JobRecord& job) {
  const auto json = nlohmann::json::parse(job.parameters_json, nullptr, false);
  if (!json.is_object()) return {};
  return {
      .place = {.storage_id = json.value("storage_id", ""), .path = json.value("backup_path", "")},
      .namespace_id = json.value("namespace_id", ""),
      .user_id = json.value("user_id", "")};
}

/// Opens each storage of a backup once.
class OpenStorages {
 public:
  explicit OpenStorages(const objects::StorageSet& storages) : storages_(storages) {}

  Result<std::shared_ptr<objects::ObjectStorage>> Find(const std::string& storage_id) {
    auto found = open_.find(storage_id);
    if (found == open_.end()) {
      KALAM_ASSIGN_OR_RETURN(auto storage, storages_.FindUncached(storage_id));
      found = open_.emplace(storage_id, std::move(storage)).first;
    }
    return found->second;
  }

 private:
  const objects::StorageSet& storages_;
  std::map<std::string, std::shared_ptr<objects::ObjectStorage>> open_;
};

Result<OpenPlace> Open(objects::StorageSet& storages, const BackupPlace& place,
                       objects::BaseFolder base_folder) {
  if (!place.storage_id.empty()) {
    KALAM_ASSIGN_OR_RETURN(auto storage, storages.FindUncached(place.storage_id));
    return OpenPlace{.storage = std::move(storage), .prefix = place.path + "/"};
  }
  KALAM_ASSIGN_OR_RETURN(std::unique_ptr<objects::ObjectStorage> folder,
                         storages.Open({.storage_id = "backup",
                                        .type = "filesystem",
                                        .base_directory = place.path,
                                        .config_json = "",
                                        .credentials_json = ""},
                                       base_folder));
  return OpenPlace{.storage = std::move(folder), .prefix = ""};
}

std::string TimeOf(int64_t now_us) {
  const auto seconds = static_cast<std::time_t>(now_us / 1'000'000);
  return fmt::format("{:%Y%m%d-%H%M%S}", fmt::gmtime(seconds));
}

}  // namespace

BackupJobs::BackupJobs(Dependencies dependencies) : dependencies_(std::move(dependencies)) {
  dependencies_.queue.SetExecutor(JobType::kBackup,
                                  [this](const JobRecord& job, const JobCancelled& cancelled) {
                                    return Backup(job, cancelled);
                                  });
  dependencies_.queue.SetExecutor(JobType::kRestore,
                                  [this](const JobRecord& job, const JobCancelled& cancelled) {
                                    return Restore(job, cancelled);
                                  });
  const Status removed = backup::RemoveWorkFolders(dependencies_.data_directory);
  if (!removed.ok()) {
    Log(LogLevel::kWarn, "backup", "what a backup has left behind could not be removed",
        {{"error", removed.ToString()}});
  }
}

Result<JobRecord> BackupJobs::Queue(JobType type, const std::string& namespace_id,
                                    const BackupPlace& place, const std::string& user_id) {
  nlohmann::json parameters = {{"backup_path", place.path}, {"user_id", user_id}};
  if (!place.storage_id.empty()) parameters["storage_id"] = place.storage_id;
  if (!namespace_id.empty()) parameters["namespace_id"] = namespace_id;
  const std::string key =
      fmt::format("{}:{}:{}", JobTypeName(type), place.path, TimeOf(dependencies_.clock.NowUs()));
  return dependencies_.queue.Submit(
      type, parameters.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), key);
}

backup::Work BackupJobs::WorkOf(const JobRecord& job, const JobCancelled& cancelled) {
  return {.cancelled = cancelled,
          .report = [queue = &dependencies_.queue, id = job.job_id](
                        std::string message) { queue->Report(id, std::move(message)); },
          .fail_point = dependencies_.fail_point,
          .memory = dependencies_.queue.account(job.type)};
}

Result<std::vector<backup::LateFile>> BackupJobs::GatherAll(const std::string& work_folder,
                                                            backup::SegmentChecks* checks) {
  storage::Store& store = dependencies_.store;
  KALAM_RETURN_IF_ERROR(storage::WriteCheckpoint(store, work_folder + "/rocksdb"));
  KALAM_ASSIGN_OR_RETURN(const auto definitions, dependencies_.catalog.ListTables(""));
  for (const catalog::TablePtr& table : definitions)
    KALAM_RETURN_IF_ERROR(checks->Add(store, nullptr, *table));
  // Files are put before a record names them and deleted long after none does: those that are there
  // now hold all that the checkpoint names.
  KALAM_RETURN_IF_ERROR(
      backup::LinkLocalStorage(dependencies_.data_directory, work_folder + "/storage"));
  KALAM_RETURN_IF_ERROR(checks->CheckGathered(work_folder));
  std::vector<TableId> tables;
  for (const catalog::TablePtr& table : definitions) tables.push_back(table->id);
  KALAM_ASSIGN_OR_RETURN(auto objects, backup::ListNamedObjects(store, nullptr, tables));
  KALAM_ASSIGN_OR_RETURN(const auto retired, segments::ListRetired(store, INT64_MAX, SIZE_MAX));
  for (const segments::RetiredFile& file : retired) objects.push_back({file.storage_id, file.path});
  std::vector<backup::LateFile> late_files;
  OpenStorages storages(dependencies_.storages);
  for (const backup::NamedObject& object : objects) {
    if (object.storage_id == kLocal) continue;
    KALAM_ASSIGN_OR_RETURN(auto storage, storages.Find(object.storage_id));
    late_files.push_back({backup::PathInBackup(object), std::move(storage), object.path});
  }
  return late_files;
}

Result<std::vector<backup::LateFile>> BackupJobs::GatherNamespace(const std::string& namespace_id,
                                                                  const std::string& work_folder,
                                                                  const backup::Work& work,
                                                                  backup::SegmentChecks* checks) {
  backup::NamespaceDefinitions definitions;
  storage::SnapshotPtr snapshot;
  {
    // Nobody changes definitions between the two.
    std::lock_guard lock(dependencies_.ddl_mutex);
    KALAM_ASSIGN_OR_RETURN(definitions,
                           backup::ReadDefinitions(dependencies_.catalog, namespace_id));
    snapshot = dependencies_.store.TakeSnapshot();
  }
  KALAM_RETURN_IF_ERROR(backup::WriteNamespaceStore(dependencies_.store, snapshot,
                                                    dependencies_.catalog, definitions,
                                                    work_folder + "/rocksdb", work));
  for (const auto& versions : definitions.tables)
    KALAM_RETURN_IF_ERROR(checks->Add(dependencies_.store, snapshot, *versions.back()));
  KALAM_ASSIGN_OR_RETURN(const auto objects, backup::ListNamedObjects(dependencies_.store, snapshot,
                                                                      definitions.TableIds()));
  std::vector<backup::LateFile> late_files;
  OpenStorages storages(dependencies_.storages);
  for (const backup::NamedObject& object : objects) {
    KALAM_ASSIGN_OR_RETURN(auto storage, storages.Find(object.storage_id));
    late_files.push_back({backup::PathInBackup(object), std::move(storage), object.path});
  }
  return late_files;
}

/// Objects of other storages go back to where they were. What lies there already must be the same:
/// the database that runs may be using it.
Status BackupJobs::PlaceObjects(const std::string& staging, const backup::Work& work) {
  KALAM_ASSIGN_OR_RETURN(const auto objects, backup::ListStagedObjects(staging, work.memory));
  for (const backup::StagedObject& object : objects) {
    const catalog::StorageRecord& record = object.storage_record;
    KALAM_ASSIGN_OR_RETURN(const auto storage, dependencies_.storages.Open(
                                                   {.storage_id = record.storage_id,
                                                    .type = record.storage_type,
                                                    .base_directory = record.base_directory,
                                                    .config_json = record.config_json,
                                                    .credentials_json = record.credentials_json},
                                                   objects::BaseFolder::kCreate));
    KALAM_RETURN_IF_ERROR(
        backup::PlaceObject(*storage, object.local_file, object.path, work.memory));
  }
  return {};
}

Result<JobOutcome> BackupJobs::Backup(const JobRecord& job, const JobCancelled& cancelled) {
  const Parameters parameters = ParametersOf(job);
  KALAM_ASSIGN_OR_RETURN(const OpenPlace place, Open(dependencies_.storages, parameters.place,
                                                     objects::BaseFolder::kCreate));
  const backup::Work work = WorkOf(job, cancelled);
  backup::SegmentChecks checks(work.memory);
  KALAM_ASSIGN_OR_RETURN(
      const backup::BackupResult result,
      backup::TakeBackup(
          *place.storage, place.prefix,
          {.data_directory = dependencies_.data_directory,
           .backup_id = job.job_id,
           .namespace_id = parameters.namespace_id,
           .now_ms = dependencies_.clock.NowUs() / 1000,
           .gather =
               [&](const std::string& folder) {
                 return parameters.namespace_id.empty()
                            ? GatherAll(folder, &checks)
                            : GatherNamespace(parameters.namespace_id, folder, work, &checks);
               },
           .check = [&](const std::string& path,
                        const std::string& file) { return checks.Check(path, file); },
           .work = work}));
  return JobOutcome{
      false, fmt::format("Backup completed: '{}' ({:.2f} MB in {} files, {} of them "
                         "unchanged since the last backup)",
                         parameters.place.path, static_cast<double>(result.bytes) / kMegabyte,
                         result.file_count, result.reused_file_count)};
}

Result<JobOutcome> BackupJobs::Restore(const JobRecord& job, const JobCancelled& cancelled) {
  const Parameters parameters = ParametersOf(job);
  KALAM_ASSIGN_OR_RETURN(const OpenPlace place, Open(dependencies_.storages, parameters.place,
                                                     objects::BaseFolder::kMustExist));
  const backup::Work work = WorkOf(job, cancelled);
  if (!parameters.namespace_id.empty()) {
    return RestoreNamespace(job, *place.storage, place.prefix, work);
  }
  KALAM_ASSIGN_OR_RETURN(
      const backup::BackupResult result,
      backup::StageRestore(
          *place.storage, place.prefix, dependencies_.data_directory,
          [&](const std::string& staging) { return PlaceObjects(staging, work); }, work));
  return JobOutcome{
      false, fmt::format("Restore staged from '{}' ({:.2f} MB in {} files). Restart server to "
                         "activate restored data.",
                         parameters.place.path, static_cast<double>(result.bytes) / kMegabyte,
                         result.file_count)};
}

/// Without it the policies would see the rows only after the next start.
void BackupJobs::TakeIn(const std::vector<TableId>& tables) {
  if (dependencies_.tiering == nullptr) return;
  const Status counted = dependencies_.tiering->TakeIn(tables);
  if (counted.ok()) return;
  Log(LogLevel::kWarn, "backup", "the rows of a restored namespace could not be counted",
      {{"error", counted.ToString()}});
}

Result<JobOutcome> BackupJobs::RestoreNamespace(const JobRecord& job,
                                                objects::ObjectStorage& source,
                                                const std::string& prefix,
                                                const backup::Work& work) {
  const Parameters parameters = ParametersOf(job);
  const backup::RestoreServices services{dependencies_.store,
                                         dependencies_.catalog,
                                         dependencies_.group,
                                         [this](const std::string& id) { return dependencies_.storages.Find(id); },
                                         dependencies_.ddl_mutex,
                                         dependencies_.clock};
  // Of this job before a crash, or of another that could not tidy up.
  KALAM_RETURN_IF_ERROR(backup::UndoRestores(services));
  const std::string folder = dependencies_.data_directory + "/tmp/restore-" + job.job_id;
  const auto restored = [&]() -> Result<backup::PreparedNamespace> {
    KALAM_RETURN_IF_ERROR(
        backup::FetchNamespace(source, prefix, parameters.namespace_id, folder, work));
    KALAM_ASSIGN_OR_RETURN(
        backup::PreparedNamespace prepared,
        backup::PrepareNamespace(services, parameters.namespace_id, folder, job.job_id, work));
    if (work.is_cancelled()) return Status(ErrorKind::Cancelled, "The restore was cancelled");
    if (!prepared.was_done) {
      KALAM_RETURN_IF_ERROR(dependencies_.swap_namespace(prepared, parameters.user_id));
      TakeIn(prepared.tables);
      work.Reached("restore.committed");
    }
    return prepared;
  }();
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  if (!restored.ok()) {
    const Status undone = backup::UndoRestores(services);
    if (!undone.ok()) {
      Log(LogLevel::kWarn, "backup", "what a restore has left will be removed by the next one",
          {{"error", undone.ToString()}});
    }
    return restored.status();
  }
  return JobOutcome{false, fmt::format("Namespace '{}' restored from '{}' ({} tables, {} files)",
                                       parameters.namespace_id, parameters.place.path,
                                       restored->tables.size(), restored->file_count)};
}

}  // namespace kalam::jobs
