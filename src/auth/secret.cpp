// The signing secret that a data directory gets when none is configured.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "auth/auth.h"
#include "base/file_descriptor.h"
#include "base/id_generators.h"

namespace kalam::auth {
namespace {

constexpr size_t kSecretDigits = 64;

Status IoError(const std::string& path, const char* action) {
  return Status(ErrorKind::StorageIo,
                "Cannot " + std::string(action) + " " + path + ": " + std::strerror(errno));
}

Result<std::string> ReadSecret(const std::string& path, int fd) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return IoError(path, "inspect");
  if ((info.st_mode & 077) != 0) {
    return Status(ErrorKind::Config,
                  "The secret file " + path + " is readable by others; run: chmod 600 " + path);
  }
  std::string secret(4096, '\0');
  const ssize_t size = read(fd, secret.data(), secret.size());
  if (size < 0) return IoError(path, "read");
  secret.resize(static_cast<size_t>(size));
  while (!secret.empty() && (secret.back() == '\n' || secret.back() == '\r')) secret.pop_back();
  if (secret.size() < 32) {
    return Status(ErrorKind::Config,
                  "The secret in " + path +
                      " is shorter than 32 characters; delete the file to get a new one");
  }
  return secret;
}

}  // namespace

Result<std::string> LoadOrCreateSecret(const std::string& path) {
  const FileDescriptor existing(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (existing.get() >= 0) return ReadSecret(path, existing.get());
  if (errno != ENOENT) return IoError(path, "open");

  // Written under another name and renamed, so that a crash leaves no half secret.
  const std::string secret = RandomHex(kSecretDigits);
  const std::string temporary = path + ".new";
  unlink(temporary.c_str());
  {
    const FileDescriptor file(
        open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (file.get() < 0) return IoError(temporary, "create");
    const std::string line = secret + "\n";
    if (write(file.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()) ||
        fsync(file.get()) != 0) {
      return IoError(temporary, "write");
    }
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) return IoError(path, "create");
  return secret;
}

}  // namespace kalam::auth
