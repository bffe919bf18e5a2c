// Results as text: tables with box drawing, CSV, JSON; widths as a terminal shows them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "options.h"

namespace kalam::cli {

/// A cell as text, or NULL.
struct TextCell {
  std::string text;
  bool is_null = false;
};
struct TextTable {
  std::vector<std::string> columns;
  std::vector<std::vector<TextCell>> rows;
};

/// Columns that the text takes in a terminal: wide characters count two, combining ones none.
/// Invalid bytes count one each.
int DisplayWidth(std::string_view text);
/// The text cut to `width` columns, ending in "..." when something was cut (for widths of 4 and
/// more).
std::string CutToWidth(std::string_view text, int width);

/// Box drawing, one space padding, left aligned. Natural widths when they fit `terminal_width`;
/// else the widest column shrinks until it fits, down to 6 and then below. A cell of several lines
/// makes its row so high; tabs and other control characters are shown as spaces.
std::string RenderTable(const TextTable& table, int terminal_width);
/// Whether RenderTable leaves at least 12 columns of everything that is wider.
bool IsReadableAsTable(const TextTable& table, int terminal_width);
/// Each row as a list of `column │ value`, under a line with its number. Nothing is cut.
std::string RenderList(const TextTable& table);
/// Header and rows; quoted where needed; NULL as `NULL`; nothing at all without rows.
std::string RenderCsv(const TextTable& table);

/// A timestamp of microseconds since 1970, UTC. `now_us` is for the relative format.
std::string FormatTimestampCell(int64_t us, TimestampFormat format, int64_t now_us);

}  // namespace kalam::cli
