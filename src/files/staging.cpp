// Writing staged files with their checksum, size and type on the way.
#include "files/staging.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/id_generators.h"
#include "files/mime_type.h"

namespace kalam::files {
namespace {

constexpr std::string_view kFolderPrefix = "upload-";
constexpr size_t kUserIdBytesMax = 64;

Status Failed(std::string_view what, const std::string& path, int error) {
  return Status(ErrorKind::StorageIo,
                fmt::format("cannot {} {}: {}", what, path, std::strerror(error)));
}

std::string FolderName(std::string_view user_id) {
  std::string name = std::string(kFolderPrefix) + RandomHex(16) + "-";
  for (const char c : user_id.substr(0, kUserIdBytesMax)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.';
    name += plain ? c : '_';
  }
  return name;
}

// The last part of what a browser may send as a path, without control characters.
std::string BareName(std::string_view file_name) {
  const size_t slash = file_name.find_last_of("/\\");
  if (slash != std::string_view::npos) file_name.remove_prefix(slash + 1);
  std::string name;
  for (const char c : file_name.substr(0, kFileNameBytesMax)) {
    name += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '_' : c;
  }
  // Not in the middle of a character.
  while (name.size() == kFileNameBytesMax && (name.back() & 0x80) != 0) name.pop_back();
  return name.empty() ? "file" : name;
}

}  // namespace

class StagingArea::Writer {
 public:
  static Result<std::unique_ptr<Writer>> Open(const std::string& path) {
    auto writer = std::make_unique<Writer>();
    writer->descriptor_ = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (writer->descriptor_ < 0) return Failed("create", path, errno);
    writer->digest_ = EVP_MD_CTX_new();
    if (writer->digest_ == nullptr ||
        EVP_DigestInit_ex(writer->digest_, EVP_sha256(), nullptr) != 1) {
      return Status(ErrorKind::Internal, "cannot compute checksums");
    }
    return writer;
  }
  ~Writer() {
    if (descriptor_ >= 0) close(descriptor_);
    EVP_MD_CTX_free(digest_);
  }

  Status Append(const std::string& path, std::string_view bytes) {
    if (front_.size() < kMagicBytes) front_ += bytes.substr(0, kMagicBytes - front_.size());
    EVP_DigestUpdate(digest_, bytes.data(), bytes.size());
    while (!bytes.empty()) {
      const ssize_t written = write(descriptor_, bytes.data(), bytes.size());
      if (written < 0) {
        if (errno == EINTR) continue;
        return Failed("write", path, errno);
      }
      bytes.remove_prefix(static_cast<size_t>(written));
    }
    return {};
  }

  std::string Checksum() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    EVP_DigestFinal_ex(digest_, digest, &size);
    std::string hex;
    for (unsigned int i = 0; i < size; ++i)
      fmt::format_to(std::back_inserter(hex), "{:02x}", digest[i]);
    return hex;
  }

  std::string_view front() const { return front_; }
  std::string declared_mime;

 private:
  int descriptor_ = -1;
  EVP_MD_CTX* digest_ = nullptr;
  std::string front_;
};

StagingArea::StagingArea(const FileLimits& limits, std::string_view user_id)
    : limits_(limits), folder_(limits.staging_path + "/" + FolderName(user_id)) {}

StagingArea::~StagingArea() {
  writer_.reset();
  std::error_code ignored;  // leftovers go at the next start
  std::filesystem::remove_all(folder_, ignored);
}

Status StagingArea::Begin(std::string_view placeholder, std::string_view file_name,
                          std::string_view declared_mime) {
  if (files_.size() >= limits_.files_per_request_max) {
    return Status(ErrorKind::TooManyFiles,
                  fmt::format("Too many files in one request: at most {} are allowed",
                              limits_.files_per_request_max));
  }
  if (placeholder.empty()) return Status(ErrorKind::InvalidInput, "A file part has no name");
  if (Find(placeholder) != nullptr) {
    return Status(ErrorKind::InvalidInput,
                  fmt::format("The file '{}' is in the request twice", placeholder));
  }
  if (files_.empty()) {
    std::error_code error;
    std::filesystem::create_directories(folder_, error);
    if (error) return Failed("create", folder_, error.value());
  }
  StagedFile file;
  file.placeholder = placeholder;
  file.name = BareName(file_name);
  file.path = fmt::format("{}/{}", folder_, files_.size());
  KALAM_ASSIGN_OR_RETURN(writer_, Writer::Open(file.path));
  writer_->declared_mime = declared_mime;
  files_.push_back(std::move(file));
  return {};
}

Status StagingArea::Append(std::string_view bytes) {
  StagedFile& file = files_.back();
  file.size_bytes += static_cast<int64_t>(bytes.size());
  if (file.size_bytes > limits_.file_bytes_max) {
    return Status(ErrorKind::FileTooLarge,
                  fmt::format("File '{}' is too large: at most {} bytes are allowed",
                              file.placeholder, limits_.file_bytes_max));
  }
  return writer_->Append(file.path, bytes);
}

Status StagingArea::End() {
  StagedFile& file = files_.back();
  file.sha256 = writer_->Checksum();
  file.mime = MimeTypeOf(writer_->front(), file.name, writer_->declared_mime);
  writer_.reset();
  if (!IsAllowedMimeType(limits_.allowed_mime_types, file.mime)) {
    return Status(ErrorKind::InvalidMimeType,
                  fmt::format("File '{}' has the type {}, which is not allowed", file.placeholder,
                              file.mime));
  }
  return {};
}

const StagedFile* StagingArea::Find(std::string_view placeholder) const {
  const auto found = std::find_if(files_.begin(), files_.end(), [&](const StagedFile& file) {
    return file.placeholder == placeholder;
  });
  return found == files_.end() ? nullptr : &*found;
}

Status RemoveStagedLeftovers(const FileLimits& limits) {
  std::error_code error;
  std::filesystem::directory_iterator entries(limits.staging_path, error);
  if (error) {
    return error == std::errc::no_such_file_or_directory
               ? Status()
               : Failed("list", limits.staging_path, error.value());
  }
  for (const auto& entry : entries) {
    if (!entry.path().filename().string().starts_with(kFolderPrefix)) continue;
    std::filesystem::remove_all(entry.path(), error);
    if (error) return Failed("remove", entry.path().string(), error.value());
  }
  return {};
}

}  // namespace kalam::files
