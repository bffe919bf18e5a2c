// Logging in, keeping tokens, running SQL.
#include "session.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/clock.h"
#include "types/datetime.h"
#include "upload.h"

namespace kalam::cli {
namespace {

using Json = nlohmann::json;

constexpr int kRateLimitWaitMs = 250;
constexpr int kRateLimitWaitsMax = 40;
constexpr std::string_view kSwitched = "Namespace switched to '";

std::string MessageOf(const client::HttpReply& reply) {
  const Json body = Json::parse(reply.body, nullptr, false);
  if (body.is_object() && body.contains("message") && body["message"].is_string())
    return body["message"].get<std::string>();
  return "Server error (" + std::to_string(reply.status) + ")";
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool IsPast(const std::string& rfc3339) {
  const Result<int64_t> us = ParseTimestampUs(rfc3339);
  return us.ok() && *us < SystemClock().NowUs() + 5'000'000;
}

// What is typed unseen is typed twice: nobody could mend a slip in root's password later.
Result<std::string> AskNewPassword(const Prompt& prompt, std::string question,
                                   const std::string& user) {
  while (true) {
    KALAM_ASSIGN_OR_RETURN(std::string password,
                           prompt(question + "Password for " + user + ": ", true));
    KALAM_ASSIGN_OR_RETURN(const std::string repeated, prompt("Repeat it: ", true));
    if (password == repeated) return password;
    question = "The two were not the same.\n";
  }
}

}  // namespace

Session::Session(const Options& options, const Configuration& configuration, CredentialStore& store)
    : options_(options), configuration_(configuration), store_(store) {}

Status Session::OpenEndpoint() {
  std::string url = options_.url;
  if (url.empty() && !options_.host.empty()) {
    const bool local =
        options_.host == "localhost" || options_.host == "127.0.0.1" || options_.host == "::1";
    const bool v6 = options_.host.find(':') != std::string::npos;
    url = std::string(local ? "http://" : "https://") +
          (v6 ? "[" + options_.host + "]" : options_.host) + ":" + std::to_string(options_.port);
  }
  if (url.empty()) {
    KALAM_ASSIGN_OR_RETURN(const auto stored, store_.Load());
    const auto found = stored.find(options_.instance);
    // A stored address is the one the credentials belong to; --port alone still means this machine.
    if (found != stored.end() && options_.port == 8080) url = found->second.server_url;
  }
  if (url.empty()) url = "http://localhost:" + std::to_string(options_.port);
  KALAM_ASSIGN_OR_RETURN(client::Endpoint endpoint, client::ParseUrl(url));
  const int timeout_s = options_.timeout_s.value_or(configuration_.timeout_s.value_or(30));
  http_ = std::make_unique<client::HttpClient>(
      std::move(endpoint), options_.connection_timeout_s * 1000,
      std::max(options_.receive_timeout_s, timeout_s) * 1000);
  return {};
}

Status Session::TakeTokens(const client::HttpReply& reply) {
  const Json body = Json::parse(reply.body, nullptr, false);
  if (!body.is_object() || !body.contains("access_token")) {
    return Status(ErrorKind::InvalidInput, "Unexpected answer of the server to the login");
  }
  tokens_.jwt_token = body.value("access_token", std::string());
  tokens_.refresh_token = body.value("refresh_token", std::string());
  tokens_.expires_at = body.value("expires_at", std::string());
  tokens_.refresh_expires_at = body.value("refresh_expires_at", std::string());
  tokens_.server_url = endpoint().Url();
  if (body.contains("user")) {
    tokens_.user = body["user"].value("id", tokens_.user);
    role_ = body["user"].value("role", std::string());
  }
  return {};
}

Status Session::Login(const std::string& user, const std::string& password) {
  KALAM_ASSIGN_OR_RETURN(const client::HttpReply reply,
                         http_->Request("POST", "/v1/api/auth/login", "",
                                        Dump({{"user", user}, {"password", password}})));
  if (reply.status == 428) {
    return Status(
        ErrorKind::Unauthorized,
        "This server has no password for root yet; run `kalam` without flags to set it up");
  }
  if (reply.status != 200)
    return Status(ErrorKind::Unauthorized, "Login as " + user + " failed: " + MessageOf(reply));
  return TakeTokens(reply);
}

Status Session::Refresh() {
  KALAM_ASSIGN_OR_RETURN(const client::HttpReply reply,
                         http_->Request("POST", "/v1/api/auth/refresh", tokens_.refresh_token, ""));
  if (reply.status != 200)
    return Status(ErrorKind::Unauthorized, "The session has ended: " + MessageOf(reply));
  return TakeTokens(reply);
}

Status Session::SaveCredentials() const { return store_.Save(options_.instance, tokens_); }

Status Session::Authenticate(const Prompt& prompt) {
  KALAM_RETURN_IF_ERROR(OpenEndpoint());
  const std::string token = !options_.token.empty() ? options_.token : configuration_.jwt_token;
  if (!token.empty()) {
    tokens_.jwt_token = token;
    KALAM_ASSIGN_OR_RETURN(const client::HttpReply reply,
                           http_->Request("GET", "/v1/api/auth/me", token, ""));
    if (reply.status != 200)
      return Status(ErrorKind::Unauthorized, "The server refused the token: " + MessageOf(reply));
    const Json body = Json::parse(reply.body, nullptr, false);
    tokens_.user = body["user"].value("id", std::string());
    role_ = body["user"].value("role", std::string());
    return {};
  }
  if (!options_.user.empty()) {
    std::string password = options_.password.value_or("");
    if (options_.ask_password || (!options_.password && prompt)) {
      if (!prompt)
        return Status(ErrorKind::InvalidInput,
                      "--password needs a terminal to ask; give it as --password=...");
      KALAM_ASSIGN_OR_RETURN(password, prompt("Password for " + options_.user + ": ", true));
    }
    return Login(options_.user, password);
  }
  KALAM_ASSIGN_OR_RETURN(const auto stored, store_.Load());
  const auto found = stored.find(options_.instance);
  if (found != stored.end() && found->second.server_url == endpoint().Url()) {
    tokens_ = found->second;
    if (!IsPast(tokens_.expires_at)) return {};
    if (!tokens_.refresh_token.empty() && Refresh().ok()) return SaveCredentials();
    tokens_ = Credentials();
  }
  KALAM_ASSIGN_OR_RETURN(const client::HttpReply status,
                         http_->Request("GET", "/v1/api/auth/status", "", ""));
  const Json body = Json::parse(status.body, nullptr, false);
  const bool needs_setup = body.is_object() && body.value("needs_setup", false);
  if (!prompt) {
    return Status(
        ErrorKind::Unauthorized,
        needs_setup
            ? "This server is not set up yet; run `kalam` in a terminal, or POST /v1/api/auth/setup"
            : "Not logged in; use --user and --password, or --token");
  }
  if (needs_setup) return Setup(prompt);
  KALAM_ASSIGN_OR_RETURN(const std::string user, prompt("User: ", false));
  KALAM_ASSIGN_OR_RETURN(const std::string password, prompt("Password: ", true));
  KALAM_RETURN_IF_ERROR(Login(user, password));
  KALAM_ASSIGN_OR_RETURN(const std::string save,
                         prompt("Stay logged in on this machine? [Y/n] ", false));
  return save.empty() || save[0] == 'y' || save[0] == 'Y' ? SaveCredentials() : Status();
}

Status Session::Setup(const Prompt& prompt) {
  std::string question =
      "This server is new. First it needs a password for root (at least 8 characters).\n";
  while (true) {
    KALAM_ASSIGN_OR_RETURN(const std::string root_password,
                           AskNewPassword(prompt, question, "root"));
    KALAM_ASSIGN_OR_RETURN(
        const std::string user,
        prompt("Now an account of your own, with all rights of an administrator.\n"
               "User name: ",
               false));
    KALAM_ASSIGN_OR_RETURN(const std::string password, AskNewPassword(prompt, "", user));
    KALAM_ASSIGN_OR_RETURN(
        const client::HttpReply reply,
        http_->Request(
            "POST", "/v1/api/auth/setup", "",
            Dump({{"user", user}, {"password", password}, {"root_password", root_password}})));
    if (reply.status == 200) {
      KALAM_RETURN_IF_ERROR(Login(user, password));
      return SaveCredentials();
    }
    if (reply.status != 400)
      return Status(ErrorKind::InvalidInput, "Setup failed: " + MessageOf(reply));
    question = "That was refused: " + MessageOf(reply) + "\nOnce more, or Ctrl+C to leave.\n";
  }
}

Result<client::HttpReply> Session::Get(std::string_view path) {
  return http_->Request("GET", path, "", "");
}

Status Session::Download(const std::string& path, std::FILE* file) {
  KALAM_ASSIGN_OR_RETURN(const client::HttpReply reply,
                         http_->Download(path, tokens_.jwt_token, file));
  if (reply.status == 200) return {};
  return Status(ErrorKind::InvalidInput, "The download failed: " + MessageOf(reply));
}

Result<Answer> Session::RunOnce(std::string_view sql) {
  KALAM_ASSIGN_OR_RETURN(const auto form, MakeUploadForm(sql, {.name_space = namespace_,
                                                               .file_folder = file_folder_}));
  if (form) {
    const std::vector<std::string_view> pieces(form->pieces.begin(), form->pieces.end());
    KALAM_ASSIGN_OR_RETURN(
        const client::HttpReply reply,
        http_->Send("POST", "/v1/api/sql", tokens_.jwt_token, form->content_type, pieces));
    return ParseAnswer(reply, configuration_.timestamp_format, SystemClock().NowUs());
  }
  Json body = {{"sql", std::string(sql)}};
  if (!namespace_.empty()) body["namespace_id"] = namespace_;
  KALAM_ASSIGN_OR_RETURN(const client::HttpReply reply,
                         http_->Request("POST", "/v1/api/sql", tokens_.jwt_token, Dump(body)));
  return ParseAnswer(reply, configuration_.timestamp_format, SystemClock().NowUs());
}

Result<Answer> Session::Run(std::string_view sql) {
  Result<Answer> answer = RunRenewed(sql);
  // USE holds for its request alone; the next ones carry its namespace.
  if (answer.ok() && answer->ok && answer->results.size() == 1 &&
      answer->results[0].message.starts_with(kSwitched)) {
    namespace_ = answer->results[0].message.substr(kSwitched.size());
    while (namespace_.ends_with('\'')) namespace_.pop_back();
  }
  return answer;
}

Result<Answer> Session::RunRenewed(std::string_view sql) {
  KALAM_ASSIGN_OR_RETURN(Answer answer, RunOnce(sql));
  // A refused statement was not looked at: a script that is too fast waits instead of failing.
  for (int wait = 0; answer.error_code == "RATE_LIMIT_EXCEEDED" && wait < kRateLimitWaitsMax;
       ++wait) {
    std::this_thread::sleep_for(std::chrono::milliseconds(kRateLimitWaitMs));
    KALAM_ASSIGN_OR_RETURN(answer, RunOnce(sql));
  }
  if (answer.error_code != "TOKEN_EXPIRED" || tokens_.refresh_token.empty()) return answer;
  KALAM_RETURN_IF_ERROR(Refresh());
  return RunOnce(sql);
}

}  // namespace kalam::cli
