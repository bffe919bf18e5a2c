// What the engine does when memory is short: statements are refused, an unused instance is closed.
#include <gtest/gtest.h>

#include "analytics/engine.h"
#include "analytics/test_sources.h"

namespace kalam::analytics {
namespace {

TEST(EngineSheddingTest, RefusesWhatIsNotAdmitted) {
  EngineOptions options;
  options.plugin_directory = KALAM_PLUGIN_DIRECTORY;
  bool short_of_memory = true;
  options.admit = [&short_of_memory] {
    return short_of_memory ? Status(ErrorKind::MemoryPressure, "later") : Status::Ok();
  };
  const auto engine = MakeEngine(options);
  EngineQuery query;
  query.sql = "SELECT 1 AS one";
  EXPECT_TRUE(engine->Execute(query).status().Is(ErrorKind::MemoryPressure));
  EXPECT_FALSE(engine->loaded());
  short_of_memory = false;
  EXPECT_TRUE(engine->Execute(query).ok());
}

TEST(EngineSheddingTest, ClosesAtOnceUnlessSomebodyReads) {
  EngineOptions options;
  options.plugin_directory = KALAM_PLUGIN_DIRECTORY;
  MemoryAccount account("engine", nullptr);
  options.account = &account;
  const auto engine = MakeEngine(options);
  EngineQuery query;
  query.sql = "SELECT 1 AS one";
  auto stream = engine->Execute(query);
  ASSERT_TRUE(stream.ok());
  engine->CloseIfUnused();
  EXPECT_TRUE(engine->loaded());
  TextSink sink;
  while (*(*stream)->Next(sink, sink.text.size() + 1024)) {
  }
  EXPECT_EQ(sink.text, "1\n");
  engine->CloseIfUnused();
  EXPECT_FALSE(engine->loaded());
  EXPECT_EQ(account.used_bytes(), 0);
}

TEST(EngineSheddingTest, AsksForHalfOfItsMemoryBeforeAStatement) {
  constexpr int64_t kHalfBytes = 16 << 20;
  MemoryAccount root("server", nullptr, 64 << 20);
  EngineOptions options;
  options.plugin_directory = KALAM_PLUGIN_DIRECTORY;
  options.memory_limit_bytes = 2 * kHalfBytes;
  options.account = &root.Child("analytical_engine");
  const auto engine = MakeEngine(options);
  EngineQuery query;
  query.sql = "SELECT 1 AS one";
  {
    const MemoryCharge others(root, (64 << 20) - kHalfBytes + 1);
    EXPECT_TRUE(engine->Execute(query).status().Is(ErrorKind::MemoryPressure));
    EXPECT_TRUE(engine->Explain(query).ok()) << "computes nothing";
  }
  ASSERT_TRUE(engine->Execute(query).ok());
  EXPECT_GE(options.account->peak_bytes(), kHalfBytes);
  EXPECT_LT(options.account->used_bytes(), kHalfBytes) << "given back when it is computed";
}

}  // namespace
}  // namespace kalam::analytics
