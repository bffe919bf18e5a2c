// What every measurement needs: a server, an admin connection, users and tokens, an echo to compare
// with.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "load/http_client.h"
#include "load/server_process.h"
#include "load/websocket_client.h"

namespace kalam::bench {

/// Rounds of every latency figure; medians are reported.
inline constexpr int kRounds = 5;

/// A server on an empty directory with limits out of the way (bench/load.toml).
class Environment {
 public:
  static Result<std::unique_ptr<Environment>> Start(const std::string& binary,
                                                    const std::string& config_file);

  load::ServerProcess& server() { return *server_; }
  int port() const { return server_->port(); }
  const std::string& root_token() const { return root_token_; }
  const std::string& directory() const { return directory_.path(); }
  /// Runs SQL as root; the answer's body.
  Result<std::string> Admin(const std::string& sql);
  /// What the server says that an account (`server.block_cache`) holds.
  Result<int64_t> AccountBytes(const std::string& account);
  /// Creates the user (role user, no password login) and returns a token.
  Result<std::string> AddUser(const std::string& user_id);

 private:
  Environment() : directory_("kalam-bench") {}
  load::TemporaryDirectory directory_;
  std::unique_ptr<load::ServerProcess> server_;
  std::unique_ptr<load::HttpClient> admin_;
  std::string root_token_;
};

/// A process that sends back whatever it receives, the floor that answers over TCP are compared
/// with.
class EchoProcess {
 public:
  EchoProcess();
  EchoProcess(const EchoProcess&) = delete;
  EchoProcess& operator=(const EchoProcess&) = delete;
  ~EchoProcess();
  int port() const { return port_; }
  pid_t pid() const { return pid_; }

 private:
  int port_ = 0;
  pid_t pid_ = -1;
};

/// Microseconds of `count` echoes of `bytes` bytes, one after the other.
Result<std::vector<double>> EchoLatenciesUs(int port, size_t bytes, int count);
/// Microseconds of `count` requests on one connection; `make(n)` gives the n-th. Any answer but 200
/// is an error.
Result<std::vector<double>> RequestLatenciesUs(load::HttpClient& client, int count,
                                               const std::function<std::string(int)>& make);
/// Microseconds of write + fdatasync of 512 bytes in `directory`: at the end of a file, which makes
/// it longer, or inside one.
enum class SyncPlace : uint8_t { kAtEnd, kInside };
std::vector<double> SyncLatenciesUs(const std::string& directory, int count,
                                    SyncPlace place = SyncPlace::kAtEnd);

}  // namespace kalam::bench
