// SQL answers of the demonstration, each compared with a value computed from the file itself.
#pragma once

#include "load/server_process.h"
#include "messages.h"

namespace kalam::demo {

/// The shared table of conversations, filled before the replay: one row each.
Status FillConversations(load::ServerProcess& server, const History& history);

/// Runs the questions, prints the answers, and fails at the first that is not what the file says.
Status CheckAnswers(load::ServerProcess& server, const History& history);

}  // namespace kalam::demo
