// The configuration in effect: defaults, then the file, then the environment, then the command
// line, checked.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "server/settings_table.h"

namespace kalam::server {

/// Where a value in effect comes from.
enum class SettingOrigin : uint8_t { kDefault, kFile, kEnvironment, kCommandLine };

/// Values of all active keys. Copyable; read only after loading. Thread-safety: like a value.
class Settings {
 public:
  /// Every key at its default.
  Settings();

  // The key must exist in the table with that type (checked: a wrong name is our own bug).
  bool flag(std::string_view name) const;
  int64_t number(std::string_view name) const;
  const std::string& text(std::string_view name) const;
  const std::vector<std::string>& list(std::string_view name) const;
  const std::map<std::string, std::string>& map(std::string_view name) const;
  SettingOrigin origin(std::string_view name) const;

  /// True when the file has the table [`section`], whatever stands in it.
  bool has_section(std::string_view section) const;

  /// Takes over a value written as plain text (environment, command line). Errors: Config, naming
  /// the key and the bounds.
  Status SetFromText(const SettingKey& key, std::string_view text, SettingOrigin origin);

  /// Values as `system.settings` and `--check-config` show them; secrets are masked.
  std::string ShownValue(const SettingKey& key) const;

 private:
  friend class SettingsReader;
  struct Value {
    SettingOrigin origin = SettingOrigin::kDefault;
    bool flag = false;
    int64_t number = 0;
    std::string text;
    std::vector<std::string> list;
    std::map<std::string, std::string> map;
  };
  const Value& Find(std::string_view name, SettingType type) const;
  Status Assign(const SettingKey& key, Value value);

  std::vector<Value> values_;  // parallel to SettingKeys()
  std::vector<std::string> sections_;
};

/// What the command line says.
struct CommandLine {
  enum class Action : uint8_t {
    kServe,
    kCheckConfig,
    kVersion,
    kHelp,
    kResetRootPassword,
    kPrintExample,
    kPrintReference
  };
  Action action = Action::kServe;
  std::optional<std::string> config_path;
  std::optional<std::string> data_directory;
  std::optional<std::string> host;
  std::optional<std::string> port;
};
/// Errors: Config, with a text for the terminal.
Result<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments);
/// The text of --help.
std::string HelpText();

struct LoadedSettings {
  Settings settings;
  std::string path;  // empty: no file
  std::vector<std::string> warnings;
};

/// Reads an environment variable; nullopt when it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

/// Reads the file named on the command line, else ./server.toml if there is one, else none.
/// Errors: Config (syntax, unknown key with the nearest known one, wrong type, out of bounds: file,
/// line and key).
Result<LoadedSettings> LoadSettings(const CommandLine& command_line,
                                    const Environment& environment);

/// The same from the text of a file; `path` is used in messages only.
Result<LoadedSettings> ParseSettings(std::string_view toml, const std::string& path);

/// Rules across keys that must hold before the server may listen (public addresses need a secret
/// and origins). `jwt_secret` is the one in effect. Warnings are appended. Errors: Config.
Status CheckStartupSafety(const Settings& settings, std::string_view jwt_secret,
                          std::vector<std::string>* warnings);

/// server.example.toml: every active key with its default and help.
std::string ExampleFile();
/// docs/configuration.md: the same as a document, with environment variables and retired keys.
std::string ConfigurationDocument();
/// A key with its value in effect.
struct SettingRow {
  std::string name, value, description, category;
};
std::vector<SettingRow> SettingRows(const Settings& settings);
/// Rows of system.settings: also the retired keys, without a value and with the reason, because
/// clients look for their names.
std::vector<SettingRow> AllSettingRows(const Settings& settings);

/// Where the logs go: logging.logs_path, else <data>/logs.
std::string LogDirectory(const Settings& settings);

/// The known name with the smallest edit distance to `name`.
std::string NearestSettingName(std::string_view name);

/// "64MiB", "10kB", "123" as bytes; nullopt when it is not a size.
std::optional<int64_t> ParseByteSize(std::string_view text);

/// True for exactly 127.0.0.1, ::1 and localhost.
bool IsLoopbackHost(std::string_view host);

}  // namespace kalam::server
