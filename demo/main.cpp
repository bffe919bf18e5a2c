// kalam-demo: a real chat history replayed by its real users against a fresh server, checked and
// measured.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "checks.h"
#include "load/http_client.h"
#include "messages.h"
#include "replay.h"

namespace {

using kalam::ErrorKind;
using kalam::Status;
namespace demo = kalam::demo;
namespace load = kalam::load;

constexpr char kSchema[] =
    "CREATE NAMESPACE chat;"
    "CREATE USER TABLE chat.messages (message_id BIGINT PRIMARY KEY, conversation_id TEXT NOT "
    "NULL, turn INT NOT NULL, "
    "role TEXT NOT NULL, content TEXT NOT NULL, domain TEXT, service TEXT, created_at TIMESTAMP, "
    "assistant_id TEXT);"
    "CREATE SHARED TABLE chat.conversations (conversation_id TEXT PRIMARY KEY, user_id TEXT NOT "
    "NULL, domain TEXT, "
    "messages BIGINT NOT NULL) WITH (ACCESS_LEVEL = 'PUBLIC')";

double Megabytes(int64_t bytes) { return static_cast<double>(bytes) / 1048576.0; }

double Percentile(std::vector<double>& sorted, double p) {
  return sorted.empty()
             ? 0
             : sorted[static_cast<size_t>(p / 100.0 * static_cast<double>(sorted.size() - 1))];
}

void PrintMemory(const char* when, const load::ProcessMemory& memory) {
  fmt::print("  {:<28} {:>7.1f} MB private  {:>7.1f} MB resident\n", when,
             Megabytes(memory.private_bytes), Megabytes(memory.rss_bytes));
}

Status PrepareSchema(load::ServerProcess& server, const demo::History& history) {
  KALAM_ASSIGN_OR_RETURN(load::HttpClient client, load::HttpClient::Connect(server.port()));
  const std::string token = server.Token("root", "system");
  KALAM_RETURN_IF_ERROR(client.SendOk(load::MakeSql(token, kSchema)).status());
  for (const auto& [user_id, messages] : history.by_user) {
    KALAM_RETURN_IF_ERROR(
        client.SendOk(load::MakeSql(token, "CREATE USER '" + user_id + "' WITH INTERNAL ROLE user"))
            .status());
  }
  return demo::FillConversations(server, history);
}

Status Run() {
  KALAM_ASSIGN_OR_RETURN(const demo::History history,
                         demo::LoadHistory("examples/chat/star_messages.jsonl.gz"));
  const load::TemporaryDirectory directory("kalam-demo");
  load::ServerProcess::Options options;
  options.binary = load::ServerBesideThisProgram();
  options.directory = directory.path();
  options.config_file = "bench/load.toml";
  KALAM_ASSIGN_OR_RETURN(load::ServerProcess server, load::ServerProcess::Start(options));
  sync();
  const load::ProcessMemory before = server.memory();
  KALAM_RETURN_IF_ERROR(PrepareSchema(server, history));

  fmt::print(
      "Replaying {} messages as their {} users: one durable INSERT each, every user watching.\n",
      history.messages.size(), history.by_user.size());
  KALAM_ASSIGN_OR_RETURN(demo::ReplayResult replay, demo::Replay(server, history));
  std::sort(replay.notification_ms.begin(), replay.notification_ms.end());
  fmt::print(
      "\n{:.0f} rows per second; from sending an INSERT to its notification p50 {:.2f} ms, p99 "
      "{:.2f} ms.\n"
      "{} subscribers saw exactly their own {} messages, once and in order; {} reconnects lost "
      "nothing.\n\n",
      static_cast<double>(replay.inserted) / replay.seconds, Percentile(replay.notification_ms, 50),
      Percentile(replay.notification_ms, 99), history.by_user.size(), replay.delivered,
      replay.reconnects);

  fmt::print("What the data says (each answer checked against the file):\n");
  KALAM_RETURN_IF_ERROR(demo::CheckAnswers(server, history));

  fmt::print("\nMemory of the server:\n");
  sync();
  PrintMemory("before", before);
  PrintMemory("largest during the replay", replay.peak);
  PrintMemory("after the questions", server.memory());
  const int code = server.Stop();
  if (code != 0)
    return Status(ErrorKind::Execution, fmt::format("the server ended with code {}", code));
  return {};
}

}  // namespace

int main() {
  const Status status = Run();
  if (!status.ok()) {
    fmt::print(stderr, "\nThe demonstration failed: {}\n", status.ToString());
    return 1;
  }
  fmt::print("\nEverything was as it should be.\n");
  return 0;
}
