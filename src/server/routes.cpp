// Routes, health answers, and the clear refusals of what is not offered.
#include "server/routes.h"

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "base/build_facts.h"
#include "server/auth_endpoints.h"
#include "server/export_endpoint.h"
#include "server/file_endpoint.h"
#include "server/http_session.h"
#include "server/metrics_endpoints.h"
#include "server/sql_endpoint.h"
#include "server/websocket_session.h"

namespace kalam::server {
namespace {

using Handler = void (*)(HttpSession& session);

void AnswerHealth(HttpSession& session) {
  if (!session.client().is_loopback()) {
    session.Respond({.status = 403,
                     .body = R"({"error":"Access denied. Health endpoint is localhost-only."})"});
    return;
  }
  static const std::string kBody =
      fmt::format(R"({{"status":"healthy","version":"{}","api_version":"v1","build_date":"{}"}})",
                  ThisBuild().version, ThisBuild().date);
  session.Respond({.body = kBody});
}

void AnswerClusterHealth(HttpSession& session) {
  if (!session.client().is_loopback()) {
    session.Respond(
        {.status = 403,
         .body = R"({"error":"Access denied. Cluster health endpoint is localhost-only."})"});
    return;
  }
  session.Respond({.body = ClusterHealthBody(session.server())});
}

void AnswerTopics(HttpSession& session) {
  session.Respond(
      {.status = 400,
       .body =
           R"({"error":"Topics are not available in this server yet","code":"NOT_AVAILABLE"})"});
}
void AnswerUi(HttpSession& session) {
  session.RespondError(400, "NOT_AVAILABLE", "The admin UI is not part of this server yet");
}

struct Route {
  std::string_view method;
  std::string_view path;  // a trailing '*' takes every path that begins so
  Handler handler;
  bool needs_database = false;
};

constexpr Route kRoutes[] = {
    {"GET", "/health", AnswerHealth},
    {"GET", "/v1/api/healthcheck", AnswerHealth},
    {"GET", "/v1/api/cluster/health", AnswerClusterHealth},
    {"GET", "/metrics", AnswerMetrics, true},
    {"GET", "/v1/api/metrics/memory", AnswerMemory, true},
    {"GET", "/v1/api/metrics/heap", AnswerHeap, true},
    {"POST", "/v1/api/sql", AnswerSql, true},
    {"GET", "/v1/ws", UpgradeToWebSocket, true},
    {"POST", "/v1/api/auth/login", AnswerLogin, true},
    {"POST", "/v1/api/auth/refresh", AnswerRefresh, true},
    {"POST", "/v1/api/auth/logout", AnswerLogout, true},
    {"GET", "/v1/api/auth/me", AnswerMe, true},
    {"GET", "/v1/api/auth/status", AnswerSetupStatus, true},
    {"POST", "/v1/api/auth/setup", AnswerSetup, true},
    {"POST", "/v1/api/topics/consume", AnswerTopics},
    {"POST", "/v1/api/topics/ack", AnswerTopics},
    {"GET", "/v1/files/*", AnswerFile, true},
    {"GET", "/api/v1/files/*", AnswerFile, true},
    {"GET", "/v1/exports/*", AnswerExport, true},
    {"GET", "/ui", AnswerUi},
    {"GET", "/ui/*", AnswerUi},
};

bool PathMatches(std::string_view pattern, std::string_view path) {
  if (!pattern.ends_with('*')) return pattern == path;
  pattern.remove_suffix(1);
  return path.starts_with(pattern);
}

}  // namespace

void RouteRequest(HttpSession& session) {
  const std::string_view method = session.request().method();
  const std::string_view path = session.request().path();
  std::string allowed;
  for (const Route& route : kRoutes) {
    if (!PathMatches(route.path, path)) continue;
    if (route.needs_database && session.server().statements == nullptr) {
      session.RespondError(503, "STARTING", "The server is starting");
      return;
    }
    if (route.method == method || (method == "HEAD" && route.method == "GET")) {
      route.handler(session);
      return;
    }
    allowed += fmt::format("{}{}", allowed.empty() ? "" : ", ", route.method);
  }
  if (!allowed.empty()) {
    session.Respond(
        {.status = 405,
         .body = ErrorBody("METHOD_NOT_ALLOWED",
                           fmt::format("{} is not allowed here; use {}", method, allowed)),
         .headers = fmt::format("Allow: {}\r\n", allowed)});
    return;
  }
  session.RespondError(404, "NOT_FOUND", "There is nothing at this path; the API is below /v1/api");
}

}  // namespace kalam::server
