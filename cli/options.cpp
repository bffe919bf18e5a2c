// Flags through CLI11, the configuration file through toml++.
#include "options.h"

#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

// toml++ asserts, and in optimised builds assumes, what a malformed file can break; without that it
// comes to the place where it reports the error.
#undef NDEBUG
#define TOML_ASSERT(expression) static_cast<void>(0)
#include <toml++/toml.h>

namespace kalam::cli {
namespace {

constexpr char kDefaultConfiguration[] = R"([server]
timeout = 30
max_retries = 0
http_version = "auto"

[connection]
auto_reconnect = true
reconnect_delay_ms = 100
max_reconnect_delay_ms = 30000
max_reconnect_attempts = 10

[ui]
format = "table"
color = true
history_size = 1000
timestamp_format = "iso8601"
)";

const std::map<std::string, TimestampFormat> kTimestampFormats = {
    {"iso8601", TimestampFormat::kIso8601},
    {"iso8601-date", TimestampFormat::kIso8601Date},
    {"iso8601-datetime", TimestampFormat::kIso8601DateTime},
    {"unix-ms", TimestampFormat::kUnixMs},
    {"unix-sec", TimestampFormat::kUnixSec},
    {"relative", TimestampFormat::kRelative},
    {"rfc2822", TimestampFormat::kRfc2822},
    {"rfc3339", TimestampFormat::kRfc3339}};

void AddConnectionFlags(CLI::App& app, Options* options) {
  auto* url =
      app.add_option("-u,--url", options->url, "Server URL, for example http://localhost:8080");
  app.add_option("-H,--host", options->host, "Server host")->excludes(url);
  app.add_option("-p,--port", options->port, "Server port")
      ->check(CLI::Range(1, 65535))
      ->capture_default_str();
  app.add_option("--token", options->token, "Access token (JWT)");
  app.add_option("--user", options->user, "User to log in as");
  app.add_option("--instance", options->instance, "Name under which credentials are kept")
      ->capture_default_str();
  app.add_option("--timeout", options->timeout_s, "Seconds for a statement")->capture_default_str();
  app.add_option("--connection-timeout", options->connection_timeout_s, "Seconds to connect")
      ->capture_default_str();
  app.add_option("--receive-timeout", options->receive_timeout_s, "Seconds to wait for an answer")
      ->capture_default_str();
  app.add_option("--auth-timeout", options->auth_timeout_s, "Seconds to log in")
      ->capture_default_str();
  app.add_flag("--show-credentials", options->show_credentials, "Show the stored credentials");
  app.add_flag("--update-credentials", options->update_credentials,
               "Log in and store the new credentials");
  app.add_flag("--delete-credentials", options->delete_credentials,
               "Forget the stored credentials");
  app.add_flag("--save-credentials", options->save_credentials,
               "Store the credentials after logging in");
  app.add_flag("--list-instances", options->list_instances, "List the stored instances");
}

void AddOutputFlags(CLI::App& app, Options* options, std::string* format, bool* json, bool* csv) {
  auto* file = app.add_option("-f,--file", options->file, "Run the statements of a file");
  app.add_option("-c,--command", options->command, "Run statements and leave")->excludes(file);
  auto* format_option = app.add_option("--format", *format, "table, json or csv");
  auto* json_flag = app.add_flag("--json", *json, "Same as --format json")->excludes(format_option);
  app.add_flag("--csv", *csv, "Same as --format csv")->excludes(format_option)->excludes(json_flag);
  app.add_flag("--no-color", options->no_color, "No colors");
  app.add_flag("--no-spinner", options->no_spinner, "No spinner while a statement runs");
  app.add_option("--loading-threshold-ms", options->loading_threshold_ms,
                 "Show the spinner after so many milliseconds")
      ->capture_default_str();
  app.add_option("--config", options->config_path,
                 "Configuration file (default ~/.kalam/config.toml)");
  app.add_flag("-v,--verbose", options->verbose, "Say what is done");
  app.add_option("--subscribe", options->subscribe, "Show the live changes of a SELECT");
  app.add_option("--subscription-timeout", options->subscription_timeout_s,
                 "Leave a subscription after so many seconds")
      ->capture_default_str();
  app.add_option("--initial-data-timeout", options->initial_data_timeout_s,
                 "Seconds to wait for the first rows")
      ->capture_default_str();
  app.add_option("--unsubscribe", options->unsubscribe, "How to end a subscription");
  app.add_flag("--list-subscriptions", options->list_subscriptions,
               "How to see what is subscribed to");
  auto* consume = app.add_flag("--consume", options->consume, "Read a topic (not available yet)");
  for (const char* flag :
       {"--topic", "--group", "--from", "--consume-limit", "--consume-timeout"}) {
    app.add_option(flag, "For --consume")->needs(consume);
  }
  app.add_flag("--version", options->show_version, "Show the version");
}

// `--password` alone asks; `--password=P` and `--password P` give it.
std::vector<std::string> TakePassword(int argc, const char* const* argv, Options* options) {
  std::vector<std::string> rest;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.rfind("--password=", 0) == 0) {
      options->password = argument.substr(11);
    } else if (argument == "--password") {
      if (i + 1 < argc && argv[i + 1][0] != '-') {
        options->password = argv[++i];
      } else {
        options->ask_password = true;
      }
    } else {
      rest.push_back(argument);
    }
  }
  return rest;
}

}  // namespace

Result<OutputFormat> ParseOutputFormat(const std::string& text) {
  if (text == "table") return OutputFormat::kTable;
  if (text == "json") return OutputFormat::kJson;
  if (text == "csv") return OutputFormat::kCsv;
  return Status(ErrorKind::InvalidInput, "Unknown format '" + text + "'; use table, json or csv");
}

Result<Options> ParseArguments(int argc, const char* const* argv) {
  Options options;
  CLI::App app("The shell of KalamDB: runs SQL, shows live changes.", "kalam");
  std::string format;
  bool json = false, csv = false, fast = false, relaxed = false;
  AddConnectionFlags(app, &options);
  AddOutputFlags(app, &options, &format, &json, &csv);
  auto* fast_flag = app.add_flag("--fast-timeouts", fast, "Short timeouts, for a server nearby");
  app.add_flag("--relaxed-timeouts", relaxed, "Long timeouts, for a slow network")
      ->excludes(fast_flag);
  app.add_option("--password", "Password; without a value it is asked for")->expected(0, 1);
  std::vector<std::string> arguments = TakePassword(argc, argv, &options);
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  try {
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    options.show_help = true;
    options.help_text = app.help();
    return options;
  } catch (const CLI::ParseError& error) {
    return Status(ErrorKind::InvalidInput,
                  std::string(error.what()) + "\nRun kalam --help for the flags.");
  }
  if (!format.empty()) {
    KALAM_ASSIGN_OR_RETURN(options.format, ParseOutputFormat(format));
  }
  if (json) options.format = OutputFormat::kJson;
  if (csv) options.format = OutputFormat::kCsv;
  if (fast) {
    options.connection_timeout_s = 2;
    options.receive_timeout_s = 5;
    options.auth_timeout_s = 2;
    options.initial_data_timeout_s = 10;
  }
  if (relaxed) {
    options.connection_timeout_s = 30;
    options.receive_timeout_s = 120;
    options.auth_timeout_s = 15;
    options.initial_data_timeout_s = 120;
  }
  return options;
}

std::string KalamDirectory() {
  const char* home = std::getenv("HOME");
  const std::string directory = std::string(home && *home ? home : ".") + "/.kalam";
  mkdir(directory.c_str(), 0700);
  return directory;
}

Result<Configuration> LoadConfiguration(const std::string& path) {
  const std::string file = path.empty() ? KalamDirectory() + "/config.toml" : path;
  if (!std::filesystem::exists(file)) {
    if (!path.empty()) return Status(ErrorKind::Config, "Configuration file not found: " + path);
    std::ofstream(file)
        << kDefaultConfiguration;  // a home that cannot be written to is no reason to fail
    return Configuration();
  }
  std::ifstream stream(file);
  std::stringstream text;
  text << stream.rdbuf();
  Configuration configuration;
  try {
    const toml::table table = toml::parse(text.str());
    const auto ui = table["ui"];
    KALAM_ASSIGN_OR_RETURN(configuration.format,
                           ParseOutputFormat(ui["format"].value_or(std::string("table"))));
    configuration.color = ui["color"].value_or(true);
    configuration.history_size = ui["history_size"].value_or(1000);
    const std::string timestamps = ui["timestamp_format"].value_or(std::string("iso8601"));
    const auto found = kTimestampFormats.find(timestamps);
    if (found == kTimestampFormats.end()) {
      return Status(ErrorKind::Config, file + ": unknown timestamp_format '" + timestamps + "'");
    }
    configuration.timestamp_format = found->second;
    configuration.jwt_token = table["auth"]["jwt_token"].value_or(std::string());
    const auto connection = table["connection"];
    configuration.auto_reconnect = connection["auto_reconnect"].value_or(true);
    configuration.reconnect_delay_ms = connection["reconnect_delay_ms"].value_or(100);
    configuration.max_reconnect_delay_ms = connection["max_reconnect_delay_ms"].value_or(30'000);
    configuration.max_reconnect_attempts = connection["max_reconnect_attempts"].value_or(10);
  } catch (const toml::parse_error& error) {
    return Status(ErrorKind::Config, file + ":" + std::to_string(error.source().begin.line) + ": " +
                                         std::string(error.description()));
  }
  return configuration;
}

}  // namespace kalam::cli
