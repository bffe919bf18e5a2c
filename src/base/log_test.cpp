// Log lines in files: their form, that no text can forge one, levels by target and rotation.
#include "base/log.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace kalam {
namespace {

class LogTest : public testing::Test {
 protected:
  LogTest() {
    std::string pattern = testing::TempDir() + "kalam_log_XXXXXX";
    directory_ = mkdtemp(pattern.data());
    options_.directory = directory_;
    options_.to_console = false;
  }
  ~LogTest() override {
    CloseLog();
    std::filesystem::remove_all(directory_);
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(directory_ + "/" + name);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

  std::string directory_;
  LogOptions options_;
};

TEST_F(LogTest, CompactLine) {
  ASSERT_TRUE(OpenLog(options_).ok());
  Log(LogLevel::kWarn, "server.http", "slow client",
      {{"user", "ann b"}, {"bytes", 12}, {"id", "x1"}});
  std::string line = Read("server.log");
  ASSERT_GT(line.size(), 27u);
  EXPECT_EQ(line[26], 'Z');
  EXPECT_EQ(line.substr(27), "  WARN server.http: slow client user=\"ann b\" bytes=12 id=x1\n");
}

TEST_F(LogTest, JsonLineEscapesEverything) {
  options_.format = LogFormat::kJson;
  ASSERT_TRUE(OpenLog(options_).ok());
  Log(LogLevel::kInfo, "sql", "a \"b\"\nc", {{"n", -3}, {"text", "tab\there"}});
  std::string line = Read("server.jsonl");
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_NE(line.find("\"level\":\"INFO\",\"target\":\"sql\",\"threadName\":"), std::string::npos);
  EXPECT_NE(line.find("\"message\":\"a \\\"b\\\"\\nc\",\"n\":-3,\"text\":\"tab\\there\"}\n"),
            std::string::npos);
}

TEST_F(LogTest, TextCannotForgeALine) {
  ASSERT_TRUE(OpenLog(options_).ok());
  Log(LogLevel::kError, "sql", "bad\n2026 ERROR forged", {{"k", "v\nw"}});
  LogSlowQuery("query=SELECT\n1");
  std::string line = Read("server.log");
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  std::string slow = Read("slow.log");
  EXPECT_EQ(std::count(slow.begin(), slow.end(), '\n'), 1);
  EXPECT_NE(slow.find("] query=SELECT\\n1"), std::string::npos);
}

TEST_F(LogTest, LongestTargetPrefixWins) {
  options_.level = LogLevel::kWarn;
  options_.levels_by_target = {{"server", LogLevel::kInfo}, {"server.http", LogLevel::kError}};
  ASSERT_TRUE(OpenLog(options_).ok());
  EXPECT_FALSE(LogEnabled(LogLevel::kInfo, "tables"));
  EXPECT_TRUE(LogEnabled(LogLevel::kWarn, "tables"));
  EXPECT_TRUE(LogEnabled(LogLevel::kInfo, "server.websocket"));
  EXPECT_FALSE(LogEnabled(LogLevel::kWarn, "server.http"));
}

TEST_F(LogTest, RotatesAndKeepsTheNewest) {
  options_.file_size_max_bytes = 200;
  options_.files_max = 3;
  ASSERT_TRUE(OpenLog(options_).ok());
  std::string filler(80, 'x');
  for (int i = 0; i < 20; ++i) Log(LogLevel::kInfo, "t", filler, {{"i", i}});
  EXPECT_NE(Read("server.log").find("i=19"), std::string::npos);
  EXPECT_NE(Read("server.log.1").find("i=18"), std::string::npos);
  EXPECT_NE(Read("server.log.2").find("i=17"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/server.log.3"));
}

TEST_F(LogTest, DirectoryThatCannotBeMade) {
  options_.directory = "/proc/no/such";
  EXPECT_TRUE(OpenLog(options_).Is(ErrorKind::StorageIo));
}

TEST(ParseLogLevelTest, KnowsTheFiveLevels) {
  EXPECT_EQ(ParseLogLevel("trace").value(), LogLevel::kTrace);
  EXPECT_TRUE(ParseLogLevel("verbose").status().Is(ErrorKind::Config));
}

}  // namespace
}  // namespace kalam
