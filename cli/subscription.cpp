// Showing live changes, across broken connections.
#include "subscription.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <thread>

#include "base/clock.h"
#include "client/live_connection.h"

namespace kalam::cli {
namespace {

using Json = nlohmann::ordered_json;

volatile sig_atomic_t interrupted =
    0;  // set by the signal handler, which has no other way to speak

void OnInterrupt(int) { interrupted = 1; }

// Catches Ctrl+C, and single keys on a terminal, while a subscription is shown.
class KeyWatch {
 public:
  KeyWatch() {
    interrupted = 0;
    struct sigaction action {};
    action.sa_handler = OnInterrupt;
    sigaction(SIGINT, &action, &previous_);
    if (isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &terminal_) == 0) {
      termios raw = terminal_;
      raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
      tcsetattr(STDIN_FILENO, TCSANOW, &raw);
      changed_ = true;
    }
  }
  KeyWatch(const KeyWatch&) = delete;
  KeyWatch& operator=(const KeyWatch&) = delete;
  ~KeyWatch() {
    if (changed_) tcsetattr(STDIN_FILENO, TCSANOW, &terminal_);
    sigaction(SIGINT, &previous_, nullptr);
  }
  bool StopAsked() const {
    if (interrupted) return true;
    pollfd key{STDIN_FILENO, POLLIN, 0};
    if (!changed_ || poll(&key, 1, 0) <= 0) return false;
    char c = 0;
    return read(STDIN_FILENO, &c, 1) == 1 && (c == 'q' || c == 'Q');
  }

 private:
  struct sigaction previous_ {};
  termios terminal_{};
  bool changed_ = false;
};

std::string LocalTime() {
  const int64_t now_us = SystemClock().NowUs();
  const time_t seconds = static_cast<time_t>(now_us / 1'000'000);
  tm local{};
  localtime_r(&seconds, &local);
  return fmt::format("[{:02}:{:02}:{:02}.{:03}]", local.tm_hour, local.tm_min, local.tm_sec,
                     now_us / 1000 % 1000);
}

std::string Text(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string TextOf(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

bool LessSeq(const std::string& a, const std::string& b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

class SubscriptionView {
 public:
  SubscriptionView(Session& session, const Configuration& configuration,
                   SubscriptionRequest request, const OutputStyle& style)
      : session_(session),
        configuration_(configuration),
        request_(std::move(request)),
        style_(style) {
    std::mt19937_64 random(std::random_device{}());
    id_ = fmt::format("sub-{:016x}", random());
  }

  Status Run() {
    fmt::print(stderr,
               "Starting subscription for query: {}\nSubscription ID: {}\nPress Ctrl+C (or 'q') to "
               "unsubscribe and "
               "return to CLI\n\n",
               request_.sql, id_);
    const KeyWatch keys;
    KALAM_RETURN_IF_ERROR(Connect());
    int64_t begin_us = SystemClock().SteadyUs();
    bool counting = false;  // the time counts from the end of the initial rows
    while (!keys.StopAsked()) {
      const int64_t now_us = SystemClock().SteadyUs();
      if (!ready_ && now_us - begin_us > int64_t{request_.initial_data_timeout_s} * 1'000'000) {
        return Status(ErrorKind::Timeout, "No initial data in time");
      }
      if (ready_ && !counting) {
        counting = true;
        begin_us = now_us;
      }
      if (counting && request_.timeout_s > 0 &&
          now_us - begin_us > int64_t{request_.timeout_s} * 1'000'000) {
        fmt::print(stderr, "⏱ Subscription timeout reached\n");
        return {};
      }
      if (now_us - last_ping_us_ > 10'000'000) {
        last_ping_us_ = now_us;
        (void)live_->Ping();
      }
      Result<std::string> message = live_->Next(100);
      if (message.ok()) {
        KALAM_RETURN_IF_ERROR(Show(*message));
        if (ended_) return {};
      } else if (!message.status().Is(ErrorKind::Timeout)) {
        KALAM_RETURN_IF_ERROR(Reconnect(std::move(message).status(), keys));
      }
    }
    fmt::print(stderr, "\n⚠ Unsubscribing...\n");
    (void)live_->Unsubscribe(id_);
    fmt::print(stderr, "✓ Unsubscribed - Back to CLI prompt\n");
    return {};
  }

 private:
  Status Connect() {
    KALAM_ASSIGN_OR_RETURN(
        live_, client::LiveConnection::Open(session_.endpoint(), session_.token(), 10'000));
    last_ping_us_ = SystemClock().SteadyUs();
    // A snapshot that was cut off begins again: what it had not shown yet is older than its cursor.
    if (!ready_) last_seq_.reset();
    const std::string options =
        last_seq_ ? "{\"from\":\"" + *last_seq_ + "\"}" : request_.options_json;
    return live_->Subscribe(id_, request_.sql, options);
  }

  Status Reconnect(Status broken, const KeyWatch& keys) {
    if (!configuration_.auto_reconnect) return broken;
    int delay_ms = configuration_.reconnect_delay_ms;
    for (int attempt = 1;; ++attempt) {
      if (configuration_.max_reconnect_attempts > 0 &&
          attempt > configuration_.max_reconnect_attempts)
        return broken;
      fmt::print(stderr, "{} connection lost ({}), reconnecting...\n", LocalTime(),
                 broken.message());
      for (int waited = 0; waited < delay_ms && !keys.StopAsked(); waited += 50) {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      }
      Status connected = Connect();
      if (connected.ok() || connected.Is(ErrorKind::Unauthorized) || interrupted) return connected;
      delay_ms = std::min(delay_ms * 2, configuration_.max_reconnect_delay_ms);
    }
  }

  void Remember(const Json& rows) {
    if (!rows.is_array()) return;
    for (const Json& row : rows) {
      const auto seq = row.find("_seq");
      if (seq == row.end()) continue;
      RememberSeq(TextOf(*seq));
    }
  }

  void RememberSeq(const std::string& seq) {
    if (!last_seq_ || LessSeq(*last_seq_, seq)) last_seq_ = seq;
  }

  void Line(Color color, const std::string& text) {
    fmt::print("{} {}\n", LocalTime(), Paint(style_, color, text));
  }

  Status Show(const std::string& text) {
    const Json message = Json::parse(text, nullptr, false);
    if (!message.is_object()) return {};
    if (style_.format == OutputFormat::kJson) fmt::print("{}\n", Text(message));
    const std::string type = message.value("type", std::string());
    if (type == "subscription_ack") ShowAck(message);
    if (type == "initial_data_batch") KALAM_RETURN_IF_ERROR(ShowBatch(message));
    if (type == "change") ShowChange(message);
    if (type == "error") {
      fmt::print(stderr, "{}\n",
                 Paint(style_, Color::kRed,
                       fmt::format("ERROR [{}] {}: {}", message.value("subscription_id", ""),
                                   message.value("code", ""), message.value("message", ""))));
      ended_ = true;
      return Status(ErrorKind::Execution,
                    message.value("message", std::string("subscription ended")));
    }
    std::fflush(stdout);
    return {};
  }

  void ShowAck(const Json& message) {
    const Json control = message.value("batch_control", Json::object());
    const bool ready = control.value("status", "") == "ready";
    ready_ = ready_ || ready;
    if (style_.format == OutputFormat::kJson) return;
    Line(Color::kCyan, fmt::format("✓ SUBSCRIBED [{}] {} total rows, batch {} ({}), {} columns",
                                   id_, message.value("total_rows", 0),
                                   control.value("batch_num", 0), ready ? "ready" : "loading...",
                                   message.value("schema", Json::array()).size()));
  }

  Status ShowBatch(const Json& message) {
    const Json control = message.value("batch_control", Json::object());
    const Json rows = message.value("rows", Json::array());
    Remember(rows);
    const bool more = control.value("has_more", false);
    // The last batch says from where a resume is complete, also when nothing matched for long.
    if (const Json last = control.value("last_seq_id", Json()); !more && last.is_number_integer()) {
      RememberSeq(TextOf(last));
    }
    if (style_.format != OutputFormat::kJson && (!rows.empty() || !ready_)) {
      Line(Color::kBlue, fmt::format("BATCH {} [{}] {} rows ({})", control.value("batch_num", 0),
                                     id_, rows.size(), more ? "more pending" : "complete"));
      for (const Json& row : rows) fmt::print("  {}\n", Text(row));
    }
    if (!more) {
      ready_ = true;
      return {};
    }
    return live_->NextBatch(id_, TextOf(control.value("last_seq_id", Json(0))));
  }

  void ShowChange(const Json& message) {
    const std::string kind = message.value("change_type", std::string());
    const Json rows = message.value("rows", Json::array());
    const Json old_values = message.value("old_values", Json::array());
    Remember(rows.empty() ? old_values : rows);
    if (style_.format == OutputFormat::kJson) return;
    const std::string row = rows.empty() ? "(no row payload)" : Text(rows[0]);
    const std::string old_row = old_values.empty() ? "(no row payload)" : Text(old_values[0]);
    if (kind == "insert") Line(Color::kGreen, fmt::format("INSERT [{}] {}", id_, row));
    if (kind == "update") {
      Line(Color::kYellow,
           fmt::format("UPDATE [{}] {} {} {}", id_, old_row, style_.color ? "⇒" : "=>", row));
    }
    if (kind == "delete") Line(Color::kRed, fmt::format("DELETE [{}] {}", id_, old_row));
  }

  Session& session_;
  const Configuration& configuration_;
  const SubscriptionRequest request_;
  const OutputStyle style_;
  std::string id_;
  std::unique_ptr<client::LiveConnection> live_;
  std::optional<std::string> last_seq_;
  int64_t last_ping_us_ = 0;
  bool ready_ = false;
  bool ended_ = false;
};

std::string Trim(std::string_view text) {
  while (!text.empty() &&
         (std::isspace(static_cast<unsigned char>(text.back())) || text.back() == ';'))
    text.remove_suffix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())))
    text.remove_prefix(1);
  return std::string(text);
}

}  // namespace

Result<SubscriptionRequest> ParseSubscription(std::string_view text) {
  SubscriptionRequest request;
  request.sql = Trim(text);
  request.options_json = "{}";
  std::string upper = request.sql;
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return std::toupper(c); });
  if (upper.rfind("SUBSCRIBE TO ", 0) == 0) {
    request.sql = Trim(request.sql.substr(13));
    upper = upper.substr(13);
    upper = upper.substr(upper.find_first_not_of(" \t\n"));
    if (upper.rfind("SELECT", 0) != 0) {
      request.sql = "SELECT * FROM " + request.sql;
      upper = "SELECT * FROM " + upper;
    }
  }
  if (upper.rfind("SELECT", 0) != 0)
    return Status(ErrorKind::InvalidInput,
                  "Subscribe to a SELECT: \\subscribe SELECT * FROM ns.table");
  const size_t options_at = upper.rfind("OPTIONS");
  if (options_at == std::string::npos) return request;
  const std::string clause = Trim(request.sql.substr(options_at + 7));
  if (clause.size() < 2 || clause.front() != '(' || clause.back() != ')') return request;
  Json options = Json::object();
  std::string_view rest(clause.data() + 1, clause.size() - 2);
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    const std::string_view pair = rest.substr(0, comma);
    const size_t equals = pair.find('=');
    const std::string key = Trim(pair.substr(0, equals));
    const std::string value = equals == std::string_view::npos ? "" : Trim(pair.substr(equals + 1));
    if (key != "last_rows" && key != "batch_size" && key != "from" && key != "from_seq_id") {
      return Status(ErrorKind::InvalidInput,
                    "Unknown subscription option: '" + key +
                        "'. Valid options are: last_rows, batch_size, from");
    }
    if (value.empty() || value.find_first_not_of("0123456789") != std::string::npos ||
        value.size() > 19) {
      return Status(ErrorKind::InvalidInput, "The option " + key + " needs a number");
    }
    options[key == "from_seq_id" ? "from" : key] = std::stoll(value);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  request.options_json = options.dump();
  request.sql = Trim(request.sql.substr(0, options_at));
  return request;
}

Status RunSubscription(Session& session, const Configuration& configuration,
                       SubscriptionRequest request, const OutputStyle& style) {
  return SubscriptionView(session, configuration, std::move(request), style).Run();
}

}  // namespace kalam::cli
