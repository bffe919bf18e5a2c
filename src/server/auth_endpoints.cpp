// Sign-in over HTTP. Hashing and durable writes happen on other threads; the answers come back to
// the core.
#include "server/auth_endpoints.h"

#include <fmt/format.h>
#include <time.h>

#include <array>
#include <map>
#include <optional>
#include <string>

#include "auth/auth.h"
#include "base/id_generators.h"
#include "base/log.h"
#include "catalog/catalog.h"
#include "server/http_session.h"
#include "server/request_authentication.h"
#include "server/request_reader.h"
#include "statements/sql_request.h"
#include "types/convert.h"

namespace kalam::server {
namespace {

constexpr size_t kUserBytesMax = 128;
constexpr size_t kPasswordBytesMax = 256;

void Refuse(HttpSession& session, int status, std::string_view slug, std::string_view message) {
  std::string headers = status == 429 || status == 503 ? "Retry-After: 1\r\n" : "";
  session.Respond(
      {.status = status, .body = ErrorBody(slug, message), .headers = std::move(headers)});
}

std::string Rfc3339(int64_t us) {
  const time_t seconds = us / 1'000'000;
  tm parts;
  gmtime_r(&seconds, &parts);
  char text[40];
  return {text, strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S+00:00", &parts)};
}

std::string JsonText(std::string_view text) {
  std::string json;
  AppendJsonString(text, &json);
  return json;
}

std::string UserJson(const catalog::UserRecord& user) {
  return fmt::format(R"({{"id":{},"role":"{}","email":{},"created_at":"{}","updated_at":"{}"}})",
                     JsonText(user.user_id), catalog::RoleName(user.role),
                     user.email.empty() ? std::string("null") : JsonText(user.email),
                     Rfc3339(user.created_at_us), Rfc3339(user.updated_at_us));
}

std::string LoginJson(const catalog::UserRecord& user, const auth::TokenPair& tokens) {
  return fmt::format(
      R"({{"user":{},"admin_ui_access":{},"expires_at":"{}","access_token":{},"refresh_token":{},"refresh_expires_at":"{}"}})",
      UserJson(user), catalog::IsAdmin(user.role), Rfc3339(tokens.access_expires_s * 1'000'000),
      JsonText(tokens.access_token), JsonText(tokens.refresh_token),
      Rfc3339(tokens.refresh_expires_s * 1'000'000));
}

std::string Cookie(std::string_view name, std::string_view value, int64_t expires_s, bool secure) {
  const time_t seconds = expires_s;
  tm parts;
  gmtime_r(&seconds, &parts);
  char expires[40];
  const size_t size = strftime(expires, sizeof expires, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return fmt::format("Set-Cookie: {}={}; HttpOnly; SameSite=Strict; Path=/; Expires={}{}\r\n", name,
                     value, std::string_view(expires, size), secure ? "; Secure" : "");
}

bool CookiesSecure(HttpSession& session) {
  return session.server().options.cookie_secure && session.secure();
}

HttpResponse SignedIn(const catalog::UserRecord& user, const auth::TokenPair& tokens, bool secure) {
  return {
      .body = LoginJson(user, tokens),
      .headers = Cookie("kalamdb_auth", tokens.access_token, tokens.access_expires_s, secure) +
                 Cookie("kalamdb_refresh", tokens.refresh_token, tokens.refresh_expires_s, secure) +
                 "Cache-Control: no-store\r\n"};
}

// Reads a body of texts, with `username` as another name of `user`. nullopt: answered.
std::optional<std::map<std::string, std::string>> ReadBody(
    HttpSession& session, std::span<const std::string_view> names) {
  auto texts = session.core().reader->ReadTexts(session.request().body(), names);
  if (!texts.ok()) {
    Refuse(session, 400, "bad_request", texts.status().message());
    return std::nullopt;
  }
  if (const auto alias = texts->find("username");
      alias != texts->end() && !texts->contains("user")) {
    (*texts)["user"] = alias->second;
  }
  return std::move(*texts);
}

void RefuseLogin(HttpSession& session, const auth::AuthOutcome& outcome) {
  using auth::AuthFailure;
  const auto message = [&outcome](std::string_view otherwise) {
    return outcome.message.empty() ? std::string(otherwise) : outcome.message;
  };
  switch (outcome.failure) {
    case AuthFailure::kAccountLocked:
      Refuse(session, 401, "account_locked", message("Account is locked"));
      break;
    case AuthFailure::kSetupRequired:
      Refuse(
          session, 428, "setup_required",
          message(
              "Root has no password yet; set one with POST /v1/api/auth/setup from this machine"));
      break;
    case AuthFailure::kForbidden:
      Refuse(session, 403, "forbidden", message("Access denied"));
      break;
    case AuthFailure::kRateLimited:
      Refuse(session, 429, "rate_limited", message("Too many attempts; try again later"));
      break;
    case AuthFailure::kStorage:
      Refuse(session, 500, "internal_error", "Authentication failed");
      break;
    default:
      Refuse(session, 401, "unauthorized", "Invalid credentials");
      break;
  }
}

// On the hashing pool or a worker: makes the tokens and sends the answer back to the core.
void SignIn(ServerContext& server, const Reply& reply, const std::string& user_id,
            const std::string& address, bool secure) {
  const auto user = server.catalog->FindUser(user_id);
  if (!user.ok() || !user->has_value()) {
    reply.Run([](HttpSession& session) {
      Refuse(session, 500, "internal_error", "Authentication failed");
    });
    return;
  }
  auth::TokenPair tokens = server.authenticator->IssueTokens(**user, RandomHex(32));
  if (catalog::IsAdmin((*user)->role)) {
    const catalog::Caller actor{user_id, (*user)->role};
    // The trail is written beside the answer: a full disk must not lock the administrators out.
    server.workers.SubmitAlways([&server, actor, address] {
      const Status status = server.statements->Audit(actor, "LOGIN", "user:" + actor.user_id,
                                                     std::nullopt, address, std::nullopt);
      if (!status.ok())
        Log(LogLevel::kWarn, "server.auth", "audit line not written", {{"why", status.message()}});
    });
  }
  reply.Run([user = **user, tokens = std::move(tokens), secure](HttpSession& session) {
    session.Respond(SignedIn(user, tokens, secure));
  });
}

std::string SetupProblem(ServerContext& server) {
  const auto root = server.catalog->FindUser("root");
  if (!root.ok()) return "internal";
  if (root->has_value() && !(*root)->password_hash.empty()) return "configured";
  return "";
}

// Writes root's password and the first administrator together. On a worker.
HttpResponse SetUp(ServerContext& server, std::map<std::string, std::string> texts) {
  const auto refuse = [](int status, std::string_view slug, std::string_view message) {
    return HttpResponse{.status = status, .body = ErrorBody(slug, message)};
  };
  auto root_hash = server.authenticator->HashPasswordNow(texts["root_password"]);
  auto user_hash = server.authenticator->HashPasswordNow(texts["password"]);
  for (const auto* hash : {&root_hash, &user_hash}) {
    if (!hash->ok()) return refuse(400, "weak_password", hash->status().message());
  }
  const std::lock_guard lock(server.setup_mutex);
  auto root = server.catalog->FindUser("root");
  if (!root.ok() || !root->has_value()) return refuse(500, "internal_error", "Setup failed");
  if (!(*root)->password_hash.empty())
    return refuse(409, "already_configured", "Server is already configured");
  const int64_t now_us = server.clock.NowUs();
  catalog::UserRecord root_record = **root;
  root_record.password_hash = std::move(*root_hash);
  root_record.updated_at_us = now_us;
  catalog::UserRecord user;
  user.user_id = texts["user"];
  user.password_hash = std::move(*user_hash);
  user.role = catalog::Role::kDba;
  user.email = texts["email"];
  user.storage_id = root_record.storage_id;
  user.created_at_us = user.updated_at_us = now_us;
  catalog::RecordWrites writes = server.catalog->PutUser(root_record);
  const catalog::RecordWrites user_writes = server.catalog->PutUser(user);
  writes.insert(writes.end(), user_writes.begin(), user_writes.end());
  if (const Status status = server.write_records(std::move(writes)); !status.ok()) {
    return refuse(500, "internal_error", "Setup failed: " + status.ToString());
  }
  server.authenticator->UserChanged("root");
  return {.body = fmt::format(
              R"({{"user":{},"message":"Server setup complete. You can now log in as '{}'."}})",
              UserJson(user), user.user_id)};
}

}  // namespace

void AnswerLogin(HttpSession& session) {
  ServerContext& server = session.server();
  static constexpr std::array<std::string_view, 3> kNames = {"user", "username", "password"};
  if (!MayTryAgain(session)) {
    Refuse(session, 429, "rate_limited", "Too many login attempts; try again later");
    return;
  }
  auto texts = ReadBody(session, kNames);
  if (!texts) return;
  auth::Authenticator::LoginAttempt attempt;
  attempt.user_id = (*texts)["user"];
  attempt.password = (*texts)["password"];
  if (attempt.user_id.size() > kUserBytesMax || attempt.password.size() > kPasswordBytesMax) {
    Refuse(session, 400, "bad_request", "User or password is too long");
    return;
  }
  attempt.client_address = session.client().ToString();
  attempt.from_loopback = session.client().is_loopback();
  const bool secure = CookiesSecure(session);
  const std::string address = attempt.client_address;
  const Reply reply = session.Later();
  server.authenticator->Login(
      std::move(attempt), [&server, reply, address, secure](const auth::AuthOutcome& outcome) {
        if (outcome.failure == auth::AuthFailure::kNone) {
          SignIn(server, reply, outcome.principal.caller.user_id, address, secure);
        } else {
          reply.Run([outcome](HttpSession& waiting) { RefuseLogin(waiting, outcome); });
        }
      });
}

void AnswerRefresh(HttpSession& session) {
  ServerContext& server = session.server();
  std::optional<std::string_view> token = CookieValue(session, "kalamdb_refresh");
  if (!token) token = BearerToken(session);
  if (!token) {
    Refuse(session, 401, "unauthorized", "No refresh token");
    return;
  }
  const Reply reply = session.Later();
  const bool secure = CookiesSecure(session);
  const bool submitted =
      server.workers.Submit([&server, reply, secure, token = std::string(*token)] {
        auth::TokenPair tokens;
        auth::AuthOutcome outcome = server.authenticator->Refresh(token, &tokens);
        std::optional<catalog::UserRecord> user;
        if (outcome.failure == auth::AuthFailure::kNone) {
          auto found = server.catalog->FindUser(outcome.principal.caller.user_id);
          if (found.ok()) user = std::move(*found);
          if (!user) outcome.failure = auth::AuthFailure::kStorage;
        }
        reply.Run([outcome, user, tokens, secure](HttpSession& waiting) {
          if (user) {
            waiting.Respond(SignedIn(*user, tokens, secure));
          } else if (outcome.failure == auth::AuthFailure::kStorage) {
            Refuse(waiting, 500, "internal_error", "Refresh failed");
          } else if (!MayTryAgain(waiting)) {
            Refuse(waiting, 429, "rate_limited", "Too many failed attempts; try again later");
          } else {
            Refuse(waiting, 401, "unauthorized", "Invalid or expired refresh token");
          }
        });
      });
  if (!submitted) Refuse(session, 503, "server_busy", "The server is busy; try again");
}

void AnswerLogout(HttpSession& session) {
  ServerContext& server = session.server();
  const bool secure = CookiesSecure(session);
  const auto answer = [secure](HttpSession& waiting) {
    waiting.Respond({.body = R"({"message":"Logged out successfully"})",
                     .headers = Cookie("kalamdb_auth", "", 0, secure) +
                                Cookie("kalamdb_refresh", "", 0, secure)});
  };
  // The session that the presented token belongs to ends for all its tokens.
  std::string session_id;
  struct Candidate {
    std::optional<std::string_view> token;
    auth::TokenUse use;
  };
  const Candidate candidates[] = {
      {BearerToken(session), auth::TokenUse::kAccess},
      {CookieValue(session, "kalamdb_auth"), auth::TokenUse::kAccess},
      {CookieValue(session, "kalamdb_refresh"), auth::TokenUse::kRefresh}};
  for (const Candidate& candidate : candidates) {
    if (!candidate.token || !session_id.empty()) continue;
    const auth::AuthOutcome outcome =
        server.authenticator->VerifyToken(*candidate.token, candidate.use);
    if (outcome.failure == auth::AuthFailure::kNone) session_id = outcome.principal.session_id;
  }
  if (session_id.empty()) {
    answer(session);
    return;
  }
  const Reply reply = session.Later();
  const bool submitted = server.workers.Submit([&server, reply, session_id, answer] {
    const Status status = server.authenticator->RevokeSession(session_id);
    reply.Run([status = status.ok(), answer](HttpSession& waiting) {
      if (status) {
        answer(waiting);
      } else {
        Refuse(waiting, 500, "internal_error", "Logout could not be recorded; try again");
      }
    });
  });
  if (!submitted) Refuse(session, 503, "server_busy", "The server is busy; try again");
}

void AnswerMe(HttpSession& session) {
  ServerContext& server = session.server();
  std::optional<std::string_view> token = BearerToken(session);
  if (!token) token = CookieValue(session, "kalamdb_auth");
  if (!token) {
    Refuse(session, 401, "unauthorized", "Authentication required");
    return;
  }
  const auth::AuthOutcome outcome =
      server.authenticator->VerifyToken(*token, auth::TokenUse::kAccess);
  if (outcome.failure != auth::AuthFailure::kNone) {
    if (!MayTryAgain(session)) {
      Refuse(session, 429, "rate_limited", "Too many failed attempts; try again later");
    } else {
      Refuse(session, 401, "unauthorized",
             outcome.failure == auth::AuthFailure::kTokenExpired ? "Token expired"
                                                                 : "Invalid credentials");
    }
    return;
  }
  const auto user = server.catalog->FindUser(outcome.principal.caller.user_id);
  if (!user.ok() || !user->has_value()) {
    Refuse(session, 500, "internal_error", "The user cannot be read");
    return;
  }
  session.Respond({.body = fmt::format(R"({{"user":{},"admin_ui_access":{}}})", UserJson(**user),
                                       catalog::IsAdmin((*user)->role))});
}

void AnswerSetupStatus(HttpSession& session) {
  const bool needed = SetupProblem(session.server()).empty();
  session.Respond({.body = fmt::format(
                       R"({{"needs_setup":{},"message":"{}"}})", needed,
                       needed ? "Server requires initial setup. Root password is not configured."
                              : "Server is configured and ready.")});
}

void AnswerSetup(HttpSession& session) {
  ServerContext& server = session.server();
  static constexpr std::array<std::string_view, 5> kNames = {"user", "username", "password",
                                                             "root_password", "email"};
  if (!MayTryAgain(session)) {
    Refuse(session, 429, "rate_limited", "Too many attempts; try again later");
    return;
  }
  if (!session.client().is_loopback() && !server.options.allow_remote_setup) {
    Refuse(session, 403, "forbidden", "Setup is only allowed from the server's own machine");
    return;
  }
  auto texts = ReadBody(session, kNames);
  if (!texts) return;
  if (SetupProblem(server) == "configured") {
    Refuse(session, 409, "already_configured", "Server is already configured");
    return;
  }
  for (const std::string_view name : {"root_password", "password"}) {
    const std::string problem =
        auth::PasswordProblem((*texts)[std::string(name)], server.options.password_complexity);
    if (!problem.empty()) {
      Refuse(session, 400, "weak_password", fmt::format("{}: {}", name, problem));
      return;
    }
  }
  const std::string& user_id = (*texts)["user"];
  const std::string problem =
      user_id == "root" ? "the id 'root' is taken" : catalog::UserIdProblem(user_id, false);
  if (!problem.empty() || user_id.size() > kUserBytesMax) {
    Refuse(session, 400, "invalid_user", problem.empty() ? "The user id is too long" : problem);
    return;
  }
  const auto existing = server.catalog->FindUser(user_id);
  if (existing.ok() && existing->has_value()) {
    Refuse(session, 409, "user_exists", fmt::format("User '{}' already exists", user_id));
    return;
  }
  const Reply reply = session.Later();
  const bool submitted =
      server.workers.Submit([&server, reply, texts = std::move(*texts)]() mutable {
        HttpResponse response = SetUp(server, std::move(texts));
        reply.Run(
            [response = std::move(response)](HttpSession& waiting) { waiting.Respond(response); });
      });
  if (!submitted) Refuse(session, 503, "server_busy", "The server is busy; try again");
}

}  // namespace kalam::server
