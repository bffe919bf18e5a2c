// The shell's session with one server: who is logged in, running SQL, asking the public endpoints.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/http.h"
#include "credentials.h"
#include "options.h"
#include "render.h"

namespace kalam::cli {

/// One entry of an answer's `results`.
struct ResultEntry {
  bool has_rows = false;
  TextTable table;
  int64_t row_count = 0;
  std::string message;
  std::string as_user;
  std::string notice;  // that a configured limit cut the rows
};

/// An answer to a SQL request.
struct Answer {
  bool ok = false;
  double took_ms = 0;
  std::vector<ResultEntry> results;
  std::string error_code, error_message, error_details;
  std::string raw;  // the body, for JSON output
};

/// Asks a question on the terminal; `secret` hides what is typed.
using Prompt = std::function<Result<std::string>(const std::string& question, bool secret)>;

class Session {
 public:
  Session(const Options& options, const Configuration& configuration, CredentialStore& store);

  /// Finds out who we are, in this order: --token or the configuration's token; --user; stored
  /// credentials (refreshed when expired); the prompt, if there is one (with the first-time setup
  /// when the server has no password yet); root without a password. Errors say what to do.
  Status Authenticate(const Prompt& prompt);
  /// Logs in with these; keeps the tokens for this session.
  Status Login(const std::string& user, const std::string& password);
  Status SaveCredentials() const;

  /// Runs a batch, in the namespace of the last USE that was run by itself. An expired token is
  /// renewed once, and the batch is sent again (the server refused it unread).
  Result<Answer> Run(std::string_view sql);
  /// Where relative paths of file('...') begin; empty: the working directory.
  void SetFileFolder(std::string folder) { file_folder_ = std::move(folder); }
  /// Writes what lies at a path of the server to `file`. Errors: also when the server refuses.
  Status Download(const std::string& path, std::FILE* file);
  /// GET of a public endpoint.
  Result<client::HttpReply> Get(std::string_view path);

  const client::Endpoint& endpoint() const { return http_->endpoint(); }
  const std::string& token() const { return tokens_.jwt_token; }
  const std::string& user() const { return tokens_.user; }
  const std::string& role() const { return role_; }
  TimestampFormat timestamp_format() const { return configuration_.timestamp_format; }
  /// Errors: InvalidInput for a bad URL.
  Status OpenEndpoint();

 private:
  Status Setup(const Prompt& prompt);
  Status Refresh();
  Status TakeTokens(const client::HttpReply& reply);
  Result<Answer> RunRenewed(std::string_view sql);
  Result<Answer> RunOnce(std::string_view sql);

  const Options options_;
  const Configuration configuration_;
  CredentialStore& store_;
  std::unique_ptr<client::HttpClient> http_;
  Credentials tokens_;
  std::string role_;
  std::string namespace_;  // empty: the server's default
  std::string file_folder_;
};

/// Reads the body of a SQL answer. Errors: InvalidInput when it is not one.
Result<Answer> ParseAnswer(const client::HttpReply& reply, TimestampFormat timestamps,
                           int64_t now_us);

}  // namespace kalam::cli
