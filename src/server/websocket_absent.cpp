// The answer of GET /v1/ws in a build without WebSockets.
#include "server/http_session.h"
#include "server/websocket_session.h"

namespace kalam::server {

void UpgradeToWebSocket(HttpSession& session) {
  session.RespondError(400, "NOT_AVAILABLE",
                       "This server was built without WebSockets (KALAM_WITH_WEBSOCKET)");
}

}  // namespace kalam::server
