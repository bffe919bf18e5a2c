// Bearer tokens of requests: who calls, or the answer that refuses.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "auth/auth.h"

namespace kalam::server {

class HttpSession;

/// The token of an Authorization header of the scheme Bearer; nullopt otherwise.
std::optional<std::string_view> BearerToken(HttpSession& session);
/// A cookie's value.
std::optional<std::string_view> CookieValue(HttpSession& session, std::string_view name);

/// The caller of a route that wants a bearer token. nullopt: the request has been answered
/// (docs/protocol.md, "Errors").
std::optional<auth::Principal> AuthenticateBearer(HttpSession& session, int64_t started_us);

/// Counts a failed credential of the session's client; false when there were too many.
bool MayTryAgain(HttpSession& session);

/// The body {"status":"error","results":[],"took":..,"error":{..}}; `details` is left out when
/// empty.
std::string SqlErrorBody(std::string_view code, std::string_view message, std::string_view details,
                         double took_ms);
/// Milliseconds since a steady time.
double TookMs(const HttpSession& session, int64_t started_us);

}  // namespace kalam::server
