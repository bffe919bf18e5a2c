// One interface over the places where cold files live: a folder, S3, GCS, Azure Blob Storage.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace kalam::objects {

struct ObjectEntry {
  std::string path;  // relative to the base of the storage, with `/`
  int64_t size_bytes = 0;
  int64_t modified_at_us = 0;
};

/// Objects by path, relative to the storage's base; immutable once written, but for a few small
/// ones that are replaced whole (`manifest.json`). Errors of all methods: InvalidOperation (a path
/// with `..`, a leading `/`, NUL or an empty part), NotFound (no such object), StorageIo (the
/// storage does not answer, refuses the credentials, is full: the message names the storage, never
/// a credential). Requests are repeated with backoff within the configured time before StorageIo is
/// given. Thread-safety: all methods may be called from any thread; they block and want a worker.
class ObjectStorage {
 public:
  virtual ~ObjectStorage() = default;

  /// Makes `local_file` the object at `path`: readers see the whole of it or nothing, and when it
  /// returns ok it is durable (files: fsync of file and folder around a rename; object stores:
  /// multipart upload above a size). May consume the local file (rename); a missing local file
  /// afterwards is no surprise to the caller.
  virtual Status PutFile(const std::string& local_file, const std::string& path) = 0;
  /// The same for a few bytes in memory.
  virtual Status Put(const std::string& path, std::string_view bytes) = 0;
  /// `length` bytes from `offset`, fewer at the end of the object; `length` -1: up to the end.
  virtual Result<std::string> Read(const std::string& path, int64_t offset, int64_t length) = 0;
  /// The same bytes, all `length` of them, if they can be had without waiting for a disk or a
  /// network; nullopt when they cannot, or when nobody knows. The one method that does not block.
  virtual std::optional<std::string> ReadAtOnce(const std::string& /*path*/, int64_t /*offset*/,
                                                int64_t /*length*/) {
    return std::nullopt;
  }
  virtual Result<ObjectEntry> Stat(const std::string& path) = 0;
  /// All objects whose path begins with `prefix`, in any order, page by page as they come; stops
  /// when `visit` returns false.
  virtual Status List(const std::string& prefix,
                      const std::function<bool(const ObjectEntry&)>& visit) = 0;
  /// Ok when there was no such object.
  virtual Status Delete(const std::string& path) = 0;
  /// Where `path` lies in the local file system; empty for remote storages.
  virtual std::string LocalPath(const std::string& path) const = 0;
};

}  // namespace kalam::objects
