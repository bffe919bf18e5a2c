// The real chat history that the demonstration replays (examples/chat).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"

namespace kalam::demo {

/// One line of the file; empty texts stand for null where the source has none.
struct Message {
  int64_t message_id = 0;
  std::string user_id, conversation_id, role, content, domain, service, created_at, assistant_id;
  int64_t turn = 0;
};

struct History {
  std::vector<Message> messages;                       // in the order they were sent
  std::map<std::string, std::vector<size_t>> by_user;  // indexes into messages, in order
};

/// Reads newline-delimited JSON compressed with gzip. Errors: StorageIo, InvalidInput.
Result<History> LoadHistory(const std::string& path);

}  // namespace kalam::demo
