// Running statements: from text, a stream, or a terminal.
#include "shell.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <sstream>
#include <thread>

#include "base/clock.h"
#include "highlight.h"
#include "line_editor.h"
#include "sql/parser.h"
#include "subscription.h"

namespace kalam::cli {
namespace {

std::string Trim(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  return begin == std::string::npos
             ? std::string()
             : text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

bool IsSubscribe(std::string_view text) {
  return sql::ClassifyStatement(text) == sql::StatementKind::kSubscribe;
}

bool IsTransaction(std::string_view text) {
  return sql::ClassifyStatement(text) == sql::StatementKind::kTransaction;
}

// Of the transaction statements BEGIN and START open one; COMMIT, END and ROLLBACK close it.
bool Opens(std::string_view text) { return std::strchr("bBsS", text[0]) != nullptr; }

// Turns on the terminal's last line while a statement takes long.
class Spinner {
 public:
  Spinner(bool enabled, int threshold_ms) {
    if (!enabled) return;
    thread_ = std::thread([this, threshold_ms] { Run(threshold_ms); });
  }
  Spinner(const Spinner&) = delete;
  Spinner& operator=(const Spinner&) = delete;
  ~Spinner() {
    if (!thread_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

 private:
  void Run(int threshold_ms) {
    static constexpr const char* kFrames[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, std::chrono::milliseconds(threshold_ms), [this] { return done_; }))
      return;
    for (size_t frame = 0; !done_; ++frame) {
      fmt::print(stderr, "\r\x1b[36m{}\x1b[0m Executing query...", kFrames[frame % 10]);
      std::fflush(stderr);
      changed_.wait_for(lock, std::chrono::milliseconds(80), [this] { return done_; });
    }
    fmt::print(stderr, "\r\x1b[K");
    std::fflush(stderr);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace

bool IsComplete(const std::string& text) {
  const std::string trimmed = Trim(text);
  if (trimmed.empty() || trimmed[0] == '\\') return true;
  // A `;` inside quotes or comments ends nothing: what stands before it must split cleanly.
  if (trimmed.back() != ';') return false;
  const Result<std::vector<sql::StatementText>> pieces = sql::SplitStatements(trimmed);
  if (!pieces.ok()) return !pieces.status().Is(ErrorKind::BatchParse);
  // A comment that swallows the `;` leaves the last piece without an end.
  const Result<std::vector<sql::StatementText>> longer = sql::SplitStatements(trimmed + "\nx");
  return longer.ok() && longer->size() > pieces->size();
}

bool HasOpenTransaction(const std::string& text) {
  const Result<std::vector<sql::StatementText>> pieces = sql::SplitStatements(text);
  if (!pieces.ok()) return false;
  bool open = false;
  for (const sql::StatementText& piece : *pieces) {
    if (IsTransaction(piece.text)) open = Opens(piece.text);
  }
  return open;
}

Result<std::vector<std::string>> SplitRequests(const std::string& text) {
  KALAM_ASSIGN_OR_RETURN(const auto pieces, sql::SplitStatements(text));
  std::vector<std::string> requests;
  bool open = false;
  for (const sql::StatementText& piece : pieces) {
    if (open) {
      requests.back() += ";\n" + std::string(piece.text);
    } else {
      requests.emplace_back(piece.text);
    }
    if (IsTransaction(piece.text)) open = Opens(piece.text);
  }
  return requests;
}

Shell::Shell(const Options& options, const Configuration& configuration, Session& session,
             CredentialStore& store, OutputStyle style)
    : options_(options),
      configuration_(configuration),
      session_(session),
      store_(store),
      style_(style),
      started_us_(SystemClock().SteadyUs()) {}

Result<Answer> Shell::Ask(const std::string& sql) {
  ++statements_run_;
  const int64_t begin_us = SystemClock().SteadyUs();
  Result<Answer> answer = Status(ErrorKind::Internal, "");
  {
    const Spinner spinner(editor_ != nullptr && !options_.no_spinner && isatty(STDERR_FILENO),
                          options_.loading_threshold_ms);
    answer = session_.Run(sql);
  }
  online_ = answer.ok();
  if (options_.verbose) {
    fmt::print(stderr, "{} as {}: {} bytes of SQL, {:.3f} ms\n", session_.endpoint().Url(),
               session_.user(), sql.size(),
               static_cast<double>(SystemClock().SteadyUs() - begin_us) / 1000);
  }
  return answer;
}

bool Shell::Query(const std::string& sql) {
  const Result<Answer> answer = Ask(sql);
  if (!answer.ok()) {
    fmt::print(stderr, "{}\n", Paint(style_, Color::kRed, "Error: " + answer.status().message()));
    return false;
  }
  style_.terminal_width = TerminalWidth();
  return PrintAnswer(*answer, style_);
}

// As the server's answer to the whole, with what ran before a failure.
bool Shell::QueryAsOneDocument(const std::vector<std::string>& requests) {
  std::vector<Answer> answers;
  Status status;
  for (const std::string& request : requests) {
    Result<Answer> answer = Ask(request);
    if (!answer.ok()) {
      status = std::move(answer).status();
      break;
    }
    answers.push_back(std::move(*answer));
    if (!answers.back().ok) break;
  }
  if (!answers.empty()) PrintAsOneDocument(answers);
  if (!status.ok()) fmt::print(stderr, "Error: {}\n", status.message());
  return status.ok() && answers.back().ok;
}

bool Shell::Execute(const std::string& statement) {
  if (IsSubscribe(statement)) {
    Result<SubscriptionRequest> request = ParseSubscription(statement);
    if (!request.ok()) {
      fmt::print(stderr, "Error: {}\n", request.status().message());
      return false;
    }
    request->timeout_s = options_.subscription_timeout_s;
    request->initial_data_timeout_s = options_.initial_data_timeout_s;
    const Status status = RunSubscription(session_, configuration_, std::move(*request), style_);
    if (!status.ok()) fmt::print(stderr, "Error: {}\n", status.message());
    return status.ok();
  }
  return Query(statement);
}

int Shell::RunText(const std::string& text) {
  const std::string trimmed = Trim(text);
  if (!trimmed.empty() && trimmed[0] == '\\') {
    Next next = Next::kContinue;
    return ExecuteMeta(trimmed, &next) ? 0 : 1;
  }
  return RunRequests(text) ? 0 : 1;
}

bool Shell::RunRequests(const std::string& text) {
  const Result<std::vector<std::string>> requests = SplitRequests(text);
  if (!requests.ok()) {
    if (requests.status().Is(ErrorKind::EmptySql)) return true;
    fmt::print(stderr, "Error: {}\n", requests.status().message());
    return false;
  }
  if (style_.format == OutputFormat::kJson && requests->size() > 1 &&
      std::none_of(requests->begin(), requests->end(), IsSubscribe)) {
    return QueryAsOneDocument(*requests);
  }
  return std::all_of(requests->begin(), requests->end(),
                     [this](const std::string& request) { return Execute(request); });
}

int Shell::RunStream(std::istream& input) {
  // Statements run as they end, so that a file may be larger than a request; meta-commands stand on
  // lines of their own between them.
  std::string sql;
  std::string line;
  while (std::getline(input, line)) {
    const std::string trimmed = Trim(line);
    if (sql.empty() && trimmed.empty()) continue;
    if (sql.empty() && trimmed[0] == '\\') {
      Next next = Next::kContinue;
      if (!ExecuteMeta(trimmed, &next)) return 1;
      if (next == Next::kQuit) return 0;
      continue;
    }
    sql += line + "\n";
    if (trimmed.empty() || trimmed.back() != ';' || !IsComplete(sql) || HasOpenTransaction(sql)) {
      continue;
    }
    if (!RunRequests(sql)) return 1;
    sql.clear();
  }
  return RunRequests(sql) ? 0 : 1;
}

int Shell::RunSubscribe(const std::string& sql) {
  Result<SubscriptionRequest> request = ParseSubscription(sql);
  if (request.ok()) {
    request->timeout_s = options_.subscription_timeout_s;
    request->initial_data_timeout_s = options_.initial_data_timeout_s;
    const Status status = RunSubscription(session_, configuration_, std::move(*request), style_);
    if (status.ok()) return 0;
    fmt::print(stderr, "Error: {}\n", status.message());
    return 1;
  }
  fmt::print(stderr, "Error: {}\n", request.status().message());
  return 1;
}

std::string Shell::PromptText(bool continuation) const {
  const std::string cluster = cluster_id_.empty() ? "" : "[" + cluster_id_ + "]";
  if (!style_.color) {
    return continuation ? "  -> "
                        : fmt::format("* KalamDB{} {}@{} > ", cluster, session_.user(),
                                      session_.endpoint().host);
  }
  return continuation ? "  ↳ ❯ "
                      : fmt::format("{} KalamDB{} {}@{} ❯ ", online_ ? "●" : "○", cluster,
                                    session_.user(), session_.endpoint().host);
}

int Shell::RunInteractive() {
  fmt::print("KalamDB shell, connected to {} as {}. \\help shows the commands, \\quit leaves.\n",
             session_.endpoint().Url(), session_.user());
  completion_.Refresh(session_);
  cluster_id_ = ClusterId();
  std::string statement;
  Painter painter;
  if (style_.color) {
    painter = [&statement](const std::string& line) { return Highlight(statement, line); };
  }
  LineEditor editor(
      KalamDirectory() + "/history", configuration_.history_size,
      [this](const std::string& line) { return completion_.For(line); }, painter);
  editor_ = &editor;
  while (true) {
    std::string line;
    const LineEditor::Outcome outcome = editor.ReadLine(PromptText(!statement.empty()), &line);
    if (outcome == LineEditor::Outcome::kInterrupted) {
      fmt::print("{}\n", statement.empty() ? "Use \\quit or \\q to exit" : "");
      statement.clear();
      continue;
    }
    if (outcome == LineEditor::Outcome::kEnd) break;
    const bool was_empty = Trim(statement).empty();
    statement += (statement.empty() ? "" : "\n") + line;
    if (was_empty && Trim(line).empty()) {
      statement.clear();
      continue;
    }
    // An empty line sends what stands there, with or without `;`.
    if (!Trim(line).empty() && (!IsComplete(statement) || HasOpenTransaction(statement))) continue;
    const std::string whole = Trim(statement);
    statement.clear();
    editor.AddHistory(whole);
    Next next = Next::kContinue;
    if (whole[0] == '\\') {
      ExecuteMeta(whole, &next);
    } else {
      RunText(whole);
    }
    std::fflush(stdout);
    if (next == Next::kQuit) break;
  }
  editor_ = nullptr;
  fmt::print("Goodbye!\n");
  return 0;
}

}  // namespace kalam::cli
