// GET /metrics, GET /v1/api/metrics/memory and GET /v1/api/metrics/heap.
#pragma once

namespace kalam::server {

class HttpSession;

/// All metrics as Prometheus reads them. For the machine itself and for admins.
void AnswerMetrics(HttpSession& session);
/// The tree of memory accounts. For the machine itself and for admins.
void AnswerMemory(HttpSession& session);
/// The profile of the heap, where the allocator keeps one. For admins.
void AnswerHeap(HttpSession& session);

}  // namespace kalam::server
