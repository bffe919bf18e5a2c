// kalam: the shell of KalamDB.
#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <clocale>
#include <fstream>
#include <iostream>

#include "base/build_facts.h"
#include "credentials.h"
#include "dump.h"
#include "load.h"
#include "options.h"
#include "output.h"
#include "session.h"
#include "shell.h"

namespace {

using kalam::ErrorKind;
using kalam::Result;
using kalam::Status;
namespace cli = kalam::cli;

int Fail(const Status& status) {
  fmt::print(stderr, "Error: {}\n", status.message());
  return 1;
}

Result<std::string> Ask(const std::string& question, bool secret) {
  // The echo is off before the question stands there: an answer may come at once.
  termios terminal{};
  const bool hide = secret && tcgetattr(STDIN_FILENO, &terminal) == 0;
  if (hide) {
    termios hidden = terminal;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &hidden);
  }
  fmt::print("{}", question);
  std::fflush(stdout);
  std::string answer;
  const bool read = static_cast<bool>(std::getline(std::cin, answer));
  if (hide) {
    tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
    fmt::print("\n");
  }
  if (!read) return Status(ErrorKind::InvalidInput, "Nothing was answered");
  return answer;
}

int ShowVersion() {
  const kalam::BuildFacts& build = kalam::ThisBuild();
  fmt::print("kalam {}\ncommit {} ({})\nbuilt {}\n", build.version, build.commit, build.branch,
             build.date);
  return 0;
}

// The flags that ask for nothing of the server; -1 when none was given.
int HintFlags(const cli::Options& options) {
  if (!options.unsubscribe.empty()) {
    fmt::print(
        "A subscription ends with the shell that shows it (Ctrl+C or 'q').\nTo end one of another "
        "client: kalam -c \"KILL LIVE QUERY '{}'\" (dba).\n",
        options.unsubscribe);
    return 0;
  }
  if (options.list_subscriptions) {
    fmt::print(
        "Subscriptions belong to the client that opened them.\nAll that run on the server: kalam "
        "-c \"SELECT live_id, user_id, query FROM system.live\" (dba).\n");
    return 0;
  }
  if (options.consume) return Fail(Status(ErrorKind::NotAvailable, "Topics are not available yet"));
  return -1;
}

// Writes the project of --init-agent, asking for what matters when somebody is there to answer.
int InitAgent(const cli::Options& options, bool terminal) {
  cli::AgentProject project = options.agent;
  if (!options.url.empty()) project.server_url = options.url;
  if (terminal && options.init_agent_asks) {
    const std::pair<const char*, std::string*> questions[] = {
        {"Name of the project", &project.name},
        {"Table", &project.table},
        {"Its primary key", &project.id_column},
        {"Column that the agent reads", &project.input_column},
        {"Column that it fills", &project.output_column},
        {"What the model is told", &project.system_prompt}};
    for (const auto& [question, value] : questions) {
      const Result<std::string> answer = Ask(fmt::format("{} [{}]: ", question, *value), false);
      if (!answer.ok()) return Fail(answer.status());
      if (!answer->empty()) *value = *answer;
    }
  }
  const Status written = cli::WriteAgentProject(project);
  if (!written.ok()) return Fail(written);
  fmt::print("Agent project written to {}; its README.md says how it starts.\n",
             project.folder.empty() ? project.name : project.folder);
  return 0;
}

// The flags that only look at stored credentials; -1 when none was given.
int CredentialFlags(const cli::Options& options, cli::CredentialStore& store) {
  if (options.list_instances || options.show_credentials) {
    const auto all = store.Load();
    if (!all.ok()) return Fail(all.status());
    if (options.list_instances) {
      for (const auto& [name, entry] : *all)
        fmt::print("{}  {}  {}\n", name, entry.user, entry.server_url);
      if (all->empty()) fmt::print("No stored credentials\n");
      return 0;
    }
    const auto found = all->find(options.instance);
    if (found == all->end()) {
      fmt::print("No stored credentials for the instance '{}'\n", options.instance);
      return 0;
    }
    fmt::print("Instance: {}\nServer:   {}\nUser:     {}\nToken:    [redacted]\nExpires:  {}\n",
               options.instance, found->second.server_url, found->second.user,
               found->second.expires_at);
    return 0;
  }
  if (options.delete_credentials) {
    const auto deleted = store.Delete(options.instance);
    if (!deleted.ok()) return Fail(deleted.status());
    fmt::print("{}\n", *deleted ? "Credentials deleted" : "There were no stored credentials");
    return 0;
  }
  return -1;
}

int RunDump(const cli::Options& options, cli::Session& session) {
  const cli::DumpOptions dump{.namespace_id = options.dump_namespace,
                              .users = options.dump_users,
                              .schema_only = options.dump_schema_only};
  const std::string& path = options.dump_output;
  if (options.dump_format == "parquet") {
    if (path.empty())
      return Fail(Status(ErrorKind::InvalidInput, "An archive needs a file: -o app.zip"));
    const Status dumped = cli::DumpArchive(session, dump, path);
    return dumped.ok() ? 0 : Fail(dumped);
  }
  const Result<int64_t> left_out =
      path.empty() ? cli::Dump(session, dump, stdout) : cli::DumpFile(session, dump, path);
  if (!left_out.ok()) return Fail(left_out.status());
  if (*left_out > 0) {
    fmt::print(stderr,
               "Warning: this dump lacks {} file(s) of FILE columns and has only their "
               "references; {}\n",
               *left_out,
               path.empty() ? "with -o FILE they are written beside it"
                            : "their rows were changed or deleted meanwhile");
  }
  return 0;
}

int RunLoad(const cli::Options& options, cli::Session& session) {
  const Result<int64_t> loaded = options.load_file == "-"
                                     ? cli::Load(session, std::cin)
                                     : cli::LoadFile(session, options.load_file);
  if (!loaded.ok()) return Fail(loaded.status());
  fmt::print("{} statements loaded\n", *loaded);
  return 0;
}

int Run(const cli::Options& options, const cli::Configuration& configuration) {
  if (const int code = HintFlags(options); code >= 0) return code;
  const bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
  if (options.init_agent) return InitAgent(options, terminal);
  cli::CredentialStore store;
  if (const int code = CredentialFlags(options, store); code >= 0) return code;

  cli::OutputStyle style;
  style.format = options.format.value_or(configuration.format);
  style.color = configuration.color && !options.no_color && isatty(STDOUT_FILENO);
  style.terminal_width = cli::TerminalWidth();

  cli::Session session(options, configuration, store);
  const Status authenticated = session.Authenticate(terminal ? cli::Prompt(Ask) : cli::Prompt());
  if (!authenticated.ok()) return Fail(authenticated);
  if (options.save_credentials || options.update_credentials) {
    const Status saved = session.SaveCredentials();
    if (!saved.ok()) return Fail(saved);
    if (options.update_credentials) {
      fmt::print("Credentials stored for the instance '{}'\n", options.instance);
      return 0;
    }
  }
  if (!options.dump_namespace.empty()) return RunDump(options, session);
  if (!options.load_file.empty()) return RunLoad(options, session);
  cli::Shell shell(options, configuration, session, store, style);
  if (!options.subscribe.empty()) return shell.RunSubscribe(options.subscribe);
  if (!options.command.empty()) return shell.RunText(options.command);
  if (!options.file.empty()) {
    std::ifstream file(options.file);
    if (!file) return Fail(Status(ErrorKind::InvalidInput, "Cannot read the file " + options.file));
    return shell.RunStream(file);
  }
  return terminal ? shell.RunInteractive() : shell.RunStream(std::cin);
}

}  // namespace

int main(int argc, char** argv) {
  std::setlocale(LC_ALL, "");
  // Widths of characters need a UTF-8 locale; a machine without one set still gets it.
  if (std::setlocale(LC_CTYPE, nullptr) == std::string("C")) std::setlocale(LC_CTYPE, "C.UTF-8");
  const Result<cli::Options> options = cli::ParseArguments(argc, argv);
  if (!options.ok()) return Fail(options.status());
  if (options->show_help) {
    fmt::print("{}", options->help_text);
    return 0;
  }
  if (options->show_version) return ShowVersion();
  const Result<cli::Configuration> configuration = cli::LoadConfiguration(options->config_path);
  if (!configuration.ok()) return Fail(configuration.status());
  return Run(*options, *configuration);
}
