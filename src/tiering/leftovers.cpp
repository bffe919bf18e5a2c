// A file goes before what tells of it, so that nothing is forgotten when the process ends between.
#include "tiering/leftovers.h"

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/log.h"
#include "tiering/folders.h"
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
  std::vector<std::string> orphans;
  KALAM_RETURN_IF_ERROR(worked.storage->List(prefix, [&](const objects::ObjectEntry& entry) {
    const std::string name = entry.path.substr(entry.path.rfind('/') + 1);
    const bool is_segment = name.starts_with("batch-") && name.ends_with(".parquet");
    if (is_segment && !named.contains(entry.path)) orphans.push_back(entry.path);
    return true;
  }));
  for (const std::string& path : orphans) {
    KALAM_RETURN_IF_ERROR(worked.storage->Delete(path));
    Log(LogLevel::kInfo, "tiering", "a file that no segment names was removed", {{"path", path}});
  }
  return Status::Ok();
}

}  // namespace kalam::tiering
