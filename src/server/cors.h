// Which origins browsers may call from, and the headers that tell them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/http_message.h"
#include "server/settings.h"

namespace kalam::server {

/// Immutable after construction.
class CorsPolicy {
 public:
  explicit CorsPolicy(const Settings& settings);

  /// True when a browser at `origin` may call. An empty configuration allows any origin.
  bool Allows(std::string_view origin) const;
  /// Header lines for the answer to a request with this Origin; empty when it is not allowed.
  std::string AnswerHeaders(std::string_view origin) const;
  /// Further header lines for the answer to a preflight.
  std::string PreflightHeaders() const;
  /// Whether a WebSocket with this Origin (empty: none was sent) may open; otherwise the reason.
  std::string_view WebSocketProblem(std::string_view origin) const;

 private:
  bool any_ = true;
  bool credentials_ = false;
  bool strict_websocket_ = false;
  std::vector<std::string> origins_;
  std::string methods_, headers_, exposed_;
  int64_t max_age_s_ = 3600;
};

}  // namespace kalam::server
