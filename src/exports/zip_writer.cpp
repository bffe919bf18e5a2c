// Zip archives through minizip.
#include "exports/zip_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <minizip/zip.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "base/optional_charge.h"

namespace kalam::exports {
namespace {

constexpr int kLevel = 6;
constexpr uLong kUtf8Names = 1 << 11;
constexpr size_t kPieceBytes = 128 << 10;
// Of minizip with its output buffer of 64 KiB, of its list for each entry beside the name (in
// blocks of 4 KiB), and of zlib while it deflates: its window, two tables and what it has not
// written yet.
constexpr int64_t kWriterBytes = 72 << 10;
constexpr int64_t kListedEntryBytes = 96;
constexpr int64_t kDeflateBytes = 392 << 10;

Status Failed(const std::string& path) {
  return Status(ErrorKind::StorageIo, fmt::format("Cannot write {}; the disk may be full", path));
}

Status Sync(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool synced = fd >= 0 && fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  if (synced) return {};
  return Status(ErrorKind::StorageIo,
                fmt::format("Cannot write {}: {}", path, std::strerror(error)));
}

tm_zip TimeOfNow() {
  const std::time_t now = std::time(nullptr);
  tm parts;
  gmtime_r(&now, &parts);
  tm_zip time = {};
  time.tm_sec = static_cast<decltype(time.tm_sec)>(parts.tm_sec);
  time.tm_min = static_cast<decltype(time.tm_min)>(parts.tm_min);
  time.tm_hour = static_cast<decltype(time.tm_hour)>(parts.tm_hour);
  time.tm_mday = static_cast<decltype(time.tm_mday)>(parts.tm_mday);
  time.tm_mon = static_cast<decltype(time.tm_mon)>(parts.tm_mon);
  time.tm_year = static_cast<decltype(time.tm_year)>(parts.tm_year + 1900);
  return time;
}

}  // namespace

struct ZipWriter::Rep {
  std::string path, temporary;
  MemoryAccount* memory = nullptr;
  zipFile file = nullptr;
  bool in_entry = false;
  MemoryCharge list_charge;     // with the writer itself
  MemoryCharge deflate_charge;  // of the entry that is open

  ~Rep() {
    if (file == nullptr) return;
    if (in_entry) zipCloseFileInZip(file);
    zipClose(file, nullptr);
    unlink(temporary.c_str());
  }
  Status EndEntry() {
    if (!std::exchange(in_entry, false)) return {};
    const int closed = zipCloseFileInZip(file);
    deflate_charge.Resize(0);
    return closed == ZIP_OK ? Status::Ok() : Failed(path);
  }
};

ZipWriter::ZipWriter(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
ZipWriter::~ZipWriter() = default;

Result<std::unique_ptr<ZipWriter>> ZipWriter::Create(const std::string& path,
                                                     MemoryAccount* memory) {
  auto rep = std::make_unique<Rep>();
  rep->list_charge = ChargeIfAny(memory, kWriterBytes);
  rep->deflate_charge = ChargeIfAny(memory);
  rep->memory = memory;
  rep->path = path;
  rep->temporary = path + ".new";
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  rep->file = zipOpen64(rep->temporary.c_str(), APPEND_STATUS_CREATE);
  if (error || rep->file == nullptr) return Failed(path);
  return std::make_unique<ZipWriter>(std::move(rep));
}

Status ZipWriter::BeginEntry(const std::string& name, Compression compression) {
  KALAM_RETURN_IF_ERROR(rep_->EndEntry());
  zip_fileinfo facts = {};
  facts.tmz_date = TimeOfNow();
  const bool deflate = compression == Compression::kDeflate;
  const int begun = zipOpenNewFileInZip4_64(
      rep_->file, name.c_str(), &facts, nullptr, 0, nullptr, 0, nullptr, deflate ? Z_DEFLATED : 0,
      deflate ? kLevel : 0, /*raw=*/0, -MAX_WBITS, MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY,
      /*password=*/nullptr, /*crcForCrypting=*/0, /*versionMadeBy=*/0, kUtf8Names, /*zip64=*/1);
  if (begun != ZIP_OK) return Failed(rep_->path);
  rep_->in_entry = true;
  rep_->list_charge.Resize(rep_->list_charge.bytes() + kListedEntryBytes +
                           static_cast<int64_t>(name.size()));
  if (deflate) rep_->deflate_charge.Resize(kDeflateBytes);
  return {};
}

Status ZipWriter::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kPieceBytes);
    if (zipWriteInFileInZip(rep_->file, piece.data(), static_cast<unsigned>(piece.size())) !=
        ZIP_OK) {
      return Failed(rep_->path);
    }
    bytes.remove_prefix(piece.size());
  }
  return {};
}

Status ZipWriter::AddFile(const std::string& name, const std::string& local_path,
                          Compression compression) {
  KALAM_RETURN_IF_ERROR(BeginEntry(name, compression));
  std::ifstream in(local_path, std::ios::binary);
  std::string buffer(kPieceBytes, '\0');
  const MemoryCharge buffer_charge = ChargeIfAny(rep_->memory, kPieceBytes);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0) {
    KALAM_RETURN_IF_ERROR(Write({buffer.data(), static_cast<size_t>(in.gcount())}));
  }
  if (in.eof()) return {};
  return Status(ErrorKind::StorageIo, fmt::format("Cannot read {}", local_path));
}

Result<int64_t> ZipWriter::Close() {
  KALAM_RETURN_IF_ERROR(rep_->EndEntry());
  if (zipClose(std::exchange(rep_->file, nullptr), nullptr) != ZIP_OK) {
    unlink(rep_->temporary.c_str());
    return Failed(rep_->path);
  }
  Status status = Sync(rep_->temporary);
  std::error_code error;
  const auto size = static_cast<int64_t>(std::filesystem::file_size(rep_->temporary, error));
  if (status.ok() && rename(rep_->temporary.c_str(), rep_->path.c_str()) != 0) {
    status = Failed(rep_->path);
  }
  if (!status.ok()) {
    unlink(rep_->temporary.c_str());
    return status;
  }
  KALAM_RETURN_IF_ERROR(Sync(std::filesystem::path(rep_->path).parent_path().string()));
  return size;
}

}  // namespace kalam::exports
