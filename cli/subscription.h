// Live changes on the terminal.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "output.h"

namespace kalam::cli {

struct SubscriptionRequest {
  std::string sql;           // the SELECT
  std::string options_json;  // an object
  int timeout_s = 0;         // leaves after so many seconds; 0: until interrupted
  int initial_data_timeout_s = 30;
};

/// Splits `SELECT ... [OPTIONS (last_rows=N, batch_size=N, from=N)]`. Errors: InvalidInput.
Result<SubscriptionRequest> ParseSubscription(std::string_view text);

/// Shows batches and changes until Ctrl+C, `q`, the timeout or the server's end. Reconnects and
/// resumes where it was when the connection breaks. Errors: what the server said.
Status RunSubscription(Session& session, const Configuration& configuration,
                       SubscriptionRequest request, const OutputStyle& style);

}  // namespace kalam::cli
