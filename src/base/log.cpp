// Formats log lines and writes them to the console and to files that are rotated by size.
#include "base/log.h"

#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <mutex>

#include "base/clock.h"
#include "base/log_file.h"

namespace kalam {
namespace {

std::string_view LevelName(LogLevel level) {
  static constexpr std::string_view kNames[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR"};
  return kNames[static_cast<size_t>(level)];
}

std::string_view LevelColor(LogLevel level) {
  static constexpr std::string_view kColors[] = {"\033[35m", "\033[34m", "\033[32m", "\033[33m",
                                                 "\033[31m"};
  return kColors[static_cast<size_t>(level)];
}

/// `2026-01-31T23:59:59.123456Z`, or with a space and milliseconds for slow.log.
std::string FormatTime(int64_t us, bool for_slow_log) {
  time_t seconds = us / 1'000'000;
  int64_t fraction_us = us % 1'000'000;
  tm civil{};
  gmtime_r(&seconds, &civil);
  if (for_slow_log) {
    return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}", civil.tm_year + 1900,
                       civil.tm_mon + 1, civil.tm_mday, civil.tm_hour, civil.tm_min, civil.tm_sec,
                       fraction_us / 1'000);
  }
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", civil.tm_year + 1900,
                     civil.tm_mon + 1, civil.tm_mday, civil.tm_hour, civil.tm_min, civil.tm_sec,
                     fraction_us);
}

/// Appends `text` with quotes and control characters escaped as JSON does, so that no text can
/// forge a line.
void AppendEscaped(std::string_view text, std::string* out) {
  for (char c : text) {
    switch (c) {
      case '"':
        *out += "\\\"";
        break;
      case '\\':
        *out += "\\\\";
        break;
      case '\n':
        *out += "\\n";
        break;
      case '\r':
        *out += "\\r";
        break;
      case '\t':
        *out += "\\t";
        break;
      default:
        if (static_cast<uint8_t>(c) < 0x20 || c == 0x7F) {
          fmt::format_to(std::back_inserter(*out), "\\u{:04x}", static_cast<uint8_t>(c));
        } else {
          *out += c;
        }
    }
  }
}

/// Escapes control characters only: for the message of a text line.
void AppendVisible(std::string_view text, std::string* out) {
  for (char c : text) {
    if (static_cast<uint8_t>(c) < 0x20 || c == 0x7F) {
      AppendEscaped(std::string_view(&c, 1), out);
    } else {
      *out += c;
    }
  }
}

void AppendTextValue(const LogField& field, std::string* out) {
  bool plain =
      !field.quoted ||
      (!field.value.empty() && std::none_of(field.value.begin(), field.value.end(), [](char c) {
        return static_cast<uint8_t>(c) <= 0x20 || c == '"' || c == '=' || c == '\\' || c == 0x7F;
      }));
  if (plain) {
    *out += field.value;
    return;
  }
  *out += '"';
  AppendEscaped(field.value, out);
  *out += '"';
}

struct LogLine {
  int64_t time_us;
  LogLevel level;
  std::string_view target;
  std::string_view message;
  std::initializer_list<LogField> fields;
};

std::string FormatText(const LogLine& line, bool pretty, bool colored) {
  std::string out = FormatTime(line.time_us, false);
  out += ' ';
  if (colored) out += LevelColor(line.level);
  fmt::format_to(std::back_inserter(out), "{:>5}", LevelName(line.level));
  if (colored) out += "\033[0m";
  out += ' ';
  AppendVisible(line.target, &out);
  out += ": ";
  AppendVisible(line.message, &out);
  for (const LogField& field : line.fields) {
    out += pretty ? "\n    " : " ";
    AppendVisible(field.key, &out);
    out += pretty ? ": " : "=";
    AppendTextValue(field, &out);
  }
  out += '\n';
  return out;
}

void AppendJsonMember(std::string_view key, std::string_view text, std::string* out) {
  *out += out->empty() ? "{\"" : ",\"";
  AppendEscaped(key, out);
  *out += "\":\"";
  AppendEscaped(text, out);
  *out += '"';
}

std::string FormatJson(const LogLine& line) {
  char thread_name[16] = "";
  pthread_getname_np(pthread_self(), thread_name, sizeof(thread_name));
  std::string out;
  AppendJsonMember("timestamp", FormatTime(line.time_us, false), &out);
  AppendJsonMember("level", LevelName(line.level), &out);
  AppendJsonMember("target", line.target, &out);
  AppendJsonMember("threadName", thread_name, &out);
  AppendJsonMember("message", line.message, &out);
  for (const LogField& field : line.fields) {
    // std::to_string of an infinity or a NaN is no JSON number.
    bool number =
        !field.quoted && field.value.find_first_not_of("+-.0123456789") == std::string::npos;
    if (!number) {
      AppendJsonMember(field.key, field.value, &out);
      continue;
    }
    out += ",\"";
    AppendEscaped(field.key, &out);
    out += "\":";
    out += field.value;
  }
  out += "}\n";
  return out;
}

std::string Format(const LogLine& line, LogFormat format, bool colored) {
  if (format == LogFormat::kJson) return FormatJson(line);
  return FormatText(line, format == LogFormat::kPretty, colored);
}

void WriteConsole(std::string_view line) {
  // A console that is gone or full is no reason to fail.
  [[maybe_unused]] ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

/// The process' log.
class Logger {
 public:
  Status Open(const LogOptions& options) {
    RotatedFile server_file;
    RotatedFile slow_file;
    if (!options.directory.empty()) {
      bool json = options.format == LogFormat::kJson;
      RotationLimits limits{options.file_size_max_bytes, options.files_max};
      KALAM_RETURN_IF_ERROR(
          server_file.Open(options.directory, json ? "server.jsonl" : "server.log", limits));
      KALAM_RETURN_IF_ERROR(slow_file.Open(options.directory, "slow.log", limits));
    }
    std::lock_guard lock(mutex_);
    options_ = options;
    server_file_ = std::move(server_file);
    slow_file_ = std::move(slow_file);
    colored_ = isatty(STDERR_FILENO) == 1;
    LogLevel lowest = options.level;
    for (const auto& [target, level] : options.levels_by_target) lowest = std::min(lowest, level);
    lowest_level_.store(lowest, std::memory_order_relaxed);
    by_target_.store(!options.levels_by_target.empty(), std::memory_order_relaxed);
    return Status::Ok();
  }

  void Close() {
    std::lock_guard lock(mutex_);
    server_file_.Close();
    slow_file_.Close();
    options_.directory.clear();
    options_.to_console = true;
  }

  bool Enabled(LogLevel level, std::string_view target) {
    if (level < lowest_level_.load(std::memory_order_relaxed)) return false;
    if (!by_target_.load(std::memory_order_relaxed)) return true;
    std::lock_guard lock(mutex_);
    LogLevel wanted = options_.level;
    size_t longest = 0;
    for (const auto& [prefix, prefix_level] : options_.levels_by_target) {
      if (prefix.size() >= longest && target.starts_with(prefix)) {
        longest = prefix.size();
        wanted = prefix_level;
      }
    }
    return level >= wanted;
  }

  void Write(const LogLine& line) {
    std::lock_guard lock(mutex_);
    if (options_.to_console) WriteConsole(Format(line, options_.format, colored_));
    if (server_file_.is_open()) server_file_.Write(Format(line, options_.format, false));
  }

  void WriteSlow(std::string_view text) {
    std::string line;
    AppendVisible(text, &line);
    line += '\n';
    std::lock_guard lock(mutex_);
    if (slow_file_.is_open()) slow_file_.Write(line);
  }

 private:
  std::atomic<LogLevel> lowest_level_{LogLevel::kInfo};
  std::atomic<bool> by_target_{false};
  std::mutex mutex_;
  LogOptions options_;       // guarded by mutex_
  RotatedFile server_file_;  // guarded by mutex_
  RotatedFile slow_file_;    // guarded by mutex_
  bool colored_ = false;     // guarded by mutex_
};

Logger& ProcessLogger() {
  // Never destroyed: threads that outlive main may still log.
  static Logger& logger = *std::make_unique<Logger>().release();
  return logger;
}

}  // namespace

Status OpenLog(const LogOptions& options) { return ProcessLogger().Open(options); }

void CloseLog() { ProcessLogger().Close(); }

bool LogEnabled(LogLevel level, std::string_view target) {
  return ProcessLogger().Enabled(level, target);
}

void Log(LogLevel level, std::string_view target, std::string_view message,
         std::initializer_list<LogField> fields) {
  if (!LogEnabled(level, target)) return;
  ProcessLogger().Write({SystemClock().NowUs(), level, target, message, fields});
}

void LogSlowQuery(std::string_view line) {
  ProcessLogger().WriteSlow(fmt::format("[{}] {}", FormatTime(SystemClock().NowUs(), true), line));
}

Result<LogLevel> ParseLogLevel(std::string_view text) {
  if (text == "error") return LogLevel::kError;
  if (text == "warn") return LogLevel::kWarn;
  if (text == "info") return LogLevel::kInfo;
  if (text == "debug") return LogLevel::kDebug;
  if (text == "trace") return LogLevel::kTrace;
  return Status(ErrorKind::Config,
                fmt::format("Unknown log level '{}'; use error, warn, info, debug or trace", text));
}

}  // namespace kalam
