// What object stores behind HTTP have in common, whatever their protocol.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "objects/http_client.h"
#include "objects/local_file.h"
#include "objects/object_storage.h"
#include "objects/remote_client.h"
#include "objects/storage_settings.h"

namespace kalam::objects {

/// Checks what is asked for and hands it to a protocol: large files in parts, the rest in one
/// request. Thread-safety: any thread.
class RemoteStorage : public ObjectStorage {
 public:
  RemoteStorage(const StorageSettings& settings, const StorageEnvironment& environment)
      : environment_(environment), client_(settings.storage_id, environment) {}

  Status PutFile(const std::string& local_file, const std::string& path) final;
  Status Put(const std::string& path, std::string_view bytes) final;
  Result<std::string> Read(const std::string& path, int64_t offset, int64_t length) final;
  std::string LocalPath(const std::string&) const final { return ""; }

 protected:
  virtual Status PutWhole(const std::string& path, const HttpBody& body) = 0;
  /// The object appears with the last of its parts.
  virtual Status PutParts(const std::string& path, const LocalFile& file) = 0;
  /// As Read, of a range that is neither negative nor empty.
  virtual Result<std::string> ReadRange(const std::string& path, int64_t offset,
                                        int64_t length) = 0;
  /// The value of a header: "bytes=0-99", "bytes=7-"; empty: everything.
  static std::string RangeText(int64_t offset, int64_t length);

  /// Of the parts of a file, of which a protocol takes `parts_max`.
  int64_t PartBytes(const LocalFile& file, int64_t parts_max) const;
  static HttpBody PartOf(const LocalFile& file, int64_t offset, int64_t bytes_max);
  /// What the answer to a HEAD tells.
  static ObjectEntry EntryOf(const std::string& path, const HttpResponse& response);

  const StorageEnvironment environment_;
  RemoteClient client_;
};

}  // namespace kalam::objects
