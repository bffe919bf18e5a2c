// Printing answers.
#include "output.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <climits>
#include <nlohmann/json.hpp>

namespace kalam::cli {
namespace {

constexpr const char* kColorCodes[] = {"31", "32", "33", "34", "35", "36", "2"};

bool IsDml(const std::string& message) {
  return message.rfind("Inserted ", 0) == 0 || message.rfind("Updated ", 0) == 0 ||
         message.rfind("Deleted ", 0) == 0;
}

void PrintEntry(const ResultEntry& entry, const OutputStyle& style) {
  if (style.format == OutputFormat::kCsv) {
    if (entry.has_rows) fmt::print("{}", RenderCsv(entry.table));
    return;
  }
  if (entry.has_rows) {
    const bool list = style.list_rows == ListRows::kAlways ||
                      (style.list_rows == ListRows::kWhenCut &&
                       !IsReadableAsTable(entry.table, style.terminal_width));
    if (!entry.table.columns.empty())
      fmt::print("{}",
                 list ? RenderList(entry.table) : RenderTable(entry.table, style.terminal_width));
    fmt::print("({} {})\n", entry.row_count, entry.row_count == 1 ? "row" : "rows");
    if (!entry.notice.empty()) fmt::print("{}\n", Paint(style, Color::kYellow, entry.notice));
    return;
  }
  if (!IsDml(entry.message) && !entry.message.empty()) fmt::print("{}\n", entry.message);
  fmt::print("Query OK, {} rows affected\n", entry.row_count);
}

bool PrintError(const Answer& answer, const OutputStyle& style) {
  fmt::print(stderr, "{}\n",
             Paint(style, Color::kRed, "ERROR " + answer.error_code + ": " + answer.error_message));
  if (!answer.error_details.empty()) fmt::print(stderr, "Details: {}\n", answer.error_details);
  return false;
}

}  // namespace

int TerminalWidth() {
  // A file or a pipe has no width, and nothing of a value may be lost on its way there.
  if (!isatty(STDOUT_FILENO)) return INT_MAX;
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string Paint(const OutputStyle& style, Color color, std::string_view text) {
  if (!style.color) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", kColorCodes[static_cast<size_t>(color)], text);
}

bool PrintAnswer(const Answer& answer, const OutputStyle& style) {
  if (style.format == OutputFormat::kJson) {
    const auto body = nlohmann::ordered_json::parse(answer.raw, nullptr, false);
    fmt::print("{}\n", body.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    return answer.ok;
  }
  if (!answer.ok) return PrintError(answer, style);
  for (const ResultEntry& entry : answer.results) PrintEntry(entry, style);
  if (style.format == OutputFormat::kTable) {
    fmt::print("\n");
    if (!answer.results.empty() && !answer.results.back().as_user.empty() &&
        answer.results.back().has_rows) {
      fmt::print("As: {}\n", answer.results.back().as_user);
    }
    fmt::print("Took: {:.3f} ms\n", answer.took_ms);
  }
  std::fflush(stdout);
  return true;
}

void PrintAsOneDocument(const std::vector<Answer>& answers) {
  using Json = nlohmann::ordered_json;
  Json whole = {{"results", Json::array()}};
  double took_ms = 0;
  for (const Answer& answer : answers) {
    const Json body = Json::parse(answer.raw, nullptr, false);
    if (!body.is_object()) continue;
    for (const Json& result : body.value("results", Json::array())) {
      whole["results"].push_back(result);
    }
    took_ms += answer.took_ms;
    whole["status"] = body.value("status", Json());
    whole["took"] = took_ms;
    whole["error"] = body.value("error", Json());
  }
  fmt::print("{}\n", whole.dump(2, ' ', false, Json::error_handler_t::replace));
}

}  // namespace kalam::cli
