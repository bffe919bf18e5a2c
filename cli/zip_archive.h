// Reading a zip archive, and adding to one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kalam::cli {

/// An archive that is read. Not thread-safe.
class ZipArchive {
 public:
  /// Errors: InvalidInput naming the file.
  static Result<std::unique_ptr<ZipArchive>> Open(const std::string& path);
  ~ZipArchive();

  struct Rep;
  ZipArchive(std::string path, std::unique_ptr<Rep> rep);

  /// Names of the entries, in the order in which they were written.
  const std::vector<std::string>& names() const { return names_; }
  bool Has(const std::string& name) const;
  /// A small entry whole. Errors: InvalidInput (none of that name, or damaged: its checksum is
  /// compared).
  Result<std::string> Read(const std::string& name) const;
  /// Any entry, to a local file. Errors: InvalidInput, StorageIo.
  Status Extract(const std::string& name, const std::string& path) const;

  /// Adds an entry at the end of an archive that nobody reads, with the date of the one before.
  /// Errors: InvalidInput, StorageIo.
  static Status Append(const std::string& path, const std::string& name, std::string_view bytes);

 private:
  Status ReadPieces(const std::string& name,
                    const std::function<Status(std::string_view)>& take) const;

  const std::string path_;
  const std::unique_ptr<Rep> rep_;
  std::vector<std::string> names_;
};

}  // namespace kalam::cli
