// What the shell was asked to do: flags, the configuration file, and their order.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agent_project.h"
#include "base/status.h"

namespace kalam::cli {

enum class OutputFormat : uint8_t { kTable, kJson, kCsv };
enum class TimestampFormat : uint8_t {
  kIso8601,
  kIso8601Date,
  kIso8601DateTime,
  kUnixMs,
  kUnixSec,
  kRelative,
  kRfc2822,
  kRfc3339
};

struct Options {
  std::string url, host;
  int port = 8080;
  std::string token, user;
  std::optional<std::string> password;
  bool ask_password = false;
  std::string instance = "local";
  std::string file, command;
  std::optional<OutputFormat> format;  // unset: the configuration's
  bool no_color = false, no_spinner = false;
  int loading_threshold_ms = 200;
  std::string config_path;
  bool verbose = false;
  std::optional<int> timeout_s;  // unset: the configuration's, else 30
  int connection_timeout_s = 10, receive_timeout_s = 30, auth_timeout_s = 5;
  bool show_credentials = false, update_credentials = false, delete_credentials = false,
       save_credentials = false, list_instances = false;
  std::string subscribe;
  int subscription_timeout_s = 0, initial_data_timeout_s = 30;
  std::string unsubscribe;  // an id; only a hint is printed: subscriptions live in their shell
  bool list_subscriptions = false;
  bool consume = false;
  bool init_agent = false, init_agent_asks = true;
  AgentProject agent;
  std::string dump_namespace, dump_output, dump_users;  // `kalam dump`
  std::string dump_format = "sql";                      // or parquet
  bool dump_schema_only = false;
  std::string load_file;  // `kalam load`
  bool show_version = false, show_help = false;
  std::string help_text;
};

/// `~/.kalam/config.toml`.
struct Configuration {
  OutputFormat format = OutputFormat::kTable;
  bool color = true;
  int history_size = 1000;
  TimestampFormat timestamp_format = TimestampFormat::kIso8601;
  std::string jwt_token;
  bool auto_reconnect = true;
  std::optional<int> timeout_s;  // of a statement; a flag goes before it
  int reconnect_delay_ms = 100, max_reconnect_delay_ms = 30'000, max_reconnect_attempts = 10;
};

/// Errors: InvalidInput with what to write instead.
Result<Options> ParseArguments(int argc, const char* const* argv);

/// Reads the file, creating it with the defaults when `path` is the default place and nothing is
/// there. Errors: Config naming the line.
Result<Configuration> LoadConfiguration(const std::string& path);

/// `$HOME/.kalam`, created with mode 0700.
std::string KalamDirectory();

Result<OutputFormat> ParseOutputFormat(const std::string& text);

}  // namespace kalam::cli
