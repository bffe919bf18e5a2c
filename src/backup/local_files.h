// What a backup does to files of the data directory: checksums, links, durable writes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kalam::backup {

/// What FileSha256 and CopyFile hold meanwhile.
inline constexpr size_t kFilePieceBytes = 256 << 10;

/// In hexadecimal. Errors: StorageIo.
Result<std::string> FileSha256(const std::string& file);
std::string TextSha256(std::string_view text);
/// Copies a file and fsyncs the copy; its folder is made when it is missing, and to be fsynced by
/// the caller. Gives the checksum of what was read. Errors: StorageIo; then there is no copy.
Result<std::string> CopyFile(const std::string& from, const std::string& to);
/// Regular files below `folder`, relative to it; empty when there is no such folder. Errors:
/// StorageIo.
Result<std::vector<std::string>> ListFiles(const std::string& folder);
/// Makes `to` (new) hold links to all regular files of `from`, but those whose names begin with
/// `skip_prefix`; copies where links are not possible. Errors: StorageIo.
Status LinkTree(const std::string& from, const std::string& to, std::string_view skip_prefix);
/// Writes under another name, fsyncs, renames, fsyncs the folder. Errors: StorageIo.
Status WriteDurably(const std::string& file, std::string_view bytes);
Status SyncFile(const std::string& file);
Status SyncFolder(const std::string& folder);
/// Fsyncs the folder and all folders below it.
Status SyncFolders(const std::string& folder);
/// Makes a folder with all above it. Errors: StorageIo.
Status MakeFolders(const std::string& folder);
/// Durable when it returns. Errors: StorageIo.
Status Rename(const std::string& from, const std::string& to);
/// Removes a file or a folder with all in it; ok when there is none.
Status RemoveAll(const std::string& path);
bool Exists(const std::string& path);
/// Errors: StorageIo.
Result<std::string> ReadFile(const std::string& file);

}  // namespace kalam::backup
