// What is known of a stored file: the record behind a FileRef.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "types/file_reference.h"

namespace kalam::files {

struct FileEntry {
  FileReference reference;
  std::string stored_name;  // `<id>-<stem>.<extension>`
  std::string storage_id;
  /// In the storage. Kept, because the templates that it was made from may change.
  std::string path;
  int64_t created_at_us = 0;
};

/// `<id>-<stem>.<extension>`: the stem in lower case, runs of other characters than a-z and 0-9 as
/// one `-`, at most 50; `<id>.<extension>` when nothing is left of it. The extension has at most 10
/// letters and digits, else it is `bin`.
std::string StoredName(int64_t id, std::string_view file_name);
/// `f0001`, `f0002`, ..., `f10000`.
std::string FolderName(int64_t folder_number);
/// The id that a stored name, or an id alone, begins with; 0 when there is none.
int64_t IdOfStoredName(std::string_view name);

std::string EncodeFileEntry(const FileEntry& entry);
/// Errors: Corruption.
Result<FileEntry> DecodeFileEntry(std::string_view bytes);

}  // namespace kalam::files
