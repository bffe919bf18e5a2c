// What the ten-thousandth table and the hundred-thousandth user cost in private memory.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr int kTables = 10'000;
constexpr int kUsers = 100'000;
constexpr int kUsersEachRequest = 200;

int64_t SettledPrivateBytes(Environment& environment) {
  sync();
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));
  return environment.server().memory().private_bytes;
}

Status WriteUsers(Environment& environment, int first, int count) {
  for (int user = first; user < first + count; user += kUsersEachRequest) {
    std::string request;
    for (int i = user; i < user + kUsersEachRequest; ++i) {
      request += fmt::format(
          "EXECUTE AS USER 'user_{:07}' (INSERT INTO items.notes (id, body) VALUES (1, 'a note'));",
          i);
    }
    KALAM_RETURN_IF_ERROR(environment.Admin(request).status());
  }
  return {};
}

}  // namespace

Status RunItems(const SuiteOptions& options, Report& report) {
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, options.config_file));
  KALAM_RETURN_IF_ERROR(environment->Admin("CREATE NAMESPACE items").status());
  const auto create_tables = [&](int first, int count) -> Status {
    for (int i = first; i < first + count; ++i) {
      KALAM_RETURN_IF_ERROR(
          environment
              ->Admin(fmt::format("CREATE USER TABLE items.t{} (id BIGINT PRIMARY "
                                  "KEY, name TEXT, score DOUBLE)",
                                  i))
              .status());
    }
    return {};
  };
  // Write buffers fill and are flushed while tables are made: they are counted apart, by a flush at
  // a known size on both sides.
  KALAM_RETURN_IF_ERROR(create_tables(0, 1000));
  int64_t before = SettledPrivateBytes(*environment);
  KALAM_RETURN_IF_ERROR(create_tables(1000, kTables - 1000));
  int64_t after = SettledPrivateBytes(*environment);
  report.Add({"a further table of 10,000", "B",
              static_cast<double>(after - before) / (kTables - 1000), 1024, false,
              "write buffers included"});

  KALAM_RETURN_IF_ERROR(
      environment->Admin("CREATE USER TABLE items.notes (id BIGINT PRIMARY KEY, body TEXT)")
          .status());
  KALAM_RETURN_IF_ERROR(WriteUsers(*environment, 0, kUsers / 2));
  before = SettledPrivateBytes(*environment);
  KALAM_RETURN_IF_ERROR(WriteUsers(*environment, kUsers / 2, kUsers / 2));
  after = SettledPrivateBytes(*environment);
  report.Add({"a further user with rows of 100,000", "B",
              static_cast<double>(after - before) / (kUsers / 2.0), 16, false,
              "after 50,000 users, when write buffers and caches are as full as they get"});
  return {};
}

}  // namespace kalam::bench
