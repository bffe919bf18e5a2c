// Folders of files that no record names, and what becomes of them.
#include "tiering/rebuild.h"

#include <set>
#include <string>
#include <utility>

#include "base/log.h"
#include "segments/segment_rebuild.h"
#include "tiering/folders.h"

namespace kalam::tiering {
namespace {

class TableRebuild {
 public:
  TableRebuild(const TieringServices& services, const WorkedTable& worked)
      : services_(services), worked_(worked) {}

  Result<RebuildOutcome> Run() {
    KALAM_ASSIGN_OR_RETURN(const std::set<std::string> folders, FindFolders());
    for (const std::string& folder : folders) {
      const auto place = PlaceOfFolder(*worked_.table, folder, worked_.storage_record);
      if (!place) continue;
      KALAM_ASSIGN_OR_RETURN(const auto known,
                             segments::ReadFolder(services_.store, worked_.table->id, *place));
      if (!known) KALAM_RETURN_IF_ERROR(AdoptFolder(*place, folder));
    }
    KALAM_ASSIGN_OR_RETURN(const auto records,
                           segments::ListFolders(services_.store, worked_.table->id));
    for (const segments::FolderRecord& record : records) {
      KALAM_RETURN_IF_ERROR(
          WriteManifest(services_.store, *worked_.table, record.place, *worked_.storage));
      ++outcome_.manifest_count;
    }
    return outcome_;
  }

 private:
  /// Folders of the table with segment files in them.
  Result<std::set<std::string>> FindFolders() {
    const std::string prefix = FolderSearchPrefix(*worked_.table, worked_.storage_record);
    if (prefix.empty()) {
      return Status(ErrorKind::InvalidOperation, "the template of storage '" +
                                                     worked_.storage_record.storage_id +
                                                     "' does not tell where the files of " +
                                                     worked_.table->QualifiedName() + " are");
    }
    std::set<std::string> folders;
    KALAM_RETURN_IF_ERROR(worked_.storage->List(prefix, [&](const objects::ObjectEntry& entry) {
      const size_t slash = entry.path.rfind('/');
      if (slash == entry.path.npos) return true;
      const std::string name = entry.path.substr(slash + 1);
      if (name.starts_with("batch-") && name.ends_with(".parquet"))
        folders.insert(entry.path.substr(0, slash));
      return true;
    }));
    return folders;
  }

  Status AdoptFolder(const segments::SegmentPlace& place, const std::string& folder) {
    KALAM_ASSIGN_OR_RETURN(const auto batches, segments::FindBatches(*worked_.storage, folder));
    KALAM_ASSIGN_OR_RETURN(auto change,
                           segments::SegmentChange::Begin(services_.store, worked_.table->id));
    for (const segments::FoundBatch& batch : batches) {
      if (worked_.work.cancelled && worked_.work.cancelled())
        return Status(ErrorKind::Cancelled, "the job was stopped");
      auto built = segments::RebuildSegment(*worked_.storage, batch.path, worked_.table, place);
      if (built.status().Is(ErrorKind::Corruption)) {
        Log(LogLevel::kError, "tiering", "a segment file cannot be taken into the index",
            {{"path", batch.path}, {"error", built.status().message()}});
        ++outcome_.damaged_count;
        continue;
      }
      KALAM_RETURN_IF_ERROR(built.status());
      outcome_.row_count += built->record.row_count;
      KALAM_RETURN_IF_ERROR(change.Adopt(*std::move(built), worked_.storage_record.storage_id,
                                         folder, batch.batch, services_.clock.NowUs()));
    }
    if (change.empty()) return Status::Ok();
    outcome_.segment_count += static_cast<int64_t>(change.added().size());
    return CommitSegments(services_, worked_, &change);
  }

  const TieringServices& services_;
  const WorkedTable& worked_;
  RebuildOutcome outcome_;
};

}  // namespace

Result<RebuildOutcome> RebuildTable(const TieringServices& services, const WorkedTable& worked) {
  return TableRebuild(services, worked).Run();
}

}  // namespace kalam::tiering
