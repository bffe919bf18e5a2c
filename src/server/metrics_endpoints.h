// GET /metrics and GET /v1/api/metrics/memory.
#pragma once

namespace kalam::server {

class HttpSession;

/// All metrics as Prometheus reads them. For the machine itself and for admins.
void AnswerMetrics(HttpSession& session);
/// The tree of memory accounts. For the machine itself and for admins.
void AnswerMemory(HttpSession& session);

}  // namespace kalam::server
