// The archive of a namespace that EXPORT NAMESPACE makes: asking for it, and what is in it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "session.h"
#include "zip_archive.h"

namespace kalam::cli {

/// What the shell adds to the server's archive: statements before the rows, and behind them.
inline constexpr const char* kSchemaEntry = "schema.sql";
inline constexpr const char* kAfterEntry = "after.sql";

struct ExportOptions {
  std::string namespace_id;
  std::string users;  // ids, with commas
  bool schema_only = false;
};
/// Has the server make an archive, waits for it, and writes it to `path`. Errors: what the server
/// answers; StorageIo.
Status FetchNamespaceArchive(Session& session, const ExportOptions& options,
                             const std::string& path);

/// An index beside the primary keys.
struct ArchivedIndex {
  std::string table, column, metric, name;
};

/// The rows of one scope.
struct ArchivedScope {
  std::string entry;  // of the Parquet file
  std::string table;
  std::string user;  // empty: of a SHARED table
};

class NamespaceArchive {
 public:
  /// Errors: InvalidInput (no archive of a namespace, or damaged).
  static Result<NamespaceArchive> Open(const std::string& path);

  const ZipArchive& zip() const { return *zip_; }
  const std::string& namespace_id() const { return namespace_id_; }
  const std::map<std::string, int64_t>& table_versions() const { return table_versions_; }
  const std::vector<ArchivedIndex>& indexes() const { return indexes_; }
  const std::vector<ArchivedScope>& scopes() const { return scopes_; }
  int64_t file_count() const { return static_cast<int64_t>(files_.size()); }
  /// The entry of a file of a FILE column; nullopt when it is not there.
  std::optional<std::string> FindFile(int64_t id) const;

 private:
  std::unique_ptr<ZipArchive> zip_;
  std::string namespace_id_;
  std::map<std::string, int64_t> table_versions_;
  std::vector<ArchivedIndex> indexes_;
  std::vector<ArchivedScope> scopes_;
  std::map<int64_t, std::string> files_;
};

/// A folder for files on their way, gone with it.
class ScratchFolder {
 public:
  /// Errors: StorageIo.
  static Result<std::unique_ptr<ScratchFolder>> Make();
  explicit ScratchFolder(std::string path) : path_(std::move(path)) {}
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder();
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

}  // namespace kalam::cli
