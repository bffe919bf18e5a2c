// Checksums of segment records against files.
#include "backup/segment_checks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "backup/local_files.h"
#include "backup/namespace_records.h"
#include "base/file_descriptor.h"
#include "segments/checksum.h"
#include "segments/segment_record.h"

namespace kalam::backup {
namespace {

// A node of the map with its texts.
constexpr size_t kEntryBytes = 160;

Status Refused(const std::string& segment, std::string_view what) {
  return Status(ErrorKind::Corruption,
                fmt::format("{} {}; what is in the place of the backup stays as it is. Bring the "
                            "file back from an earlier backup, or drop the table",
                            segment, what));
}

Result<std::string> ChecksumOfFile(const std::string& file) {
  const auto failed = [&] {
    return Status(ErrorKind::StorageIo,
                  fmt::format("cannot read {}: {}", file, std::strerror(errno)));
  };
  const FileDescriptor source(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (source.get() < 0) return failed();
  segments::FileChecksum checksum;
  std::string buffer(kFilePieceBytes, '\0');
  while (true) {
    const ssize_t count = read(source.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed();
    if (count == 0) return checksum.Finish();
    checksum.Add(std::string_view(buffer.data(), static_cast<size_t>(count)));
  }
}

}  // namespace

Status SegmentChecks::Add(storage::Store& store, const storage::SnapshotPtr& snapshot,
                          const catalog::TableDefinition& table) {
  KALAM_ASSIGN_OR_RETURN(auto segments, segments::ListSegments(store, table.id, snapshot));
  size_t bytes = 0;
  for (segments::SegmentRecord& segment : segments) {
    std::string path = PathInBackup({segment.storage_id, segment.path});
    Expected expected{fmt::format("segment {} of table {} in storage {}", segment.path,
                                  table.QualifiedName(), segment.storage_id),
                      std::move(segment.checksum)};
    bytes += kEntryBytes + path.size() + expected.segment.size();
    by_path_.emplace(std::move(path), std::move(expected));
  }
  charge_.Resize(charge_.bytes() + static_cast<int64_t>(bytes));
  return {};
}

Status SegmentChecks::CheckGathered(const std::string& folder) const {
  for (const auto& [path, expected] : by_path_) {
    if (path.starts_with("storage/") && !Exists(folder + "/" + path))
      return Refused(expected.segment, "is missing");
  }
  return {};
}

Status SegmentChecks::Check(const std::string& path, const std::string& file) const {
  const auto found = by_path_.find(path);
  if (found == by_path_.end()) return {};
  KALAM_ASSIGN_OR_RETURN(const std::string checksum, ChecksumOfFile(file));
  if (checksum == found->second.checksum) return {};
  return Refused(found->second.segment, "does not match its checksum");
}

}  // namespace kalam::backup
