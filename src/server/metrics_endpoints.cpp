// The metrics routes: who may read them, and their way over a worker.
#include "server/metrics_endpoints.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/heap_profile.h"
#include "server/http_session.h"
#include "server/request_authentication.h"

namespace kalam::server {
namespace {

// Whoever signs in as dba or system.
bool IsAdmin(HttpSession& session) {
  const std::optional<auth::Principal> principal =
      AuthenticateBearer(session, session.server().clock.SteadyUs());
  if (!principal) return false;
  const catalog::Role role = principal->caller.role;
  if (role == catalog::Role::kDba || role == catalog::Role::kSystem) return true;
  session.RespondError(403, "PERMISSION_DENIED", "Metrics are for the roles dba and system");
  return false;
}

// A client on this machine, or an admin.
bool MayRead(HttpSession& session) {
  if (session.client().is_loopback() && !session.request().header("authorization")) return true;
  return IsAdmin(session);
}

// Nothing to stop: the report is short work.
class ReportExchange : public Exchange {
 public:
  void OnAbandoned() override {}
};

// `make` runs on a worker.
void AnswerReport(HttpSession& session, std::function<Result<std::string>()> make,
                  std::string_view content_type) {
  session.SetExchange(std::make_shared<ReportExchange>());
  const bool taken = session.server().workers.Submit(
      [reply = session.Later(), make = std::move(make), content_type] {
        auto body = std::make_shared<Result<std::string>>(make());
        reply.Run([body, content_type](HttpSession& waiting) {
          if (!body->ok()) {
            const ErrorTraits& traits = TraitsOf(body->status().kind());
            waiting.RespondError(traits.http_status, traits.wire_code, body->status().message());
            return;
          }
          waiting.Respond({.body = std::move(**body), .content_type = content_type});
        });
      });
  if (taken) return;
  session.Respond({.status = 503,
                   .body = ErrorBody("SERVER_BUSY", "Too much work waits; try again"),
                   .headers = "Retry-After: 1\r\n"});
}

}  // namespace

void AnswerMetrics(HttpSession& session) {
  if (!MayRead(session)) return;
  AnswerReport(session, session.server().prometheus_text,
               "text/plain; version=0.0.4; charset=utf-8");
}

void AnswerMemory(HttpSession& session) {
  if (!MayRead(session)) return;
  AnswerReport(session, session.server().memory_json, "application/json");
}

// Not for whoever happens to be on the machine: it names the server's functions, and a dump stops
// every thread that allocates.
void AnswerHeap(HttpSession& session) {
  if (!IsAdmin(session)) return;
  AnswerReport(session, ReadHeapProfile, "text/plain; charset=utf-8");
}

}  // namespace kalam::server
