// The table of routes: which function answers which method and path.
#pragma once

namespace kalam::server {

class HttpSession;

/// Answers the session's request, now or later; unknown paths with 404, known ones with a wrong
/// method with 405.
void RouteRequest(HttpSession& session);

}  // namespace kalam::server
