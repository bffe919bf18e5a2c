// Printing answers to the terminal: results, errors, times, colors.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "session.h"

namespace kalam::cli {

/// When a row is shown as a list of its columns instead of a line of a table.
enum class ListRows : uint8_t {
  kWhenCut,  // when the terminal is too narrow to read the table
  kAlways,
  kNever,
};

/// How to print. Colors only on a terminal.
struct OutputStyle {
  OutputFormat format = OutputFormat::kTable;
  ListRows list_rows = ListRows::kWhenCut;
  bool color = false;
  int terminal_width = 80;
};

enum class Color : uint8_t { kRed, kGreen, kYellow, kBlue, kMagenta, kCyan, kDim };
/// `text` in that color, or as it is.
std::string Paint(const OutputStyle& style, Color color, std::string_view text);

/// Prints every result of the answer, or its error (to standard error). False when the answer is an
/// error.
bool PrintAnswer(const Answer& answer, const OutputStyle& style);

/// Prints several answers (at least one) as one JSON document of the shape of one.
void PrintAsOneDocument(const std::vector<Answer>& answers);

/// Columns of the terminal; 80 when unknown, unlimited when the output is not a terminal.
int TerminalWidth();

}  // namespace kalam::cli
