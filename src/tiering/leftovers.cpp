// A file goes before what tells of it, so that nothing is forgotten when the process ends between.
#include "tiering/leftovers.h"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/log.h"
#include "segments/segment_rebuild.h"
#include "tiering/folders.h"
#include "tiering/manifest.h"
#include "tiering/table_commit.h"

namespace kalam::tiering {
namespace {

/// Paths that records of the table name, also of files that wait to be deleted.
Result<std::set<std::string>> NamedPaths(storage::Store& store, TableId table) {
  std::set<std::string> paths;
  KALAM_ASSIGN_OR_RETURN(const auto segments, segments::ListSegments(store, table));
  for (const segments::SegmentRecord& segment : segments) paths.insert(segment.path);
  KALAM_ASSIGN_OR_RETURN(const auto retired, segments::ListRetired(store, INT64_MAX, SIZE_MAX));
  for (const segments::RetiredFile& file : retired) {
    if (file.table == table) paths.insert(file.path);
  }
  return paths;
}

/// The series in which the table numbers its files, by folder.
Result<std::map<std::string, uint64_t>> SeriesByFolder(storage::Store& store, TableId table) {
  std::map<std::string, uint64_t> series;
  KALAM_ASSIGN_OR_RETURN(const auto folders, segments::ListFolders(store, table));
  for (const segments::FolderRecord& folder : folders)
    series.emplace(folder.folder, folder.next_batch / segments::kBatchesOfSeries);
  return series;
}

}  // namespace

Status RemovePrepared(const TieringServices& services, const WorkedTable& worked) {
  const TableId id = worked.table->id;
  if (!services.segments.MayHaveSegments(id)) return Status::Ok();
  KALAM_ASSIGN_OR_RETURN(auto prepared, segments::ListPrepared(services.store, id));
  if (prepared.empty()) return Status::Ok();
  KALAM_RETURN_IF_ERROR(SettleOutcomes(services.group));
  KALAM_ASSIGN_OR_RETURN(prepared, segments::ListPrepared(services.store, id));
  KALAM_ASSIGN_OR_RETURN(const auto named, NamedPaths(services.store, id));
  for (const segments::PreparedSegment& segment : prepared) {
    if (!named.contains(segment.path)) {
      KALAM_ASSIGN_OR_RETURN(const auto storage, services.storage_of(segment.storage_id));
      KALAM_RETURN_IF_ERROR(storage->Delete(segment.path));
      Log(LogLevel::kInfo, "tiering", "a file of a flush that did not end was removed",
          {{"path", segment.path}});
    }
    auto command = std::make_shared<replication::Command>();
    command->records = segments::ForgetPrepared(segment);
    KALAM_RETURN_IF_ERROR(replication::ProposeAndWait(services.group, std::move(command)).status);
  }
  return Status::Ok();
}

Status RemoveOrphans(const TieringServices& services, const WorkedTable& worked) {
  const std::string prefix = TableFolderPrefix(*worked.table, worked.storage_record);
  if (prefix.empty()) return Status::Ok();
  KALAM_ASSIGN_OR_RETURN(const auto named, NamedPaths(services.store, worked.table->id));
  KALAM_ASSIGN_OR_RETURN(const auto series, SeriesByFolder(services.store, worked.table->id));
  std::vector<std::string> orphans;
  KALAM_RETURN_IF_ERROR(worked.storage->List(prefix, [&](const objects::ObjectEntry& entry) {
    const size_t slash = entry.path.rfind('/');
    const auto batch = segments::BatchOfFileName(entry.path.substr(slash + 1));
    if (!batch || named.contains(entry.path)) return true;
    // Behind the table's own numbers lie files of a restore that has not committed yet.
    const auto own = series.find(entry.path.substr(0, slash));
    if (*batch / segments::kBatchesOfSeries <= (own == series.end() ? 0 : own->second))
      orphans.push_back(entry.path);
    return true;
  }));
  for (const std::string& path : orphans) {
    KALAM_RETURN_IF_ERROR(worked.storage->Delete(path));
    Log(LogLevel::kInfo, "tiering", "a file that no segment names was removed", {{"path", path}});
  }
  return Status::Ok();
}

void RemoveWritten(const WorkedTable& worked, const segments::SegmentChange& change) {
  for (const segments::SegmentRecord& segment : change.added()) {
    const Status removed = worked.storage->Delete(segment.path);
    if (removed.ok()) continue;
    Log(LogLevel::kWarn, "tiering", "a file of a dropped table could not be removed",
        {{"path", segment.path}, {"error", removed.ToString()}});
  }
}

void RenewManifests(const TieringServices& services, const WorkedTable& worked) {
  const Status renewed = [&]() -> Status {
    KALAM_ASSIGN_OR_RETURN(const auto folders,
                           segments::ListFolders(services.store, worked.table->id));
    for (const segments::FolderRecord& folder : folders) {
      KALAM_ASSIGN_OR_RETURN(
          const std::string problem,
          FindManifestProblem(services, *worked.table, folder.place, *worked.storage));
      if (problem.empty()) continue;
      KALAM_RETURN_IF_ERROR(WriteManifest(services, *worked.table, folder.place, *worked.storage,
                                          worked.work.memory));
    }
    return {};
  }();
  if (renewed.ok()) return;
  Log(LogLevel::kWarn, "tiering", "a manifest could not be written",
      {{"table", worked.table->QualifiedName()}, {"error", renewed.ToString()}});
}

}  // namespace kalam::tiering
