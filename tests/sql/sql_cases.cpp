// Runs files of tests/sql/cases against a database in this process, on one of the two engines.
#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "case_file.h"
#include "database.h"

namespace kalam::sqltest {
namespace {

const std::pair<std::string_view, Tier> kTiers[] = {{"hot", Tier::kHot},
                                                    {"mixed", Tier::kMixed},
                                                    {"cold", Tier::kCold},
                                                    {"compacted", Tier::kCompacted},
                                                    {"restarted", Tier::kRestarted}};

std::string_view NameOf(Tier tier) {
  for (const auto& [name, value] : kTiers) {
    if (value == tier) return name;
  }
  return "?";
}

/// `mixed,cold`. False when a name is unknown.
bool ParseTiers(const std::string& text, std::vector<Tier>* tiers) {
  std::istringstream names(text);
  tiers->clear();
  for (std::string name; std::getline(names, name, ',');) {
    const auto* found = std::find_if(std::begin(kTiers), std::end(kTiers),
                                     [&](const auto& tier) { return tier.first == name; });
    if (found == std::end(kTiers)) return false;
    tiers->push_back(found->second);
  }
  return !tiers->empty();
}

std::string Join(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += "    " + line + "\n";
  return text;
}

/// What is wrong with the outcome; empty when it is as expected.
std::string Judge(const Record& record, const Result<Answer>& outcome) {
  if (record.kind == RecordKind::kError) {
    if (outcome.ok()) return "  an error was expected, but it gave\n" + Join(outcome->rows);
    const std::string message = outcome.status().ToString();
    for (const std::string& part : record.expected) {
      if (message.find(part) == std::string::npos) {
        return "  the error should say\n    " + part + "\n  but says\n    " + message + "\n";
      }
    }
    return {};
  }
  if (!outcome.ok()) return "  " + outcome.status().ToString() + "\n";
  if (record.kind == RecordKind::kStatement) return {};
  std::vector<std::string> rows = outcome->rows, expected = record.expected;
  if (record.sorted) {
    std::sort(rows.begin(), rows.end());
    std::sort(expected.begin(), expected.end());
  }
  if (rows != expected) return "  expected\n" + Join(expected) + "  got\n" + Join(rows);
  if (!record.types.empty() && record.types != outcome->types) {
    return "  expected types\n" + Join(record.types) + "  got\n" + Join(outcome->types);
  }
  return {};
}

/// Number of records that failed.
int RunFile(const std::string& path, Tier tier, const DatabaseOptions& options) {
  const auto records = ReadCaseFile(path);
  if (!records.ok()) {
    std::fprintf(stderr, "%s\n", records.status().message().c_str());
    return 1;
  }
  const auto database = Database::Open(options);
  if (!database.ok()) {
    std::fprintf(stderr, "cannot open a database: %s\n", database.status().ToString().c_str());
    return 1;
  }
  const std::string mode =
      (options.native_selects ? "native, " : "engine, ") + std::string(NameOf(tier));
  int failed = 0, run = 0;
  std::string user = "root";
  for (const Record& record : *records) {
    if (record.kind == RecordKind::kUser) {
      user = record.sql;
      continue;
    }
    if (!(options.native_selects ? record.native : record.engine)) continue;
    ++run;
    const Status moved = (*database)->MoveRows(tier);
    const std::string wrong = moved.ok() ? Judge(record, (*database)->Run(record.sql, user))
                                         : "  rows were not moved: " + moved.ToString() + "\n";
    if (wrong.empty()) continue;
    ++failed;
    std::fprintf(stderr, "%s:%d (%s)\n    %s\n%s\n", path.c_str(), record.line, mode.c_str(),
                 record.sql.c_str(), wrong.c_str());
    if (!moved.ok()) break;
  }
  std::printf("%s (%s): %d of %d records failed, %lld rows moved\n", path.c_str(), mode.c_str(),
              failed, run, static_cast<long long>((*database)->moved_row_count()));
  return failed + (run == 0 ? 1 : 0);
}

int Main(const std::vector<std::string>& arguments) {
  DatabaseOptions options;
  std::vector<Tier> tiers{Tier::kHot};
  std::vector<std::string> files;
  bool understood = true;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--engine" && i + 1 < arguments.size()) {
      options.native_selects = arguments[++i] == "native";
    } else if (arguments[i] == "--plugins" && i + 1 < arguments.size()) {
      options.plugin_directory = arguments[++i];
    } else if (arguments[i] == "--tiers" && i + 1 < arguments.size()) {
      understood = understood && ParseTiers(arguments[++i], &tiers);
    } else {
      files.push_back(arguments[i]);
    }
  }
  if (files.empty() || !understood) {
    std::fprintf(stderr,
                 "usage: sql_cases [--engine native|engine] [--plugins DIRECTORY] "
                 "[--tiers hot,mixed,cold,compacted,restarted] FILE...\n");
    return 2;
  }
  std::string directory = std::filesystem::temp_directory_path() / "kalam_sql_XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) {
    std::fprintf(stderr, "cannot make a directory in the temporary folder\n");
    return 2;
  }
  int failed = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    for (const Tier tier : tiers) {
      options.directory = directory + "/" + std::to_string(i) + std::string(NameOf(tier));
      failed += RunFile(files[i], tier, options);
      std::filesystem::remove_all(options.directory);
    }
  }
  std::filesystem::remove_all(directory);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace kalam::sqltest

int main(int argument_count, char** arguments) {
  return kalam::sqltest::Main(std::vector<std::string>(arguments + 1, arguments + argument_count));
}
