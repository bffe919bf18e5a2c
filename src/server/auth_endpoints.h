// /v1/api/auth/*: login, refresh, logout, me, status, setup.
#pragma once

namespace kalam::server {

class HttpSession;

void AnswerLogin(HttpSession& session);
void AnswerRefresh(HttpSession& session);
void AnswerLogout(HttpSession& session);
void AnswerMe(HttpSession& session);
void AnswerSetupStatus(HttpSession& session);
void AnswerSetup(HttpSession& session);

}  // namespace kalam::server
