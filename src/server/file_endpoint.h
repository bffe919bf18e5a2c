// GET /v1/files/{namespace}/{table}/{sub}/{name} and the same below /api/v1.
#pragma once

namespace kalam::server {

class HttpSession;

/// Answers with a file of a FILE column, or a part of it.
void AnswerFile(HttpSession& session);

}  // namespace kalam::server
