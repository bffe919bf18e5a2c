// Tables, CSV and timestamps as text.
#include "render.h"

#include <fmt/format.h>

#include <algorithm>
#include <cwchar>

#include "types/datetime.h"

namespace kalam::cli {
namespace {

constexpr int kSmallWidth = 6;
// A column that is cut below this shows nothing of use.
constexpr int kReadableWidth = 12;
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

// The text's lines; other control characters, which would break the table, become spaces.
std::vector<std::string> Lines(std::string_view text) {
  std::vector<std::string> lines(1);
  for (const char c : text) {
    if (c == '\n')
      lines.emplace_back();
    else
      lines.back() += static_cast<uint8_t>(c) < 0x20 || c == 0x7f ? ' ' : c;
  }
  if (lines.size() > 1 && lines.back().empty()) lines.pop_back();
  return lines;
}

std::vector<std::string> Lines(const TextCell& cell) {
  return cell.is_null ? std::vector<std::string>{"NULL"} : Lines(cell.text);
}

int WidestLine(const std::vector<std::string>& lines) {
  int width = 0;
  for (const std::string& line : lines) width = std::max(width, DisplayWidth(line));
  return width;
}

std::vector<int> NaturalWidths(const TextTable& table) {
  std::vector<int> widths;
  for (const std::string& column : table.columns)
    widths.push_back(std::max(1, WidestLine(Lines(column))));
  for (const auto& row : table.rows) {
    for (size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      widths[i] = std::max(widths[i], WidestLine(Lines(row[i])));
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

std::string Spaces(int count) { return std::string(static_cast<size_t>(std::max(0, count)), ' '); }

// As many lines of text as the highest cell has.
void AppendRow(const std::vector<std::vector<std::string>>& cells, const std::vector<int>& widths,
               std::string* text) {
  size_t height = 1;
  for (const auto& cell : cells) height = std::max(height, cell.size());
  for (size_t line = 0; line < height; ++line) {
    *text += "│";
    for (size_t i = 0; i < cells.size(); ++i) {
      const std::string cut = line < cells[i].size() ? CutToWidth(cells[i][line], widths[i]) : "";
      *text += " " + cut + Spaces(widths[i] - DisplayWidth(cut)) + " │";
    }
    *text += "\n";
  }
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

bool IsReadableAsTable(const TextTable& table, int terminal_width) {
  const std::vector<int> natural = NaturalWidths(table);
  std::vector<int> fitted = natural;
  FitWidths(&fitted, terminal_width);
  for (size_t i = 0; i < natural.size(); ++i) {
    if (fitted[i] < std::min(natural[i], kReadableWidth)) return false;
  }
  return true;
}

std::string RenderTable(const TextTable& table, int terminal_width) {
  std::vector<int> widths = NaturalWidths(table);
  FitWidths(&widths, terminal_width);
  std::vector<std::vector<std::string>> cells;
  for (const std::string& column : table.columns) cells.push_back(Lines(column));
  std::string text = Line(widths, "┌", "┬", "┐");
  AppendRow(cells, widths, &text);
  text += Line(widths, "├", "┼", "┤");
  for (const auto& row : table.rows) {
    for (size_t i = 0; i < cells.size(); ++i)
      cells[i] = Lines(i < row.size() ? row[i] : TextCell{"", true});
    AppendRow(cells, widths, &text);
  }
  return text + Line(widths, "└", "┴", "┘");
}

std::string RenderList(const TextTable& table) {
  int name_width = 1;
  for (const std::string& column : table.columns)
    name_width = std::max(name_width, DisplayWidth(Lines(column)[0]));
  std::string text;
  for (size_t number = 0; number < table.rows.size(); ++number) {
    text += fmt::format("─[ {} ]─\n", number + 1);
    const auto& row = table.rows[number];
    for (size_t i = 0; i < row.size() && i < table.columns.size(); ++i) {
      std::string name = Lines(table.columns[i])[0];
      for (const std::string& line : Lines(row[i])) {
        text += name + Spaces(name_width - DisplayWidth(name)) + " │ " + line + "\n";
        name.clear();
      }
    }
  }
  return text;
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
