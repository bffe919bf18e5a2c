// Uploaded files until their statement runs: a folder per request, gone with it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "files/file_limits.h"

namespace kalam::files {

/// A file that has arrived whole.
struct StagedFile {
  std::string placeholder;  // what FILE('...') calls it
  std::string name;         // as the client called it, without folders
  std::string mime;
  std::string sha256;  // lower-case hexadecimal
  int64_t size_bytes = 0;
  std::string path;  // in the local file system; may be moved away by whoever stores it
};

/// Receives the files of one request, one after the other, straight to disk: what it holds in
/// memory does not grow with them. The folder is removed with it. Not thread-safe; blocks, so on a
/// worker.
class StagingArea {
 public:
  /// Makes no folder before the first file. `limits` must outlive the area.
  StagingArea(const FileLimits& limits, std::string_view user_id);
  ~StagingArea();

  /// Begins a file. Errors: TooManyFiles, InvalidInput (the placeholder is empty or was used).
  Status Begin(std::string_view placeholder, std::string_view file_name,
               std::string_view declared_mime);
  /// Errors: FileTooLarge; StorageIo.
  Status Append(std::string_view bytes);
  /// Ends it. Errors: InvalidMimeType; StorageIo.
  Status End();

  const StagedFile* Find(std::string_view placeholder) const;
  const std::vector<StagedFile>& files() const { return files_; }

 private:
  class Writer;

  const FileLimits& limits_;
  const std::string folder_;
  std::vector<StagedFile> files_;
  std::unique_ptr<Writer> writer_;
};

/// Removes what uploads of an earlier run of the server left behind. Errors: StorageIo.
Status RemoveStagedLeftovers(const FileLimits& limits);

}  // namespace kalam::files
