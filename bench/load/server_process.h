// A server of our own on a temporary directory: started, measured, killed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "load/socket.h"

namespace kalam::load {

/// Bytes as the kernel counts them.
struct ProcessMemory {
  int64_t rss_bytes = 0;
  /// Private_Dirty: what this process alone holds, without clean text pages. Call sync(2) first: a
  /// just-linked binary shows megabytes of dirty text.
  int64_t private_bytes = 0;
};

/// Zeros for a process that is gone; private bytes are -1 for one whose maps may not be read.
ProcessMemory MeasureProcess(pid_t pid);
/// The process of this machine that listens on the loopback endpoint, as far as /proc shows it.
std::optional<pid_t> FindListener(const Endpoint& endpoint);

/// The user of the kernel's TCP buffers, all of this machine's sockets (/proc/net/sockstat).
int64_t KernelTcpBytes();

class ServerProcess {
 public:
  struct Options {
    std::string binary;                    // path of kalamdb-server
    std::string directory;                 // data directory; made when missing
    std::vector<std::string> environment;  // "NAME=value"
    std::string config_file;               // may be empty
  };
  /// Starts the server and waits until GET /health answers. Errors: Execution with the end of the
  /// server's output.
  static Result<ServerProcess> Start(const Options& options);
  ServerProcess(ServerProcess&& other) noexcept;
  ServerProcess& operator=(ServerProcess&&) = delete;
  /// Stops with SIGTERM.
  ~ServerProcess();

  /// Starts a stopped or running server again on the same data and port without waiting for it.
  Status Restart();
  /// SIGTERM, then waits; the exit code, or -1 when it did not end within 10 s (it is killed then).
  int Stop();
  void Kill();
  int port() const { return port_; }
  pid_t pid() const { return pid_; }
  ProcessMemory memory() const;
  /// User and system time so far.
  double cpu_seconds() const;
  /// True when a loaded file's path contains `part`.
  bool HasLoaded(const std::string& part) const;
  /// The secret that tokens are signed with.
  const std::string& secret() const { return secret_; }
  /// A token for an existing user.
  std::string Token(const std::string& user_id, const std::string& role) const;

 private:
  ServerProcess() = default;
  /// Forks and executes; the port and the secret are set.
  void Spawn();
  Options options_;
  pid_t pid_ = -1;
  int port_ = 0;
  std::string secret_;
};

/// A fresh folder under the system's temporary directory, removed with the object.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::string& name);
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Where the running program's own binary lies; the server is expected beside it.
std::string ServerBesideThisProgram();

}  // namespace kalam::load
