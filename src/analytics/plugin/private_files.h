// seg://<name>: the only files that the engine can open, and only those that the running statement
// was given.
#pragma once

#include <duckdb/common/file_system.hpp>
#include <memory>
#include <string>

#include "tables/scan_source.h"

namespace kalam::analytics {

inline constexpr const char kPrivateScheme[] = "seg://";

/// What a name under the scheme stands for. Constant.
struct PrivateFile {
  /// Set: a local file that the engine writes from its beginning, durable when the engine has
  /// closed it.
  std::string write_path;
  /// Set: a cold file that the engine reads.
  std::shared_ptr<const tables::ColdFile> read;
};

/// Knows no folder and no file by itself: a name means what the QueryState of the statement that
/// opens it says, and nothing to any other statement.
class PrivateFileSystem : public duckdb::FileSystem {
 public:
  bool CanHandleFile(const duckdb::string& path) override;
  duckdb::unique_ptr<duckdb::FileHandle> OpenFile(
      const duckdb::string& path, duckdb::FileOpenFlags flags,
      duckdb::optional_ptr<duckdb::FileOpener> opener) override;
  int64_t Write(duckdb::FileHandle& handle, void* buffer, int64_t size) override;
  void Read(duckdb::FileHandle& handle, void* buffer, int64_t size,
            duckdb::idx_t location) override;
  int64_t Read(duckdb::FileHandle& handle, void* buffer, int64_t size) override;
  int64_t GetFileSize(duckdb::FileHandle& handle) override;
  /// The name, which stands for one content for ever: what the engine keeps of a file stays right.
  std::string GetVersionTag(duckdb::FileHandle& handle) override { return handle.GetPath(); }
  duckdb::timestamp_t GetLastModifiedTime(duckdb::FileHandle&) override { return {}; }
  void Seek(duckdb::FileHandle& handle, duckdb::idx_t location) override;
  duckdb::idx_t SeekPosition(duckdb::FileHandle& handle) override;
  bool CanSeek() override { return true; }
  bool OnDiskFile(duckdb::FileHandle& handle) override;
  duckdb::FileType GetFileType(duckdb::FileHandle&) override {
    return duckdb::FileType::FILE_TYPE_REGULAR;
  }
  bool FileExists(const duckdb::string&, duckdb::optional_ptr<duckdb::FileOpener>) override {
    return false;
  }
  bool IsPipe(const duckdb::string&, duckdb::optional_ptr<duckdb::FileOpener>) override {
    return false;
  }
  duckdb::vector<duckdb::OpenFileInfo> Glob(const duckdb::string&, duckdb::FileOpener*) override {
    return {};
  }
  std::string GetName() const override { return "KalamPrivateFiles"; }
};

}  // namespace kalam::analytics
