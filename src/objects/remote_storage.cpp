// Checks and choices before a protocol is spoken.
#include "objects/remote_storage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "objects/curl_library.h"
#include "objects/object_path.h"

namespace kalam::objects {

Status RemoteStorage::Put(const std::string& path, std::string_view bytes) {
  KALAM_RETURN_IF_ERROR(CheckObjectPath(path));
  return PutWhole(path, HttpBody::Of(bytes));
}

Status RemoteStorage::PutFile(const std::string& local_file, const std::string& path) {
  KALAM_RETURN_IF_ERROR(CheckObjectPath(path));
  KALAM_ASSIGN_OR_RETURN(const LocalFile file, LocalFile::Open(local_file));
  if (file.size() > environment_.multipart_bytes) return PutParts(path, file);
  return PutWhole(path, PartOf(file, 0, file.size()));
}

Result<std::string> RemoteStorage::Read(const std::string& path, int64_t offset, int64_t length) {
  KALAM_RETURN_IF_ERROR(CheckObjectPath(path));
  if (offset < 0 || length < -1) {
    return Status(ErrorKind::InvalidOperation, "A range of an object must not be negative");
  }
  if (length == 0) {
    KALAM_RETURN_IF_ERROR(Stat(path).status());
    return std::string();
  }
  return ReadRange(path, offset, length);
}

std::string RemoteStorage::RangeText(int64_t offset, int64_t length) {
  if (length > 0) return fmt::format("bytes={}-{}", offset, offset + length - 1);
  return offset > 0 ? fmt::format("bytes={}-", offset) : "";
}

int64_t RemoteStorage::PartBytes(const LocalFile& file, int64_t parts_max) const {
  return std::max(environment_.multipart_bytes, file.size() / (parts_max - 1) + 1);
}

HttpBody RemoteStorage::PartOf(const LocalFile& file, int64_t offset, int64_t bytes_max) {
  return {.bytes = {},
          .fd = file.fd(),
          .offset = offset,
          .size = std::min(bytes_max, file.size() - offset)};
}

ObjectEntry RemoteStorage::EntryOf(const std::string& path, const HttpResponse& response) {
  const std::string modified = response.header("last-modified");
  return {.path = path,
          .size_bytes = std::atoll(response.header("content-length").c_str()),
          .modified_at_us = int64_t{Curl().getdate(modified.c_str(), nullptr)} * 1'000'000};
}

}  // namespace kalam::objects
