// The command line of kalamdb-server.
#include <fmt/format.h>

#include "server/settings.h"

namespace kalam::server {

std::string HelpText() {
  return "kalamdb-server: the KalamDB database server\n"
         "\n"
         "  kalamdb-server [options] [file]          serve; the configuration file may be given by "
         "itself\n"
         "  kalamdb-server reset-root-password --data-dir D [--config file]\n"
         "                                           set a new password of root (reads it from the "
         "terminal or a pipe)\n"
         "\n"
         "  --config FILE          configuration file (default: ./server.toml if there is one)\n"
         "  --data-dir DIR         folder of the database (default ./data)\n"
         "  --host ADDRESS         address to listen on (default 127.0.0.1)\n"
         "  --port PORT            port to listen on (default 8080; 0 takes a free one)\n"
         "  --check-config         check the configuration, show the values in effect and exit\n"
         "  --print-example-config, --print-config-reference\n"
         "                         print server.example.toml or docs/configuration.md and exit\n"
         "  --version, --help\n"
         "\n"
         "Exit codes: 0 stopped cleanly, 1 other failure, 2 wrong configuration or command line,\n"
         "3 data directory in use or unusable, 4 address in use, 5 data corrupted, 74 the disk "
         "failed a write.\n";
}

Result<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments) {
  CommandLine line;
  for (size_t i = 0; i < arguments.size(); ++i) {
    std::string name = arguments[i];
    std::optional<std::string> inline_value;
    if (const size_t equals = name.find('=');
        name.starts_with("--") && equals != std::string::npos) {
      inline_value = name.substr(equals + 1);
      name.resize(equals);
    }
    std::optional<std::string>* target = nullptr;
    if (name == "--config" || name == "-c") target = &line.config_path;
    if (name == "--data-dir") target = &line.data_directory;
    if (name == "--host") target = &line.host;
    if (name == "--port") target = &line.port;
    if (target != nullptr) {
      if (!inline_value && i + 1 == arguments.size()) {
        return Status(ErrorKind::Config, fmt::format("{} needs a value", name));
      }
      *target = inline_value ? *inline_value : arguments[++i];
    } else if (name == "--check-config") {
      line.action = CommandLine::Action::kCheckConfig;
    } else if (name == "--print-example-config") {
      line.action = CommandLine::Action::kPrintExample;
    } else if (name == "--print-config-reference") {
      line.action = CommandLine::Action::kPrintReference;
    } else if (name == "--version" || name == "-V") {
      line.action = CommandLine::Action::kVersion;
    } else if (name == "--help" || name == "-h") {
      line.action = CommandLine::Action::kHelp;
    } else if (name == "reset-root-password" && i == 0) {
      line.action = CommandLine::Action::kResetRootPassword;
    } else if (name.starts_with("-")) {
      return Status(ErrorKind::Config, fmt::format("unknown option {}; see --help", name));
    } else if (!line.config_path) {
      line.config_path = name;
    } else {
      return Status(ErrorKind::Config, fmt::format("unexpected argument {}; see --help", name));
    }
  }
  return line;
}

}  // namespace kalam::server
