// Zip archives through minizip.
#include "zip_archive.h"

#include <minizip/unzip.h>
#include <minizip/zip.h>
#include <zlib.h>

#include <algorithm>
#include <fstream>

namespace kalam::cli {
namespace {

constexpr size_t kPieceBytes = 128 << 10;
constexpr size_t kNameBytesMax = 4096;
constexpr int kLevel = 6;
constexpr uLong kUtf8Names = 1 << 11;

}  // namespace

struct ZipArchive::Rep {
  unzFile file = nullptr;
  uLong last_date = 0;  // of the last entry, as the format has it
  ~Rep() {
    if (file != nullptr) unzClose(file);
  }
};

ZipArchive::ZipArchive(std::string path, std::unique_ptr<Rep> rep)
    : path_(std::move(path)), rep_(std::move(rep)) {}
ZipArchive::~ZipArchive() = default;

Result<std::unique_ptr<ZipArchive>> ZipArchive::Open(const std::string& path) {
  auto rep = std::make_unique<Rep>();
  rep->file = unzOpen64(path.c_str());
  const Status damaged(ErrorKind::InvalidInput, "'" + path + "' is no zip archive, or is cut off");
  if (rep->file == nullptr) return damaged;
  auto archive = std::make_unique<ZipArchive>(path, std::move(rep));
  std::string name(kNameBytesMax, '\0');
  for (int found = unzGoToFirstFile(archive->rep_->file); found != UNZ_END_OF_LIST_OF_FILE;
       found = unzGoToNextFile(archive->rep_->file)) {
    unz_file_info64 facts = {};
    if (found != UNZ_OK ||
        unzGetCurrentFileInfo64(archive->rep_->file, &facts, name.data(), name.size(), nullptr, 0,
                                nullptr, 0) != UNZ_OK ||
        facts.size_filename > name.size()) {
      return damaged;
    }
    archive->names_.emplace_back(name.data(), facts.size_filename);
    archive->rep_->last_date = facts.dosDate;
  }
  return archive;
}

bool ZipArchive::Has(const std::string& name) const {
  return std::find(names_.begin(), names_.end(), name) != names_.end();
}

Status ZipArchive::ReadPieces(const std::string& name,
                              const std::function<Status(std::string_view)>& take) const {
  const Status damaged(ErrorKind::InvalidInput,
                       "'" + name + "' of the archive '" + path_ + "' is missing or damaged");
  if (unzLocateFile(rep_->file, name.c_str(), 1) != UNZ_OK ||
      unzOpenCurrentFile(rep_->file) != UNZ_OK) {
    return damaged;
  }
  std::string piece(kPieceBytes, '\0');
  Status status;
  int count = 0;
  while (status.ok() && (count = unzReadCurrentFile(rep_->file, piece.data(),
                                                    static_cast<unsigned>(piece.size()))) > 0) {
    status = take(std::string_view(piece).substr(0, static_cast<size_t>(count)));
  }
  // Tells whether the checksum matches, once all was read.
  const int closed = unzCloseCurrentFile(rep_->file);
  KALAM_RETURN_IF_ERROR(status);
  return count < 0 || closed != UNZ_OK ? damaged : Status::Ok();
}

Result<std::string> ZipArchive::Read(const std::string& name) const {
  std::string bytes;
  KALAM_RETURN_IF_ERROR(ReadPieces(name, [&](std::string_view piece) {
    bytes += piece;
    return Status::Ok();
  }));
  return bytes;
}

Status ZipArchive::Extract(const std::string& name, const std::string& path) const {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  const Status full(ErrorKind::StorageIo, "Cannot write '" + path + "'; the disk may be full");
  KALAM_RETURN_IF_ERROR(ReadPieces(name, [&](std::string_view piece) {
    file.write(piece.data(), static_cast<std::streamsize>(piece.size()));
    return file ? Status::Ok() : full;
  }));
  file.close();
  return file ? Status::Ok() : full;
}

Status ZipArchive::Append(const std::string& path, const std::string& name,
                          std::string_view bytes) {
  const Status failed(ErrorKind::StorageIo, "Cannot write '" + path + "'; the disk may be full");
  zip_fileinfo facts = {};
  {
    KALAM_ASSIGN_OR_RETURN(const auto archive, Open(path));
    facts.dosDate = archive->rep_->last_date;
  }
  zipFile file = zipOpen64(path.c_str(), APPEND_STATUS_ADDINZIP);
  if (file == nullptr) return failed;
  bool good = zipOpenNewFileInZip4_64(file, name.c_str(), &facts, nullptr, 0, nullptr, 0, nullptr,
                                      Z_DEFLATED, kLevel, 0, -MAX_WBITS, DEF_MEM_LEVEL,
                                      Z_DEFAULT_STRATEGY, nullptr, 0, 0, kUtf8Names, 1) == ZIP_OK;
  good = good &&
         zipWriteInFileInZip(file, bytes.data(), static_cast<unsigned>(bytes.size())) == ZIP_OK;
  good = good && zipCloseFileInZip(file) == ZIP_OK;
  return zipClose(file, nullptr) == ZIP_OK && good ? Status::Ok() : failed;
}

}  // namespace kalam::cli
