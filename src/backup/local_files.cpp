// File operations of backups.
#include "backup/local_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>

#include "base/file_descriptor.h"
namespace kalam::backup {
namespace {

namespace fs = std::filesystem;

Status IoError(std::string_view action, const std::string& path, const std::string& reason) {
  return Status(ErrorKind::StorageIo, fmt::format("Cannot {} {}: {}", action, path, reason));
}

using Digest = std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)>;

Digest BeginDigest() {
  Digest digest(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr);
  return digest;
}

std::string EndDigest(const Digest& digest) {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_DigestFinal_ex(digest.get(), bytes, &size);
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

}  // namespace

Result<std::string> FileSha256(const std::string& file) {
  const FileDescriptor source(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (source.get() < 0) return IoError("read", file, std::strerror(errno));
  const Digest digest = BeginDigest();
  std::string buffer(kFilePieceBytes, '\0');
  while (true) {
    const ssize_t count = read(source.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return IoError("read", file, std::strerror(errno));
    if (count == 0) return EndDigest(digest);
    EVP_DigestUpdate(digest.get(), buffer.data(), static_cast<size_t>(count));
  }
}

Result<std::string> CopyFile(const std::string& from, const std::string& to) {
  const FileDescriptor source(open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (source.get() < 0) return IoError("read", from, std::strerror(errno));
  KALAM_RETURN_IF_ERROR(MakeFolders(fs::path(to).parent_path().string()));
  const auto copied = [&]() -> Result<std::string> {
    const FileDescriptor target(open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (target.get() < 0) return IoError("write", to, std::strerror(errno));
    const Digest digest = BeginDigest();
    std::string buffer(kFilePieceBytes, '\0');
    while (true) {
      const ssize_t count = read(source.get(), buffer.data(), buffer.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return IoError("read", from, std::strerror(errno));
      if (count == 0) break;
      EVP_DigestUpdate(digest.get(), buffer.data(), static_cast<size_t>(count));
      for (ssize_t done = 0; done < count;) {
        const ssize_t written =
            write(target.get(), buffer.data() + done, static_cast<size_t>(count - done));
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return IoError("write", to, std::strerror(errno));
        done += written;
      }
    }
    if (fsync(target.get()) != 0) return IoError("write", to, std::strerror(errno));
    return EndDigest(digest);
  }();
  if (!copied.ok()) unlink(to.c_str());
  return copied;
}

std::string TextSha256(std::string_view text) {
  const Digest digest = BeginDigest();
  EVP_DigestUpdate(digest.get(), text.data(), text.size());
  return EndDigest(digest);
}

Result<std::vector<std::string>> ListFiles(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  if (!fs::exists(folder, error)) return files;
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_regular_file(ignored)) {
      files.push_back(entry->path().lexically_relative(folder).string());
    }
  }
  if (error) return IoError("list", folder, error.message());
  return files;
}

Status LinkTree(const std::string& from, const std::string& to, std::string_view skip_prefix) {
  KALAM_RETURN_IF_ERROR(MakeFolders(to));
  std::error_code error;
  KALAM_ASSIGN_OR_RETURN(const std::vector<std::string> files, ListFiles(from));
  for (const std::string& file : files) {
    const fs::path source = fs::path(from) / file, target = fs::path(to) / file;
    if (source.filename().string().starts_with(skip_prefix)) continue;
    fs::create_directories(target.parent_path(), error);
    if (!error) fs::create_hard_link(source, target, error);
    if (error && !fs::exists(source)) {
      error.clear();  // removed meanwhile, so nothing that the checkpoint names
      continue;
    }
    if (error) {
      error.clear();
      fs::copy_file(source, target, error);
    }
    if (error) return IoError("copy", source.string(), error.message());
  }
  return {};
}

Status SyncFile(const std::string& file) {
  const FileDescriptor fd(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0 || fsync(fd.get()) != 0) return IoError("write", file, std::strerror(errno));
  return {};
}

Status SyncFolder(const std::string& folder) { return SyncFile(folder); }

Status SyncFolders(const std::string& folder) {
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_directory(ignored)) KALAM_RETURN_IF_ERROR(SyncFolder(entry->path().string()));
  }
  if (error) return IoError("list", folder, error.message());
  return SyncFolder(folder);
}

Status MakeFolders(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  return error ? IoError("create", folder, error.message()) : Status::Ok();
}

Status WriteDurably(const std::string& file, std::string_view bytes) {
  const std::string temporary = file + ".new";
  std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  if (!out) return IoError("write", temporary, "the disk may be full");
  KALAM_RETURN_IF_ERROR(SyncFile(temporary));
  return Rename(temporary, file);
}

Status Rename(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0) return IoError("rename", from, std::strerror(errno));
  KALAM_RETURN_IF_ERROR(SyncFolder(fs::path(to).parent_path().string()));
  return SyncFolder(fs::path(from).parent_path().string());
}

Status RemoveAll(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  return error ? IoError("remove", path, error.message()) : Status::Ok();
}

bool Exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

Result<std::string> ReadFile(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  if (!in.is_open() || in.bad()) return IoError("read", file, "no such file, or a disk error");
  return bytes;
}

}  // namespace kalam::backup
