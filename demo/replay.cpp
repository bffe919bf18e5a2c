// The replay of the chat history.
#include "replay.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <memory>
#include <optional>
#include <random>

#include "load/http_client.h"
#include "load/websocket_client.h"

namespace kalam::demo {
namespace {

constexpr int kWaitMs = 20'000;
constexpr int kBarWidth = 40;
// Every third user loses the connection, for this many messages, this often.
constexpr size_t kCutOffEvery = 3;
constexpr size_t kCutOffMessages = 40;
constexpr int kCutOffsPerUser = 3;

std::string JsonOrNull(const std::string& text) {
  return text.empty() ? "null" : load::JsonString(text);
}

std::string InsertRequest(const std::string& token, const Message& message) {
  static constexpr char kSql[] =
      "INSERT INTO chat.messages (message_id, conversation_id, turn, role, content, domain, "
      "service, created_at, "
      "assistant_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
  return load::MakeSql(
      token, kSql,
      fmt::format("[{},{},{},{},{},{},{},{},{}]", message.message_id,
                  load::JsonString(message.conversation_id), message.turn,
                  load::JsonString(message.role), load::JsonString(message.content),
                  JsonOrNull(message.domain), JsonOrNull(message.service),
                  JsonOrNull(message.created_at), JsonOrNull(message.assistant_id)));
}

int64_t NumberOf(std::string_view text) {
  int64_t number = -1;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// One user: what is sent, what has come back, and the two connections.
struct Participant {
  std::string user_id, token;
  const std::vector<size_t>* messages = nullptr;
  load::Socket http;
  std::string http_buffer;
  size_t sent = 0;       // messages sent; sent - 1 is on its way
  size_t delivered = 0;  // notifications received
  std::vector<int64_t> sent_ns;
  std::optional<load::WebSocketClient> socket;
  std::string last_seq = "0";
  std::vector<size_t> cut_at;  // cut off before sending these
  size_t reconnect_at = 0;     // 0: not cut off
  size_t not_timed_until = 0;  // messages below were sent while cut off
  bool awaiting_answer = false;
  bool finished_sending() const { return sent == messages->size() && !awaiting_answer; }
};

class Replayer {
 public:
  Replayer(load::ServerProcess& server, const History& history)
      : server_(server), history_(history), poller_(epoll_create1(EPOLL_CLOEXEC)) {}

  Result<ReplayResult> Run() {
    KALAM_RETURN_IF_ERROR(Prepare());
    const int64_t begin_ns = load::SteadyNs();
    for (auto& participant : participants_) KALAM_RETURN_IF_ERROR(SendNext(*participant));
    std::array<epoll_event, 128> events{};
    int64_t last_progress_ns = begin_ns;
    while (result_.delivered < static_cast<int64_t>(history_.messages.size())) {
      const int ready =
          epoll_wait(poller_.fd(), events.data(), static_cast<int>(events.size()), kWaitMs);
      if (ready == 0) return Silence();
      for (int e = 0; e < ready; ++e)
        KALAM_RETURN_IF_ERROR(OnEvent(events[static_cast<size_t>(e)].data.u64));
      // A log gets a line every few seconds, a terminal a bar that moves.
      if (load::SteadyNs() - last_progress_ns >
          (isatty(STDOUT_FILENO) ? 200'000'000 : 5'000'000'000)) {
        last_progress_ns = load::SteadyNs();
        Progress(begin_ns);
      }
    }
    result_.seconds = static_cast<double>(load::SteadyNs() - begin_ns) / 1e9;
    Progress(begin_ns);
    fmt::print("\n");
    return std::move(result_);
  }

 private:
  Status Prepare() {
    std::mt19937 random(20201);
    size_t number = 0;
    for (const auto& [user_id, messages] : history_.by_user) {
      auto participant = std::make_unique<Participant>();
      participant->user_id = user_id;
      participant->token = server_.Token(user_id, "user");
      participant->messages = &messages;
      participant->sent_ns.resize(messages.size());
      if (number % kCutOffEvery == 0 && messages.size() > 3 * kCutOffMessages) {
        for (int cut = 0; cut < kCutOffsPerUser; ++cut) {
          participant->cut_at.push_back(1 + random() % (messages.size() - 2 * kCutOffMessages));
        }
      }
      KALAM_ASSIGN_OR_RETURN(participant->http, load::Socket::Connect(server_.port()));
      Watch(participant->http.fd(), number * 2);
      participants_.push_back(std::move(participant));
      KALAM_RETURN_IF_ERROR(Subscribe(number));
      ++number;
    }
    return {};
  }

  void Watch(int fd, uint64_t key) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = key;
    epoll_ctl(poller_.fd(), EPOLL_CTL_ADD, fd, &event);
  }

  // Opens the user's WebSocket and subscribes from the last change seen; the first time from the
  // beginning.
  Status Subscribe(size_t number) {
    Participant& participant = *participants_[number];
    KALAM_ASSIGN_OR_RETURN(load::WebSocketClient socket,
                           load::WebSocketClient::Open(server_.port(), participant.token));
    KALAM_RETURN_IF_ERROR(socket.Subscribe("history", "SELECT * FROM chat.messages",
                                           "{\"from\":" + participant.last_seq + "}"));
    participant.socket.emplace(std::move(socket));
    bool ready = false;
    while (!ready) {
      KALAM_ASSIGN_OR_RETURN(const std::string message, participant.socket->Receive(kWaitMs));
      ready = message.find("\"initial_data_batch\"") != std::string::npos;
      if (!ready) KALAM_RETURN_IF_ERROR(OnMessage(participant, message));
    }
    Watch(participant.socket->socket().fd(), number * 2 + 1);
    // Changes may have come in the same read as the batch; the poller will not tell of those again.
    while (true) {
      Result<std::string> message = participant.socket->Receive(0);
      if (message.status().Is(ErrorKind::Timeout)) return {};
      KALAM_RETURN_IF_ERROR(message.status());
      KALAM_RETURN_IF_ERROR(OnMessage(participant, *message));
    }
  }

  Status SendNext(Participant& participant) {
    const auto cut =
        std::find(participant.cut_at.begin(), participant.cut_at.end(), participant.sent);
    if (cut != participant.cut_at.end() && participant.socket) {
      participant.cut_at.erase(cut);
      participant.socket.reset();  // the socket is closed without a word, as a lost network would
      participant.reconnect_at = participant.sent + kCutOffMessages;
    }
    const Message& message = history_.messages[(*participant.messages)[participant.sent]];
    participant.sent_ns[participant.sent] = load::SteadyNs();
    ++participant.sent;
    participant.awaiting_answer = true;
    return participant.http.SendAll(InsertRequest(participant.token, message));
  }

  Status OnEvent(uint64_t key) {
    Participant& participant = *participants_[key / 2];
    if (key % 2 == 0) return OnAnswer(key / 2, participant);
    if (!participant.socket) return {};
    std::vector<std::string> messages;
    KALAM_RETURN_IF_ERROR(participant.socket->ReadAvailable(&messages));
    for (const std::string& message : messages)
      KALAM_RETURN_IF_ERROR(OnMessage(participant, message));
    return {};
  }

  Status OnAnswer(size_t number, Participant& participant) {
    KALAM_RETURN_IF_ERROR(participant.http.Receive(&participant.http_buffer, -1));
    load::HttpResponse response;
    if (!load::TakeResponse(&participant.http_buffer, &response)) return {};
    if (response.status != 200) {
      return Status(ErrorKind::Execution,
                    fmt::format("INSERT of {} failed: {}", participant.user_id, response.body));
    }
    participant.awaiting_answer = false;
    ++result_.inserted;
    const bool all_sent = participant.sent == participant.messages->size();
    if (!participant.socket && (participant.sent >= participant.reconnect_at || all_sent)) {
      participant.not_timed_until = participant.sent;
      ++result_.reconnects;
      KALAM_RETURN_IF_ERROR(Subscribe(number));
    }
    return all_sent ? Status() : SendNext(participant);
  }

  // Every change must be the user's next message: none lost, none twice, none of somebody else's,
  // none out of order.
  Status OnMessage(Participant& participant, const std::string& message) {
    if (message.find("\"change\"") == std::string::npos) {
      if (message.find("\"type\":\"error\"") != std::string::npos)
        return Status(ErrorKind::Execution, message);
      return {};
    }
    const int64_t now_ns = load::SteadyNs();
    const int64_t id = NumberOf(load::FieldText(message, "message_id").value_or(""));
    const size_t at = participant.delivered;
    const int64_t expected = at < participant.messages->size()
                                 ? history_.messages[(*participant.messages)[at]].message_id
                                 : 0;
    if (id != expected) {
      return Status(ErrorKind::Execution,
                    fmt::format("{} received message {} where {} was due: {}", participant.user_id,
                                id, expected, message.substr(0, 300)));
    }
    participant.last_seq = load::FieldText(message, "_seq").value_or("0");
    if (at >= participant.not_timed_until) {
      result_.notification_ms.push_back(static_cast<double>(now_ns - participant.sent_ns[at]) /
                                        1e6);
    }
    ++participant.delivered;
    ++result_.delivered;
    return {};
  }

  Status Silence() const {
    for (const auto& participant : participants_) {
      if (participant->delivered < participant->sent) {
        return Status(ErrorKind::Timeout,
                      fmt::format("{} has sent {} messages and was notified of {}",
                                  participant->user_id, participant->sent, participant->delivered));
      }
    }
    return Status(ErrorKind::Timeout, "the server stopped answering");
  }

  void Progress(int64_t begin_ns) {
    const load::ProcessMemory memory = server_.memory();
    result_.peak.rss_bytes = std::max(result_.peak.rss_bytes, memory.rss_bytes);
    result_.peak.private_bytes = std::max(result_.peak.private_bytes, memory.private_bytes);
    const double part =
        static_cast<double>(result_.delivered) / static_cast<double>(history_.messages.size());
    const int filled = static_cast<int>(part * kBarWidth);
    const double seconds = static_cast<double>(load::SteadyNs() - begin_ns) / 1e9;
    fmt::print("{}  [{}{}] {:3.0f} %  {:>7} messages  {:>6.0f}/s  {:>5.1f} MB",
               isatty(STDOUT_FILENO) ? "\r" : "\n", std::string(static_cast<size_t>(filled), '#'),
               std::string(static_cast<size_t>(kBarWidth - filled), '.'), part * 100,
               result_.delivered, static_cast<double>(result_.delivered) / seconds,
               static_cast<double>(memory.private_bytes) / 1048576.0);
    std::fflush(stdout);
  }

  load::ServerProcess& server_;
  const History& history_;
  load::Socket poller_;
  std::vector<std::unique_ptr<Participant>> participants_;
  ReplayResult result_;
};

}  // namespace

Result<ReplayResult> Replay(load::ServerProcess& server, const History& history) {
  return Replayer(server, history).Run();
}

}  // namespace kalam::demo
