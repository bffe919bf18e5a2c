// The replay: every user sends their messages one by one and watches them arrive, some of them cut
// off on the way.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "load/server_process.h"
#include "messages.h"

namespace kalam::demo {

struct ReplayResult {
  double seconds = 0;
  int64_t inserted = 0;
  int64_t delivered = 0;
  int64_t reconnects = 0;
  std::vector<double>
      notification_ms;       // from sending the INSERT; messages sent while cut off are not counted
  load::ProcessMemory peak;  // the largest seen during the replay
};

/// Replays `history` against the server, one HTTP connection and one WebSocket a user, all durable.
/// Every subscriber must see exactly its own messages, once and in order. Errors: Execution naming
/// the first user and message that broke that, or the server's error.
Result<ReplayResult> Replay(load::ServerProcess& server, const History& history);

}  // namespace kalam::demo
