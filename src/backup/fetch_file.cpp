// Fetching a file of a backup piece by piece.
#include "backup/fetch_file.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>

#include "backup/local_files.h"
#include "base/optional_charge.h"

namespace kalam::backup {
namespace {

constexpr int64_t kChunkBytes = 1 << 20;

}  // namespace

Status FetchObject(objects::ObjectStorage& storage, const std::string& path,
                   const std::string& local_file, MemoryAccount* memory) {
  KALAM_RETURN_IF_ERROR(MakeFolders(std::filesystem::path(local_file).parent_path().string()));
  std::ofstream out(local_file, std::ios::binary | std::ios::trunc);
  MemoryCharge held = ChargeIfAny(memory);
  for (int64_t offset = 0;;) {
    KALAM_ASSIGN_OR_RETURN(const std::string bytes, storage.Read(path, offset, kChunkBytes));
    held.Resize(static_cast<int64_t>(bytes.capacity()));
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (static_cast<int64_t>(bytes.size()) < kChunkBytes) break;
    offset += kChunkBytes;
  }
  out.close();
  if (!out) {
    return Status(ErrorKind::StorageIo,
                  fmt::format("Cannot write {}; the disk may be full", local_file));
  }
  return SyncFile(local_file);
}

Status FetchFile(objects::ObjectStorage& source, const std::string& prefix, const BackupFile& file,
                 const std::string& folder, const Work& work) {
  if (work.is_cancelled()) return Status(ErrorKind::Cancelled, "The restore was cancelled");
  const std::string target = folder + "/" + file.path;
  const Status fetched = FetchObject(source, prefix + file.stored, target, work.memory);
  if (fetched.Is(ErrorKind::NotFound)) {
    return Status(ErrorKind::Corruption,
                  fmt::format("the backup lacks the file '{}'", file.stored));
  }
  KALAM_RETURN_IF_ERROR(fetched);
  const MemoryCharge piece = ChargeIfAny(work.memory, kFilePieceBytes);
  KALAM_ASSIGN_OR_RETURN(const std::string checksum, FileSha256(target));
  if (checksum != file.sha256) {
    return Status(
        ErrorKind::Corruption,
        fmt::format("the file '{}' of the backup does not match its checksum", file.stored));
  }
  work.Reached("restore.fetched");
  return {};
}

Status PlaceObject(objects::ObjectStorage& storage, const std::string& local_file,
                   const std::string& path, MemoryAccount* memory) {
  const auto there = storage.Stat(path);
  if (there.status().Is(ErrorKind::NotFound)) return storage.PutFile(local_file, path);
  KALAM_RETURN_IF_ERROR(there.status());
  const std::string fetched = local_file + ".there";
  KALAM_RETURN_IF_ERROR(FetchObject(storage, path, fetched, memory));
  const MemoryCharge piece = ChargeIfAny(memory, kFilePieceBytes);
  KALAM_ASSIGN_OR_RETURN(const std::string found, FileSha256(fetched));
  KALAM_ASSIGN_OR_RETURN(const std::string wanted, FileSha256(local_file));
  KALAM_RETURN_IF_ERROR(RemoveAll(fetched));
  if (found == wanted) return {};
  return Status(
      ErrorKind::InvalidOperation,
      fmt::format("the object '{}' in its storage differs from the backup's; move it away", path));
}

}  // namespace kalam::backup
