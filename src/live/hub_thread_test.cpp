// The hub among real threads: a core, two workers, the committer and two writers. For the thread
// sanitizer.
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <set>
#include <thread>

#include "live/hub_test_world.h"

namespace kalam::live {
namespace {

/// Runs tasks in order on threads of its own.
class TaskThreads {
 public:
  explicit TaskThreads(int count) {
    for (int i = 0; i < count; ++i) threads_.emplace_back([this] { Run(); });
  }
  ~TaskThreads() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  void Post(std::function<void()> task) {
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    changed_.notify_one();
  }
  /// Runs `task` on a thread of the pool and waits for it.
  void Call(const std::function<void()>& task) {
    std::atomic<bool> done = false;
    Post([&] {
      task();
      done = true;
      done.notify_all();
    });
    done.wait(false);
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return closed_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      lock.lock();
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool closed_ = false;
  std::vector<std::thread> threads_;
};

TEST(HubThreadTest, WritersCommitterWorkersAndCoreShareNothingUnguarded) {
  constexpr int kRowsPerWriter = 150;
  HubWorld world;
  const catalog::TablePtr table = world.CreateTable();
  for (int id = 0; id < 400; ++id) world.Insert(table, 1'000'000 + id, 1, "before");
  LiveLimits limits;
  limits.tail_bytes_max = 1;  // whoever falls behind reads the log
  limits.catch_up_chunk_bytes = 4096;
  TaskThreads workers(2);
  TaskThreads core(1);
  std::unique_ptr<LiveHub> hub;
  ScriptedSubscriber subscriber;
  ConnectionId connection = 0;
  core.Call([&] {
    LiveHub::Dependencies dependencies{world.store(),
                                       world.catalog(),
                                       world.group(),
                                       SystemClock(),
                                       world.memory(),
                                       world.metrics(),
                                       {},
                                       {},
                                       {},
                                       &world.counts()};
    dependencies.post = [&core](std::function<void()> task) { core.Post(std::move(task)); };
    dependencies.post_worker = [&workers](std::function<void()> task) {
      workers.Post(std::move(task));
    };
    hub = LiveHub::Make(std::move(dependencies), limits);
  });
  const int observer =
      world.group().AddObserver([&](std::shared_ptr<const replication::CommittedBatch> batch) {
        core.Post([&hub, batch = std::move(batch)] { hub->OnCommitted(batch); });
      });
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 2; ++writer) {
    writers.emplace_back([&world, &table, writer] {
      for (int i = 0; i < kRowsPerWriter; ++i) world.Insert(table, writer * 1000 + i, 1, "during");
    });
  }
  core.Call([&] {
    SubscribeOptions options;
    options.present = true;
    connection = hub->AddConnection(subscriber);
    hub->Subscribe(connection, "s", "SELECT * FROM app.items WHERE room = 1", options);
  });
  std::set<int64_t> ids;
  const auto drain = [&] {
    core.Call([&] {
      while (!subscriber.messages.empty()) {
        const nlohmann::json message = subscriber.Take();
        if (!message.contains("rows")) continue;
        for (const auto& row : message["rows"]) {
          EXPECT_TRUE(ids.insert(std::stoll(row["id"].get<std::string>())).second);
        }
      }
      // Stalls after every few messages, so that reads alternate with commits.
      subscriber.messages_until_full = 7;
      subscriber.full = false;
      hub->OnWritable(connection);
    });
  };
  for (int round = 0; round < 20'000 && ids.size() < 400 + 2 * kRowsPerWriter; ++round) {
    drain();
    std::this_thread::yield();
  }
  for (std::thread& writer : writers) writer.join();
  for (int round = 0; round < 20'000 && ids.size() < 400 + 2 * kRowsPerWriter; ++round) {
    drain();
    std::this_thread::yield();
  }
  EXPECT_EQ(ids.size(), 400u + 2 * kRowsPerWriter);
  world.group().RemoveObserver(observer);
  core.Call([&] { hub.reset(); });
}

}  // namespace
}  // namespace kalam::live
