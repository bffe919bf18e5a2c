// The files of FILE columns between an archive and statements that upload them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "namespace_archive.h"

namespace kalam::cli {

/// Takes files out of an archive as cells name them: `{path}/{id}/{name}`, so that a statement can
/// name each as it is called.
class FileFolder {
 public:
  /// The folder is made with its first file. `shown_path`: what statements call it.
  FileFolder(const NamespaceArchive& archive, std::string path, std::string shown_path)
      : archive_(archive), path_(std::move(path)), shown_path_(std::move(shown_path)) {}

  /// `file('path', 'type')` for the upload of the shell. A cell whose file the archive lacks stays
  /// the text that it is. Errors: StorageIo, InvalidInput (the archive is damaged).
  Result<std::string> ExpressionOf(std::string_view cell);
  /// Files that cells name and the archive lacks.
  int64_t missing_count() const { return missing_count_; }

 private:
  const NamespaceArchive& archive_;
  const std::string path_, shown_path_;
  int64_t missing_count_ = 0;
};

/// Whether nothing lies at `path` but what a FileFolder makes.
bool IsFileFolder(const std::string& path);

}  // namespace kalam::cli
