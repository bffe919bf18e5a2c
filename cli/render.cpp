// Tables, CSV and timestamps as text.
#include "render.h"

#include <fmt/format.h>

#include <algorithm>
#include <cwchar>

#include "types/datetime.h"

namespace kalam::cli {
namespace {

constexpr int kSmallWidth = 6;
constexpr const char* kWeekdays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct Character {
  size_t bytes;
  int width;
};

// The character at the front of `text` (not empty).
Character FrontCharacter(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  const size_t bytes = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  if (bytes == 0 || lead > 0xF4 || text.size() < bytes) return {1, 1};
  uint32_t code = bytes == 1 ? lead : lead & (0x7F >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    const auto next = static_cast<uint8_t>(text[i]);
    if ((next & 0xC0) != 0x80) return {1, 1};
    code = code << 6 | (next & 0x3F);
  }
  const int width = wcwidth(static_cast<wchar_t>(code));
  return {bytes, width < 0 ? 1 : width};
}

// Control characters would break the table's lines.
std::string OneLine(std::string_view text) {
  std::string line(text);
  for (char& c : line) {
    if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return line;
}

std::vector<int> NaturalWidths(const TextTable& table) {
  std::vector<int> widths;
  for (const std::string& column : table.columns)
    widths.push_back(std::max(1, DisplayWidth(column)));
  for (const auto& row : table.rows) {
    for (size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].is_null ? 4 : DisplayWidth(OneLine(row[i].text)));
    }
  }
  return widths;
}

int TotalWidth(const std::vector<int>& widths) {
  int total = 1;
  for (const int width : widths) total += width + 3;
  return total;
}

void FitWidths(std::vector<int>* widths, int terminal_width) {
  if (widths->empty() || TotalWidth(*widths) <= terminal_width) return;
  for (const int floor : {kSmallWidth, 1}) {
    while (TotalWidth(*widths) > terminal_width) {
      const auto widest = std::max_element(widths->begin(), widths->end());
      if (*widest <= floor) break;
      --*widest;
    }
  }
}

std::string Line(const std::vector<int>& widths, const char* left, const char* middle,
                 const char* right) {
  std::string line = left;
  for (size_t i = 0; i < widths.size(); ++i) {
    if (i > 0) line += middle;
    for (int c = 0; c < widths[i] + 2; ++c) line += "─";
  }
  return line + right + "\n";
}

void AppendCell(std::string_view text, int width, std::string* line) {
  const std::string cut = CutToWidth(text, width);
  *line += " " + cut +
           std::string(static_cast<size_t>(std::max(0, width - DisplayWidth(cut)) + 1), ' ') + "│";
}

std::string CsvCell(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string Relative(int64_t us, int64_t now_us) {
  const bool past = us <= now_us;
  const int64_t seconds = (past ? now_us - us : us - now_us) / 1'000'000;
  static constexpr std::pair<int64_t, const char*> kUnits[] = {
      {31'536'000, "year"}, {2'592'000, "month"}, {86'400, "day"},
      {3'600, "hour"},      {60, "minute"},       {1, "second"}};
  for (const auto& [size, name] : kUnits) {
    if (seconds < size) continue;
    const int64_t count = seconds / size;
    const std::string amount = fmt::format("{} {}{}", count, name, count == 1 ? "" : "s");
    return past ? amount + " ago" : "in " + amount;
  }
  return "now";
}

}  // namespace

int DisplayWidth(std::string_view text) {
  int width = 0;
  while (!text.empty()) {
    const Character character = FrontCharacter(text);
    width += character.width;
    text.remove_prefix(character.bytes);
  }
  return width;
}

std::string CutToWidth(std::string_view text, int width) {
  if (DisplayWidth(text) <= width) return std::string(text);
  const std::string_view dots = width >= 4 ? "..." : "";
  const int room = width - static_cast<int>(dots.size());
  int used = 0;
  size_t end = 0;
  while (end < text.size()) {
    const Character character = FrontCharacter(text.substr(end));
    if (used + character.width > room) break;
    used += character.width;
    end += character.bytes;
  }
  return std::string(text.substr(0, end)) + std::string(dots);
}

std::string RenderTable(const TextTable& table, int terminal_width) {
  std::vector<int> widths = NaturalWidths(table);
  FitWidths(&widths, terminal_width);
  std::string text = Line(widths, "┌", "┬", "┐");
  text += "│";
  for (size_t i = 0; i < table.columns.size(); ++i)
    AppendCell(OneLine(table.columns[i]), widths[i], &text);
  text += "\n" + Line(widths, "├", "┼", "┤");
  for (const auto& row : table.rows) {
    text += "│";
    for (size_t i = 0; i < widths.size(); ++i) {
      AppendCell(i < row.size() && !row[i].is_null ? OneLine(row[i].text) : "NULL", widths[i],
                 &text);
    }
    text += "\n";
  }
  return text + Line(widths, "└", "┴", "┘");
}

std::string RenderCsv(const TextTable& table) {
  if (table.rows.empty()) return {};
  std::string text;
  for (size_t i = 0; i < table.columns.size(); ++i)
    text += (i > 0 ? "," : "") + CsvCell(table.columns[i]);
  text += "\n";
  for (const auto& row : table.rows) {
    for (size_t i = 0; i < row.size(); ++i)
      text += (i > 0 ? "," : "") + (row[i].is_null ? "NULL" : CsvCell(row[i].text));
    text += "\n";
  }
  return text;
}

std::string FormatTimestampCell(int64_t us, TimestampFormat format, int64_t now_us) {
  const CivilTime t = ToCivil(us);
  const std::string date = fmt::format("{:04}-{:02}-{:02}", t.year, t.month, t.day);
  const std::string time = fmt::format("{:02}:{:02}:{:02}", t.hour, t.minute, t.second);
  switch (format) {
    case TimestampFormat::kIso8601:
      return fmt::format("{}T{}.{:03}Z", date, time, t.microsecond / 1000);
    case TimestampFormat::kIso8601Date:
      return date;
    case TimestampFormat::kIso8601DateTime:
      return fmt::format("{}T{}Z", date, time);
    case TimestampFormat::kUnixMs:
      return std::to_string(us / 1000);
    case TimestampFormat::kUnixSec:
      return std::to_string(us / 1'000'000);
    case TimestampFormat::kRelative:
      return Relative(us, now_us);
    case TimestampFormat::kRfc2822:
      return fmt::format("{}, {:02} {} {:04} {} +0000", kWeekdays[t.weekday], t.day,
                         kMonths[t.month - 1], t.year, time);
    case TimestampFormat::kRfc3339:
      return fmt::format("{}T{}.{:03}+00:00", date, time, t.microsecond / 1000);
  }
  return std::to_string(us);
}

}  // namespace kalam::cli
