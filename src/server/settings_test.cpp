// Tests of the configuration: files, environment, errors that help, and documents that agree with
// the table.
#include "server/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "base/id_generators.h"

namespace kalam::server {
namespace {

using testing::HasSubstr;

std::string ErrorOf(std::string_view toml) {
  const auto parsed = ParseSettings(toml, "server.toml");
  return parsed.ok() ? "" : parsed.status().message();
}

TEST(Settings, HasDefaultsWithoutAFile) {
  const Settings settings;
  EXPECT_EQ(settings.text("server.host"), "127.0.0.1");
  EXPECT_EQ(settings.number("server.port"), 8080);
  EXPECT_EQ(settings.text("storage.data_path"), "./data");
  EXPECT_EQ(settings.text("storage.durability"), "fsync");
  EXPECT_EQ(settings.number("limits.default_query_limit"), 0);
  EXPECT_EQ(settings.number("websocket.client_timeout_secs"), 60);
  EXPECT_TRUE(settings.list("security.cors.allowed_origins").empty());
}

TEST(Settings, ReadsAFile) {
  const auto parsed = ParseSettings(
      "transaction_timeout_secs = 5\n[server]\nport = 9000\n[storage]\ndurability = \"os\"\n"
      "[storage.rocksdb]\nblock_cache_size = \"2MiB\"\n[security.cors]\nallowed_origins = "
      "[\"https://a\", \"https://b\"]\n"
      "[logging.targets]\n\"server.http\" = \"debug\"\n[authentication]\nbcrypt_cost = 4\n",
      "server.toml");
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  const Settings& settings = parsed->settings;
  EXPECT_EQ(settings.number("transaction_timeout_secs"), 5);
  EXPECT_EQ(settings.number("server.port"), 9000);
  EXPECT_EQ(settings.text("storage.durability"), "os");
  EXPECT_EQ(settings.number("storage.rocksdb.block_cache_size"), 2 << 20);
  EXPECT_EQ(settings.list("security.cors.allowed_origins"),
            (std::vector<std::string>{"https://a", "https://b"}));
  EXPECT_EQ(settings.map("logging.targets").at("server.http"), "debug");
  EXPECT_EQ(settings.number("auth.bcrypt_cost"), 4);  // [authentication] is [auth]
  EXPECT_TRUE(settings.has_section("security.cors"));
}

TEST(Settings, AnUnknownKeyNamesTheNearestOneAndItsLine) {
  EXPECT_EQ(ErrorOf("[server]\nhost = \"x\"\nprot = 1\n"),
            "server.toml, line 3: unknown key server.prot; the nearest known one is server.port");
  EXPECT_THAT(ErrorOf("[rate_limits]\nmax_queries_per_sec = 1\n"),
              HasSubstr("unknown key rate_limits"));
  EXPECT_THAT(ErrorOf("[storage.rocksdb.cf_profiles.warm_data]\nwrite_buffer_size = 1\n"),
              HasSubstr("unknown key"));
}

TEST(Settings, WrongValuesAreErrorsWithTheirBounds) {
  EXPECT_THAT(ErrorOf("[server]\nport = 70000\n"),
              HasSubstr("line 2: server.port must be between 0 and 65535: 70000"));
  EXPECT_THAT(ErrorOf("[server]\nport = \"8080\"\n"), HasSubstr("server.port must be an integer"));
  EXPECT_THAT(ErrorOf("[storage]\ndurability = \"maybe\"\n"),
              HasSubstr("must be one of fsync, os: maybe"));
  EXPECT_THAT(ErrorOf("[server\n"), HasSubstr("server.toml, line 1"));
}

TEST(Settings, RetiredKeysAreAcceptedWithAWarning) {
  const auto parsed = ParseSettings(
      "[datafusion]\nmemory_limit = 1\n[storage.rocksdb.cf_profiles.hot_data]\nwrite_buffer_size = "
      "131072\n"
      "[oauth.providers.google]\nenabled = false\n[[cluster.peers]]\nnode_id = 2\n",
      "server.toml");
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_EQ(parsed->warnings.size(), 4u);
}

TEST(Settings, TheEnvironmentWinsOverTheFileAndTheCommandLineOverBoth) {
  const std::string path = testing::TempDir() + "/kalam_settings_" + RandomHex(8) + ".toml";
  std::ofstream(path)
      << "[server]\nport = 1111\nhost = \"0.0.0.0\"\n[rate_limit]\nmax_queries_per_sec = 7\n";
  CommandLine line;
  line.config_path = path;
  line.port = "3333";
  const auto environment = [](const std::string& name) -> std::optional<std::string> {
    if (name == "KALAMDB_SERVER_PORT") return "2222";
    if (name == "KALAMDB_SERVER_HOST") return "::1";
    if (name == "KALAMDB_TRUSTED_PROXY_RANGES") return "10.0.0.0/8, 192.168.1.1";
    return std::nullopt;
  };
  const auto loaded = LoadSettings(line, environment);
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  EXPECT_EQ(loaded->settings.number("server.port"), 3333);
  EXPECT_EQ(loaded->settings.text("server.host"), "::1");
  EXPECT_EQ(loaded->settings.number("rate_limit.max_queries_per_sec"), 7);
  EXPECT_EQ(loaded->settings.list("security.trusted_proxy_ranges"),
            (std::vector<std::string>{"10.0.0.0/8", "192.168.1.1"}));
  const auto wrong = LoadSettings(line, [](const std::string& name) -> std::optional<std::string> {
    if (name == "KALAMDB_SERVER_WORKERS") return "many";
    return std::nullopt;
  });
  EXPECT_FALSE(wrong.ok());
}

TEST(Settings, ReachableServersNeedASecretAndOrigins) {
  std::vector<std::string> warnings;
  const std::string good(64, 'a');
  Settings local;
  EXPECT_TRUE(CheckStartupSafety(local, good, &warnings).ok());
  EXPECT_TRUE(warnings.empty());
  EXPECT_TRUE(CheckStartupSafety(local, "short", &warnings).ok());
  EXPECT_EQ(warnings.size(), 1u);
  const auto open = ParseSettings("[server]\nhost = \"0.0.0.0\"\n", "f");
  EXPECT_FALSE(CheckStartupSafety(open->settings, good, &warnings).ok());
  const auto named = ParseSettings(
      "[server]\nhost = \"0.0.0.0\"\n[security.cors]\nallowed_origins = [\"https://a\"]\n", "f");
  EXPECT_TRUE(CheckStartupSafety(named->settings, good, &warnings).ok());
  EXPECT_FALSE(CheckStartupSafety(named->settings, "short", &warnings).ok());
}

TEST(SettingsDocuments, TheExampleFileIsReadAsTheDefaults) {
  const auto parsed = ParseSettings(ExampleFile(), "server.example.toml");
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_TRUE(parsed->warnings.empty());
  const Settings defaults;
  for (const SettingKey& key : SettingKeys()) {
    EXPECT_EQ(parsed->settings.ShownValue(key), defaults.ShownValue(key)) << key.name;
  }
}

TEST(SettingsDocuments, TheFilesInTheRepositoryAreUpToDate) {
  const auto read = [](const std::string& path) {
    std::stringstream content;
    content << std::ifstream(path).rdbuf();
    return content.str();
  };
  const std::string root = KALAM_SOURCE_DIR;
  EXPECT_EQ(read(root + "/server.example.toml"), ExampleFile())
      << "run: kalamdb-server --print-example-config > server.example.toml";
  EXPECT_EQ(read(root + "/docs/configuration.md"), ConfigurationDocument())
      << "run: kalamdb-server --print-config-reference > docs/configuration.md";
}

TEST(SettingsTable, HasNoNameTwiceAndHelpForEach) {
  std::set<std::string_view> names;
  for (const SettingKey& key : SettingKeys()) {
    EXPECT_TRUE(names.insert(key.name).second) << key.name;
    EXPECT_FALSE(key.help.empty()) << key.name;
  }
}

TEST(Settings, WhatIsNoTomlIsAnError) {
  for (const char* text :
       {"[!]", "[", "[]", "[.x]", "[[", "[a", "= 1", "a =", "a = [1,", "a = \"", "\xff = 1",
        "[server]\nport = 1e", "[server]\n[server]\n", "\u00e9 = 1", "a \u00e9 1"}) {
    const auto parsed = ParseSettings(text, "f");
    EXPECT_FALSE(parsed.ok()) << text;
  }
}

TEST(Settings, ShowsNoSecrets) {
  const auto parsed =
      ParseSettings("[auth]\njwt_secret = \"hidden-hidden-hidden-hidden-hidden\"\n", "f");
  for (const SettingRow& row : SettingRows(parsed->settings)) {
    EXPECT_THAT(row.value, testing::Not(HasSubstr("hidden"))) << row.name;
  }
}

TEST(CommandLine, TakesAFileByItself) {
  const auto line = ParseCommandLine({"my.toml", "--port=9", "--data-dir", "/d"});
  ASSERT_TRUE(line.ok());
  EXPECT_EQ(line->config_path, "my.toml");
  EXPECT_EQ(line->port, "9");
  EXPECT_EQ(line->data_directory, "/d");
  EXPECT_FALSE(ParseCommandLine({"--prot", "9"}).ok());
  EXPECT_FALSE(ParseCommandLine({"--port"}).ok());
  EXPECT_FALSE(ParseCommandLine({"a.toml", "b.toml"}).ok());
}

TEST(ParseByteSize, KnowsItsUnits) {
  EXPECT_EQ(ParseByteSize("123"), 123);
  EXPECT_EQ(ParseByteSize("2 KiB"), 2048);
  EXPECT_EQ(ParseByteSize("3MB"), 3'000'000);
  EXPECT_EQ(ParseByteSize("MB"), std::nullopt);
  EXPECT_EQ(ParseByteSize("-1"), std::nullopt);
  EXPECT_EQ(ParseByteSize("99999999999GiB"), std::nullopt);
}

}  // namespace
}  // namespace kalam::server
