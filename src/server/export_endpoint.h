// GET /v1/exports/{user}/{id}: a user's archive.
#pragma once

namespace kalam::server {

class HttpSession;

void AnswerExport(HttpSession& session);

}  // namespace kalam::server
