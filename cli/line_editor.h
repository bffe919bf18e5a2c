// Line editing with history and completion (libedit).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace kalam::cli {

/// Gives the words that may follow `line` up to the cursor; each replaces the word that the cursor
/// stands in.
using Completer = std::function<std::vector<std::string>(const std::string& line)>;

/// Paints a line for the terminal; adds nothing that takes room.
using Painter = std::function<std::string(const std::string& line)>;

/// One at a time. Keeps its history in a file (mode 0600), without lines that look like secrets.
class LineEditor {
 public:
  /// `painter`: empty shows lines as they are, and no hints.
  LineEditor(std::string history_path, int history_size, Completer completer, Painter painter);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  enum class Outcome { kLine, kInterrupted, kEnd };
  /// One line without its line break.
  Outcome ReadLine(const std::string& prompt, std::string* line);
  /// Shows the history to choose from; what is chosen stands on the next line that is read. False
  /// when there is no terminal to choose on.
  bool ChooseNext();
  /// Remembers a whole statement.
  void AddHistory(const std::string& statement);
  std::vector<std::string> history() const;

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

/// True when a line must not be remembered: passwords, tokens, credentials, and the commands that
/// look at the history or leave.
bool LooksSecret(const std::string& line);

/// The word before the cursor, which a completion replaces: letters, digits, '_', '.', '\\' and
/// '$'.
std::string WordAtEnd(const std::string& line);

}  // namespace kalam::cli
