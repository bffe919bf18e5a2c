// Authentication of requests and its refusals.
#include "server/request_authentication.h"

#include <fmt/format.h>

#include "server/http_session.h"
#include "types/convert.h"

namespace kalam::server {

namespace {

struct Refusal {
  int status;
  std::string_view code;
  std::string_view message;
};

Refusal RefusalOf(auth::AuthFailure failure) {
  using auth::AuthFailure;
  switch (failure) {
    case AuthFailure::kTokenExpired:
      return {401, "TOKEN_EXPIRED", "Token expired"};
    case AuthFailure::kAccountLocked:
      return {401, "ACCOUNT_LOCKED", "Account is locked"};
    case AuthFailure::kSetupRequired:
      return {401, "SETUP_REQUIRED", "The server is not set up yet"};
    case AuthFailure::kForbidden:
      return {403, "REMOTE_ACCESS_DENIED", "Access from this address is denied"};
    case AuthFailure::kRateLimited:
      return {429, "RATE_LIMIT_EXCEEDED", "Too many failed attempts"};
    case AuthFailure::kStorage:
      return {500, "AUTHENTICATION_ERROR", "Authentication failed"};
    case AuthFailure::kNone:
    case AuthFailure::kInvalidCredentials:
    case AuthFailure::kWeakPassword:
      break;
  }
  return {401, "INVALID_CREDENTIALS", "Invalid credentials"};
}

}  // namespace

std::optional<std::string_view> BearerToken(HttpSession& session) {
  const auto header = session.request().header("authorization");
  if (!header || header->size() < 8 || !EqualsIgnoringCase(header->substr(0, 7), "bearer "))
    return std::nullopt;
  std::string_view token = header->substr(7);
  while (token.starts_with(' ')) token.remove_prefix(1);
  if (token.empty()) return std::nullopt;
  return token;
}

std::optional<std::string_view> CookieValue(HttpSession& session, std::string_view name) {
  std::string_view rest = session.request().header("cookie").value_or("");
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(';'), rest.size());
    std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    while (pair.starts_with(' ')) pair.remove_prefix(1);
    if (pair.size() > name.size() && pair.starts_with(name) && pair[name.size()] == '=') {
      return pair.substr(name.size() + 1);
    }
  }
  return std::nullopt;
}

bool MayTryAgain(HttpSession& session) {
  return session.client_is_exempt() || session.server().rates.CheckAuthentication(
                                           session.client(), session.server().clock.SteadyUs());
}

double TookMs(const HttpSession& session, int64_t started_us) {
  return static_cast<double>(const_cast<HttpSession&>(session).server().clock.SteadyUs() -
                             started_us) /
         1000.0;
}

std::string SqlErrorBody(std::string_view code, std::string_view message, std::string_view details,
                         double took_ms) {
  std::string body = fmt::format(
      "{{\"status\":\"error\",\"results\":[],\"took\":{:.3f},\"error\":{{\"code\":", took_ms);
  AppendJsonString(code, &body);
  body += ",\"message\":";
  AppendJsonString(message, &body);
  if (!details.empty()) {
    body += ",\"details\":";
    AppendJsonString(details, &body);
  }
  body += "}}";
  return body;
}

std::optional<auth::Principal> AuthenticateBearer(HttpSession& session, int64_t started_us) {
  const auto refuse = [&session, started_us](const Refusal& refusal, std::string_view text) {
    std::string headers = refusal.status == 401 ? "WWW-Authenticate: Bearer\r\n" : "";
    if (refusal.status == 429) headers = "Retry-After: 1\r\n";
    session.Respond({.status = refusal.status,
                     .body = SqlErrorBody(refusal.code, text, "", TookMs(session, started_us)),
                     .headers = std::move(headers)});
  };
  if (!session.request().header("authorization")) {
    refuse({401, "MISSING_AUTHORIZATION", ""}, "Authentication required");
    return std::nullopt;
  }
  const std::optional<std::string_view> token = BearerToken(session);
  if (!token) {
    refuse({401, "INVALID_CREDENTIALS", ""}, "Only bearer tokens are accepted");
    return std::nullopt;
  }
  auth::AuthOutcome outcome =
      session.server().authenticator->VerifyToken(*token, auth::TokenUse::kAccess);
  if (outcome.failure == auth::AuthFailure::kNone) return std::move(outcome.principal);
  const Refusal refusal =
      RefusalOf(MayTryAgain(session) ? outcome.failure : auth::AuthFailure::kRateLimited);
  refuse(refusal,
         outcome.message.empty() || refusal.status == 429 ? refusal.message : outcome.message);
  return std::nullopt;
}

}  // namespace kalam::server
