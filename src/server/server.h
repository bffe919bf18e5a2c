// The running server: its cores, its listener, and the order in which everything starts and stops.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "server/settings.h"

namespace kalam::server {

/// Exit codes of kalamdb-server, also in --help and docs/operations.md: never renumber.
enum class ExitCode : int {
  kClean = 0,
  kFailure = 1,
  kConfiguration = 2,
  kDataDirectory = 3,
  kAddressInUse = 4,
  kCorruption = 5,
  kDiskFailed = 74,  // the committer's: replication::kExitStorageFailure
};

/// A failure to start: what to tell the operator and which code to end with.
struct StartFailure {
  ExitCode code = ExitCode::kFailure;
  std::string message;
};

/// Used by the process' main thread only.
class Server {
 public:
  /// Takes the address, opens the database and begins to serve.
  static std::unique_ptr<Server> Start(const LoadedSettings& loaded, StartFailure* failure);
  virtual ~Server() = default;
  /// The port in use (the chosen one when the configuration says 0).
  virtual int port() const = 0;
  /// Stops in order: no new connections, answers under way, WebSockets with 1001, background work,
  /// data. Within 5 s.
  virtual void Stop() = 0;
};

}  // namespace kalam::server
