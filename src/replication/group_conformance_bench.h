// The implementations of ReplicationGroup and the fixture that runs a test on each of them. A new
// implementation adds itself to the list at the end.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "replication/group_test_bench.h"

namespace kalam::replication {

struct Implementation {
  std::string name;
  std::function<Result<std::unique_ptr<ReplicationGroup>>(TestDatabase&, const StandaloneOptions&)>
      open;
};

class GroupConformanceTest : public testing::TestWithParam<Implementation> {
 protected:
  GroupConformanceTest() { OpenGroup(); }
  ~GroupConformanceTest() override { group_.reset(); }

  void OpenGroup() {
    auto opened = GetParam().open(database_, options_);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    group_ = std::move(opened).value();
    ASSERT_TRUE(CreateTestTable(database_, *group_).ok());
  }
  void Restart() {
    group_.reset();
    database_.Close();
    database_.Open();
    OpenGroup();
  }
  CommitResult Write(RowMutation row) {
    return ProposeAndWait(*group_, TestCommand(group_->published_seq(), std::move(row)));
  }
  /// Evaluates and proposes until it is committed or `evaluate` gives nothing; returns the rounds
  /// it took.
  int Retry(const std::function<std::shared_ptr<Command>(const View&)>& evaluate, Status* status) {
    for (int round = 1;; ++round) {
      std::unique_ptr<ReplicationGroup::Gate> gate;
      if (round > 8) gate = group_->EnterGate();
      std::shared_ptr<Command> command = evaluate(group_->TakeView());
      if (command == nullptr) return round;
      *status = ProposeAndWait(*group_, std::move(command)).status;
      if (!status->Is(ErrorKind::Conflict)) return round;
    }
  }

  // Outlives the group, whose committer reads it to the end.
  ManualClock clock_{0};
  TestDatabase database_;
  StandaloneOptions options_;
  std::unique_ptr<ReplicationGroup> group_;
};

inline auto Implementations() {
  return testing::Values(
      Implementation{"Standalone", [](TestDatabase& database, const StandaloneOptions& options) {
                       return OpenStandaloneGroup(*database.store, *database.catalog, options);
                     }});
}
inline std::string NameOfImplementation(const testing::TestParamInfo<Implementation>& test) {
  return test.param.name;
}

}  // namespace kalam::replication
