// chat_realtime: a thousand users who type, write and forward for five minutes, every change of
// theirs watched.
#include <fmt/format.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <thread>

#include "compare/benchmark.h"
#include "suite/report.h"

namespace kalam::bench {
namespace {

constexpr int kUsers = 1000, kUsersPerConversation = 10;
constexpr int kMessagesPerSecond = kUsers * 20 / 60;  // twenty a minute each
constexpr int kSeconds = 300, kWarmUpSeconds = 5;
constexpr int kWriters = 16, kOpeners = 8;
constexpr int kTypingEvents = 3, kTypingIntervalSeconds = 2;
constexpr int kWaitMs = 20'000;
constexpr char kPassword[] = "Chat-user-1";

enum Operation : uint8_t { kTyping, kMessage, kForward, kConversation, kOperationCount };
constexpr const char* kOperationNames[] = {"typing", "message", "forward", "conversation"};

/// Which changes of a message have arrived: one bit for each.
enum Arrival : uint8_t { kOwn = 1, kForwarded = 2, kFirstTyping = 4 };

/// Nobody of this name was there before: a server may keep names of dropped users for a while.
std::string UserOf(const Peer& peer, int64_t user) {
  return fmt::format("{}_{:04}", peer.namespace_id(), user);
}
int64_t SenderOf(int64_t message) { return message % kUsers; }
/// Another member of the sender's conversation, a different one each time.
int64_t PeerOf(int64_t message) {
  const int64_t sender = SenderOf(message);
  const int64_t step = 1 + message / kUsers % (kUsersPerConversation - 1);
  return sender / kUsersPerConversation * kUsersPerConversation +
         (sender + step) % kUsersPerConversation;
}

/// The values of the BIGINT column `id` in a change, however many rows it has.
template <typename Take>
Status ForEachId(std::string_view change, Take take) {
  constexpr std::string_view kKey = "\"id\":\"";
  for (size_t at = 0; (at = change.find(kKey, at)) != std::string_view::npos;) {
    at += kKey.size();
    int64_t id = -1;
    std::from_chars(change.data() + at, change.data() + change.size(), id);
    KALAM_RETURN_IF_ERROR(take(id));
  }
  return {};
}

class Chat {
 public:
  Chat(Peer& peer, int seconds)
      : peer_(peer),
        message_count_(int64_t{kMessagesPerSecond} * seconds),
        messages_(static_cast<size_t>(message_count_)) {}

  Status Open();
  /// The median time from forwarding a message to its notification, in microseconds.
  Result<double> Run();

 private:
  struct Message {
    std::atomic<int64_t> forwarded_ns{0};
    std::atomic<uint8_t> arrived{0};
  };
  struct User {
    std::string token;
    load::WebSocketClient socket;
  };
  struct Writer {
    Status status;
    std::array<std::vector<double>, kOperationCount> milliseconds;
  };
  struct Due {
    int64_t after_ns;
    Operation operation;
    int64_t message;
    int typing_event;
  };

  Status OpenUser(int64_t user);
  std::vector<Due> DueOf(int writer) const;
  Status Write(int number, int64_t begin_ns, Writer* writer);
  std::string StatementOf(const Due& due) const;
  /// Takes notifications until all of them have come, or none for a while after the writers' end.
  Status Watch(const std::atomic<int>& writing);
  Status Take(int64_t user, const std::string& change);
  void AddNotes(const std::vector<Writer>& writers);

  Peer& peer_;
  const int64_t message_count_;
  std::vector<Message> messages_;
  std::vector<User> users_;
  std::vector<double> notified_us_;
  int64_t arrived_ = 0;
};

Status Chat::OpenUser(int64_t user) {
  User& opened = users_[static_cast<size_t>(user)];
  KALAM_ASSIGN_OR_RETURN(opened.token, peer_.LogIn(UserOf(peer_, user), kPassword));
  KALAM_ASSIGN_OR_RETURN(opened.socket,
                         load::WebSocketClient::Open(peer_.endpoint(), opened.token));
  for (const char* table : {"messages", "typing_events"}) {
    KALAM_RETURN_IF_ERROR(
        opened.socket.Subscribe(table, "SELECT * FROM " + peer_.Table(table), ""));
    KALAM_ASSIGN_OR_RETURN(const std::string answer, opened.socket.Receive(kWaitMs));
    if (answer.find("subscription_ack") == std::string::npos)
      return Status(ErrorKind::Execution, answer.substr(0, 300));
  }
  return {};
}

Status Chat::Open() {
  load::RaiseFileLimit();
  users_.resize(kUsers);
  std::vector<Status> results(kOpeners);
  {
    std::vector<std::jthread> openers;
    for (int opener = 0; opener < kOpeners; ++opener) {
      openers.emplace_back([this, opener, &results] {
        Status& result = results[static_cast<size_t>(opener)];
        for (int64_t user = opener; user < kUsers && result.ok(); user += kOpeners)
          result = OpenUser(user);
      });
    }
  }
  for (Status& result : results) KALAM_RETURN_IF_ERROR(std::move(result));
  return {};
}

std::vector<Chat::Due> Chat::DueOf(int writer) const {
  constexpr int64_t kSecondNs = 1'000'000'000;
  std::vector<Due> all;
  for (int64_t message = writer; message < message_count_; message += kWriters) {
    const int64_t begin_ns = message * kSecondNs / kMessagesPerSecond;
    for (int event = 0; event < kTypingEvents; ++event)
      all.push_back(
          {begin_ns + event * kTypingIntervalSeconds * kSecondNs, kTyping, message, event});
    const int64_t written_ns = all.back().after_ns;
    for (const Operation operation : {kMessage, kForward, kConversation})
      all.push_back({written_ns, operation, message, 0});
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Due& a, const Due& b) { return a.after_ns < b.after_ns; });
  return all;
}

std::string Chat::StatementOf(const Due& due) const {
  const std::string sender = UserOf(peer_, SenderOf(due.message)),
                    peer = UserOf(peer_, PeerOf(due.message));
  const int64_t conversation = SenderOf(due.message) / kUsersPerConversation;
  const std::string insert = fmt::format(
      "INSERT INTO {} (id, conversation, author, body) VALUES ({}, {}, '{}', 'message {} of a chat "
      "that goes on and on')",
      peer_.Table("messages"), due.message, conversation, sender, due.message);
  switch (due.operation) {
    case kTyping:
      return fmt::format(
          "EXECUTE AS USER '{}' (INSERT INTO {} (id, conversation, author) VALUES ({}, {}, '{}'))",
          peer, peer_.Table("typing_events"), due.message * kTypingEvents + due.typing_event,
          conversation, sender);
    case kMessage:
      return insert;
    case kForward:
      return fmt::format("EXECUTE AS USER '{}' ({})", peer, insert);
    default:
      return fmt::format("UPDATE {} SET last_message = {} WHERE id = {}",
                         peer_.Table("conversations"), due.message, conversation);
  }
}

Status Chat::Write(int number, int64_t begin_ns, Writer* writer) {
  KALAM_ASSIGN_OR_RETURN(load::HttpClient client, load::HttpClient::Connect(peer_.endpoint()));
  for (const Due& due : DueOf(number)) {
    const bool as_other = due.operation == kTyping || due.operation == kForward;
    const std::string request = load::MakeSql(
        as_other ? peer_.token() : users_[static_cast<size_t>(SenderOf(due.message))].token,
        StatementOf(due));
    const int64_t wait_ns = begin_ns + due.after_ns - load::SteadyNs();
    if (wait_ns > 0) std::this_thread::sleep_for(std::chrono::nanoseconds(wait_ns));
    const int64_t sent_ns = load::SteadyNs();
    if (due.operation == kForward)
      messages_[static_cast<size_t>(due.message)].forwarded_ns = sent_ns;
    KALAM_RETURN_IF_ERROR(client.SendOk(request).status());
    writer->milliseconds[due.operation].push_back(static_cast<double>(load::SteadyNs() - sent_ns) /
                                                  1e6);
  }
  return {};
}

Status Chat::Take(int64_t user, const std::string& change) {
  const int64_t now_ns = load::SteadyNs();
  const bool typing = change.find("\"typing_events\"") != std::string::npos;
  if (change.find("\"type\":\"change\"") == std::string::npos)
    return Status(ErrorKind::Execution, "unexpected message: " + change.substr(0, 300));
  return ForEachId(change, [&](int64_t id) -> Status {
    const int64_t number = typing ? id / kTypingEvents : id;
    if (number < 0 || number >= message_count_)
      return Status(ErrorKind::Execution, "unknown row: " + change.substr(0, 300));
    Message& message = messages_[static_cast<size_t>(number)];
    uint8_t bit = kOwn;
    if (typing) {
      bit = static_cast<uint8_t>(kFirstTyping << (id % kTypingEvents));
    } else if (user != SenderOf(number)) {
      bit = kForwarded;
      notified_us_.push_back(static_cast<double>(now_ns - message.forwarded_ns) / 1000.0);
    }
    if ((bit != kOwn && user != PeerOf(number)) || (message.arrived.fetch_or(bit) & bit) != 0)
      return Status(ErrorKind::Execution, "a change came twice or to somebody else: " + change);
    ++arrived_;
    return {};
  });
}

Status Chat::Watch(const std::atomic<int>& writing) {
  const load::Socket poller(epoll_create1(EPOLL_CLOEXEC));
  for (int user = 0; user < kUsers; ++user) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = static_cast<uint32_t>(user);
    epoll_ctl(poller.fd(), EPOLL_CTL_ADD, users_[static_cast<size_t>(user)].socket.socket().fd(),
              &event);
  }
  const int64_t expected = message_count_ * (2 + kTypingEvents);
  std::array<epoll_event, 256> events{};
  std::vector<std::string> changes;
  while (arrived_ < expected) {
    const bool over = writing == 0;
    const int ready = epoll_wait(poller.fd(), events.data(), static_cast<int>(events.size()),
                                 over ? kWaitMs : 500);
    if (ready == 0 && over) break;
    for (int e = 0; e < ready; ++e) {
      const uint32_t user = events[static_cast<size_t>(e)].data.u32;
      changes.clear();
      KALAM_RETURN_IF_ERROR(users_[user].socket.ReadAvailable(&changes));
      for (const std::string& change : changes) KALAM_RETURN_IF_ERROR(Take(user, change));
    }
  }
  if (arrived_ == expected) return {};
  return Status(ErrorKind::Execution,
                fmt::format("{} of {} notifications arrived", arrived_, expected));
}

void Chat::AddNotes(const std::vector<Writer>& writers) {
  for (int operation = 0; operation < kOperationCount; ++operation) {
    std::vector<double> all;
    for (const Writer& writer : writers) {
      const auto& one = writer.milliseconds[static_cast<size_t>(operation)];
      all.insert(all.end(), one.begin(), one.end());
    }
    peer_.Note(fmt::format("{}: {} statements, p50 {:.2f} ms, p99 {:.2f} ms",
                           kOperationNames[operation], all.size(), Percentile(all, 50),
                           Percentile(all, 99)));
  }
  peer_.Note(fmt::format(
      "{} notifications, each once; forwarded messages p50 {:.2f} ms, p99 {:.2f} ms", arrived_,
      Percentile(notified_us_, 50) / 1000, Percentile(notified_us_, 99) / 1000));
}

Result<double> Chat::Run() {
  peer_.Note(fmt::format("{} users, {} subscriptions open: {}", kUsers, 2 * kUsers,
                         ToText(peer_.MeasureMemory())));
  std::vector<Writer> writers(kWriters);
  std::atomic<int> writing = kWriters;
  Status watched;
  {
    const int64_t begin_ns = load::SteadyNs();
    std::vector<std::jthread> threads;
    for (int number = 0; number < kWriters; ++number) {
      threads.emplace_back([this, number, begin_ns, &writers, &writing] {
        Writer& writer = writers[static_cast<size_t>(number)];
        writer.status = Write(number, begin_ns, &writer);
        --writing;
      });
    }
    watched = Watch(writing);
  }
  for (const Writer& writer : writers) KALAM_RETURN_IF_ERROR(Status(writer.status));
  KALAM_RETURN_IF_ERROR(std::move(watched));
  AddNotes(writers);
  peer_.Note("afterwards: " + ToText(peer_.MeasureMemory()));
  return Percentile(notified_us_, 50);
}

Status CreateUsers(Peer& peer) {
  for (int user = 0; user < kUsers; ++user) {
    KALAM_RETURN_IF_ERROR(peer.Sql(fmt::format("CREATE USER '{}' WITH PASSWORD '{}' ROLE user",
                                               UserOf(peer, user), kPassword))
                              .status());
  }
  return {};
}

/// Every chat begins with empty tables, so that each change is known.
Status CreateTables(Peer& peer) {
  for (const char* table : {"conversations", "messages", "typing_events"})
    KALAM_RETURN_IF_ERROR(DropTable(peer, table));
  const std::string columns = "(id BIGINT PRIMARY KEY, conversation INT, author TEXT";
  for (const std::string& ddl :
       {fmt::format("CREATE USER TABLE {} (id BIGINT PRIMARY KEY, title TEXT, last_message BIGINT)",
                    peer.Table("conversations")),
        fmt::format("CREATE USER TABLE {} {}, body TEXT)", peer.Table("messages"), columns),
        fmt::format("CREATE STREAM TABLE {} {}) WITH (TTL_SECONDS = 30)",
                    peer.Table("typing_events"), columns)})
    KALAM_RETURN_IF_ERROR(peer.Sql(ddl).status());
  for (int user = 0; user < kUsers; ++user) {
    KALAM_RETURN_IF_ERROR(
        peer.Sql(fmt::format("EXECUTE AS USER '{}' (INSERT INTO {} (id, title, last_message) "
                             "VALUES ({}, 'a conversation', 0))",
                             UserOf(peer, user), peer.Table("conversations"),
                             user / kUsersPerConversation))
            .status());
  }
  return {};
}

int SecondsOfChat() {
  const char* wanted = getenv("KALAM_BENCH_CHAT_SECONDS");
  return wanted != nullptr ? std::max(1, atoi(wanted)) : kSeconds;
}

}  // namespace

void AddChatBenchmark(std::vector<Benchmark>* benchmarks) {
  Benchmark benchmark;
  benchmark.name = "chat_realtime";
  benchmark.category = "scale";
  benchmark.shape =
      "1,000 users in 100 conversations, 20 messages a minute each with three typing events, "
      "forwarded to another member; from forwarding to notification";
  benchmark.iterations = 1;
  benchmark.opt_in = true;
  benchmark.set_up = CreateUsers;
  benchmark.measure = [](Peer& peer, int iteration) -> Result<double> {
    KALAM_RETURN_IF_ERROR(CreateTables(peer));
    const int seconds = iteration >= kFirstWarmUp ? kWarmUpSeconds : SecondsOfChat();
    const auto chat = std::make_unique<Chat>(peer, seconds);
    KALAM_RETURN_IF_ERROR(chat->Open());
    return chat->Run();
  };
  benchmark.tear_down = [](Peer& peer) -> Status {
    for (int user = 0; user < kUsers; ++user)
      KALAM_RETURN_IF_ERROR(peer.Sql("DROP USER IF EXISTS '" + UserOf(peer, user) + "'").status());
    for (const char* table : {"conversations", "messages", "typing_events"})
      KALAM_RETURN_IF_ERROR(DropTable(peer, table));
    return {};
  };
  benchmarks->push_back(std::move(benchmark));
}

}  // namespace kalam::bench
