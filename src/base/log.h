// Structured logging: a message and its fields, as compact text or JSON lines.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/status.h"

namespace kalam {

enum class LogLevel : uint8_t { kTrace, kDebug, kInfo, kWarn, kError };
enum class LogFormat : uint8_t { kCompact, kPretty, kJson };

/// A field of a log line. Values are formatted at the call.
struct LogField {
  LogField(std::string_view field_key, std::string_view text)
      : key(field_key), value(text), quoted(true) {}
  LogField(std::string_view field_key, const char* text)
      : LogField(field_key, std::string_view(text)) {}
  LogField(std::string_view field_key, const std::string& text)
      : LogField(field_key, std::string_view(text)) {}
  template <typename T>
    requires std::is_arithmetic_v<T>
  LogField(std::string_view field_key, T number)
      : key(field_key), value(std::to_string(number)), quoted(false) {}
  std::string_view key;
  std::string value;
  bool quoted;
};

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kCompact;
  bool to_console = true;
  /// Folder of server.log or server.jsonl and slow.log; empty writes no file.
  std::string directory;
  /// Files are rotated at this size, `files_max` are kept.
  int64_t file_size_max_bytes = 64 << 20;
  int files_max = 5;
  /// Level by target (the first argument of Log), longest prefix wins.
  std::map<std::string, LogLevel> levels_by_target;
};

/// Opens the process' log. Before that, lines go to standard error in compact form. Errors:
/// StorageIo.
Status OpenLog(const LogOptions& options);
/// Writes out and closes the files; idempotent.
void CloseLog();

bool LogEnabled(LogLevel level, std::string_view target);
/// Writes one line. `target` names the part of the server ("server.http"). Secrets must be masked
/// by the caller. Thread-safety: any thread; never blocks on the disk for more than one write.
void Log(LogLevel level, std::string_view target, std::string_view message,
         std::initializer_list<LogField> fields = {});
/// Appends one line to slow.log (spec: docs/operations.md, "Slow queries").
void LogSlowQuery(std::string_view line);

/// Parses "error", "warn", "info", "debug", "trace". Errors: Config.
Result<LogLevel> ParseLogLevel(std::string_view text);

}  // namespace kalam
