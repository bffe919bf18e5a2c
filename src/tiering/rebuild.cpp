// Folders of files that no record names, and what becomes of them.
#include "tiering/rebuild.h"

#include <set>
#include <string>
#include <utility>

#include "base/log.h"
#include "segments/segment_rebuild.h"
#include "tiering/folders.h"
#include "tiering/manifest_reader.h"

namespace kalam::tiering {
namespace {

// Of what a job says that it found; the log has all of it.
constexpr size_t kProblemsMax = 10;

class TableRebuild {
 public:
  TableRebuild(const TieringServices& services, const WorkedTable& worked)
      : services_(services), worked_(worked) {}

  Result<RebuildOutcome> Run() {
    KALAM_ASSIGN_OR_RETURN(const std::set<std::string> folders, FindFolders());
    KALAM_RETURN_IF_ERROR(ListDoomed());
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
      KALAM_RETURN_IF_ERROR(RepairManifest(record));
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

  /// Files that wait for their deletion: replaced ones, and those of a dropped table of this name.
  Status ListDoomed() {
    KALAM_ASSIGN_OR_RETURN(const auto retired,
                           segments::ListRetired(services_.store, INT64_MAX, SIZE_MAX));
    for (const segments::RetiredFile& file : retired) {
      if (file.storage_id == worked_.storage_record.storage_id) doomed_.insert(file.path);
    }
    return {};
  }

  void Note(const std::string& path, const std::string& problem) {
    Log(LogLevel::kError, "tiering", "a file of cold storage is not what it should be",
        {{"path", path}, {"problem", problem}});
    if (outcome_.problems.size() < kProblemsMax) outcome_.problems.push_back(path + " " + problem);
  }

  /// The manifest that says which files of a folder count; nullopt: all that are there.
  Result<std::optional<ManifestCopy>> FindGuide(const std::string& folder) {
    auto manifest = ReadManifestFile(*worked_.storage, folder);
    if (manifest.ok() && manifest->table_name == worked_.table->QualifiedName())
      return std::optional(*std::move(manifest));
    const std::string path = folder + "/" + std::string(kManifestFile);
    if (manifest.ok()) {
      Note(path, "is that of the table " + manifest->table_name);
    } else if (manifest.status().Is(ErrorKind::NotFound) ||
               manifest.status().Is(ErrorKind::Corruption)) {
      Note(path, manifest.status().message());
    } else {
      return manifest.status();
    }
    return std::optional<ManifestCopy>();
  }

  Status AdoptFolder(const segments::SegmentPlace& place, const std::string& folder) {
    KALAM_ASSIGN_OR_RETURN(const auto batches, segments::FindBatches(*worked_.storage, folder));
    KALAM_ASSIGN_OR_RETURN(const auto guide, FindGuide(folder));
    KALAM_ASSIGN_OR_RETURN(
        auto change,
        segments::SegmentChange::Begin(services_.store, worked_.table->id, worked_.work.memory));
    std::set<uint64_t> found;
    for (const segments::FoundBatch& batch : batches) {
      if (worked_.work.cancelled && worked_.work.cancelled())
        return Status(ErrorKind::Cancelled, "the job was stopped");
      found.insert(batch.batch);
      if (doomed_.contains(batch.path)) continue;
      const ListedSegment* const listed = guide ? guide->Find(batch.batch) : nullptr;
      // What a sound manifest leaves out was replaced or never committed, unless it is younger.
      if (guide && listed == nullptr && batch.batch <= guide->last_batch) continue;
      auto built = segments::RebuildSegment(
          *worked_.storage, batch.path, worked_.table, place,
          listed == nullptr ? std::string_view() : listed->checksum, worked_.work.memory);
      if (built.status().Is(ErrorKind::Corruption)) {
        Note(batch.path, "cannot be taken: " + built.status().message());
        ++outcome_.damaged_count;
        continue;
      }
      KALAM_RETURN_IF_ERROR(built.status());
      outcome_.row_count += built->record.row_count;
      KALAM_RETURN_IF_ERROR(change.Adopt(*std::move(built), worked_.storage_record.storage_id,
                                         folder, batch.batch, services_.clock.NowUs()));
    }
    if (guide) NoteMissing(*guide, found, folder);
    if (change.empty()) return Status::Ok();
    adopted_.insert(folder);
    outcome_.segment_count += static_cast<int64_t>(change.added().size());
    return CommitSegments(services_, worked_, &change);
  }

  void NoteMissing(const ManifestCopy& guide, const std::set<uint64_t>& found,
                   const std::string& folder) {
    for (const ListedSegment& segment : guide.segments) {
      if (found.contains(segment.batch)) continue;
      Note(folder + "/" + segment.file_name, "is missing");
      ++outcome_.damaged_count;
    }
  }

  Status RepairManifest(const segments::FolderRecord& record) {
    if (!adopted_.contains(record.folder)) {
      KALAM_ASSIGN_OR_RETURN(
          const std::string problem,
          FindManifestProblem(services_, *worked_.table, record.place, *worked_.storage));
      if (!problem.empty()) Note(record.folder + "/" + std::string(kManifestFile), problem);
    }
    return WriteManifest(services_, *worked_.table, record.place, *worked_.storage,
                         worked_.work.memory);
  }

  const TieringServices& services_;
  const WorkedTable& worked_;
  std::set<std::string> doomed_;   // paths
  std::set<std::string> adopted_;  // folders; what their manifests were has been told
  RebuildOutcome outcome_;
};

}  // namespace

Result<RebuildOutcome> RebuildTable(const TieringServices& services, const WorkedTable& worked) {
  return TableRebuild(services, worked).Run();
}

}  // namespace kalam::tiering
