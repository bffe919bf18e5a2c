// system.server_logs: the newest lines of server.jsonl, read backwards from its end.
#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "statements/system_tables.h"

namespace kalam::statements {
namespace {

// What one query reads at most: older lines are in the file.
constexpr int64_t kTailBytesMax = 4 << 20;

/// The end of a file, from the first whole line on.
std::string ReadTail(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return {};
  const auto size = static_cast<int64_t>(file.tellg());
  const int64_t start = std::max<int64_t>(size - kTailBytesMax, 0);
  std::string tail(static_cast<size_t>(size - start), '\0');
  file.seekg(start);
  file.read(tail.data(), static_cast<std::streamsize>(tail.size()));
  tail.resize(static_cast<size_t>(file.gcount()));
  if (start > 0) tail.erase(0, std::min(tail.find('\n') + 1, tail.size()));
  return tail;
}

std::string TextField(const nlohmann::json& line, const char* name) {
  auto found = line.find(name);
  return found != line.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

Status ReadServerLogs(const SystemSources& sources, const catalog::Caller&, RowBuffer* rows) {
  if (sources.services.log_directory.empty()) return Status::Ok();
  const std::string tail = ReadTail(sources.services.log_directory + "/server.jsonl");
  size_t begin = 0;
  while (begin < tail.size()) {
    const size_t end = std::min(tail.find('\n', begin), tail.size());
    const auto line =
        nlohmann::json::parse(tail.begin() + static_cast<std::ptrdiff_t>(begin),
                              tail.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    begin = end + 1;
    if (!line.is_object()) continue;  // a line that is being written
    auto number = line.find("line");
    rows->Append({TextCell(TextField(line, "timestamp")), TextCell(TextField(line, "level")),
                  OptionalTextCell(TextField(line, "threadName")),
                  OptionalTextCell(TextField(line, "target")),
                  number != line.end() && number->is_number_integer()
                      ? BigIntCell(number->get<int64_t>())
                      : Value::Null(TypeKind::kBigInt),
                  TextCell(TextField(line, "message"))});
  }
  return Status::Ok();
}

}  // namespace kalam::statements
