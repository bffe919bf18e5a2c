// POST /v1/api/sql.
#pragma once

namespace kalam::server {

class HttpSession;

/// Answers a SQL request, now or later.
void AnswerSql(HttpSession& session);

}  // namespace kalam::server
