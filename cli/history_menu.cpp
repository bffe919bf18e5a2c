// See history_menu.h.
#include "history_menu.h"

#include <fmt/format.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "output.h"
#include "render.h"

namespace kalam::cli {
namespace {

constexpr size_t kShownMax = 10;
constexpr int kEscapeWaitMs = 50;

enum class Key { kUp, kDown, kEnter, kLeave, kErase, kText };

// The terminal gives every key as it is, Ctrl+C too.
class RawTerminal {
 public:
  RawTerminal() {
    known_ = tcgetattr(STDIN_FILENO, &before_) == 0;
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (known_) tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal() {
    if (known_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  bool known() const { return known_; }

 private:
  termios before_{};
  bool known_ = false;
};

bool ReadByte(char* byte) { return read(STDIN_FILENO, byte, 1) == 1; }

Key ReadKey(char* text) {
  if (!ReadByte(text)) return Key::kLeave;
  switch (*text) {
    case '\r':
    case '\n':
      return Key::kEnter;
    case 0x10:  // Ctrl+P
      return Key::kUp;
    case 0x0e:  // Ctrl+N
      return Key::kDown;
    case 0x7f:
    case 0x08:
      return Key::kErase;
    case 0x1b:
      break;
    default:
      return static_cast<unsigned char>(*text) < 0x20 ? Key::kLeave : Key::kText;
  }
  // An arrow is Esc and two more bytes at once.
  pollfd more{STDIN_FILENO, POLLIN, 0};
  char bracket = 0;
  char letter = 0;
  if (poll(&more, 1, kEscapeWaitMs) <= 0 || !ReadByte(&bracket) || !ReadByte(&letter)) {
    return Key::kLeave;
  }
  return letter == 'A' ? Key::kUp : letter == 'B' ? Key::kDown : Key::kLeave;
}

std::string LowerCase(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return text;
}

std::string OneLine(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20; }, ' ');
  return text;
}

void Draw(const std::vector<std::string>& shown, size_t chosen, const std::string& filter,
          int column) {
  const int width = TerminalWidth() - 4;
  std::string screen = "\r\n\x1b[K\x1b[2m  history" + (filter.empty() ? "" : ": " + filter) +
                       "   (type to filter, Enter takes, Esc leaves)\x1b[0m";
  for (size_t i = 0; i < kShownMax; ++i) {
    screen += "\r\n\x1b[K";
    if (i >= shown.size()) continue;
    const std::string entry = CutToWidth(OneLine(shown[i]), width);
    screen += i == chosen ? "\x1b[7m> " + entry + "\x1b[0m" : "  " + entry;
  }
  screen += fmt::format("\x1b[{}A\r", kShownMax + 1);
  if (column > 0) screen += fmt::format("\x1b[{}C", column);
  fmt::print("{}", screen);
  std::fflush(stdout);
}

void Clear(int column) {
  fmt::print("\r\n\x1b[J\x1b[1A\r");
  if (column > 0) fmt::print("\x1b[{}C", column);
  std::fflush(stdout);
}

}  // namespace

std::vector<std::string> FilterHistory(const std::vector<std::string>& entries,
                                       const std::string& filter) {
  const std::string wanted = LowerCase(filter);
  std::set<std::string> seen;
  std::vector<std::string> found;
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    if (LowerCase(*entry).find(wanted) == std::string::npos) continue;
    if (seen.insert(*entry).second) found.push_back(*entry);
  }
  return found;
}

std::optional<std::string> ChooseFromHistory(const std::vector<std::string>& entries, int column) {
  const RawTerminal terminal;
  if (!terminal.known() || entries.empty()) return std::nullopt;
  std::string filter;
  size_t first = 0;
  size_t chosen = 0;
  while (true) {
    const std::vector<std::string> found = FilterHistory(entries, filter);
    chosen = found.empty() ? 0 : std::min(chosen, found.size() - 1);
    first = chosen < first ? chosen : std::max(first, chosen + 1 - std::min(chosen + 1, kShownMax));
    const size_t last = std::min(found.size(), first + kShownMax);
    Draw({found.begin() + static_cast<ptrdiff_t>(std::min(first, last)),
          found.begin() + static_cast<ptrdiff_t>(last)},
         chosen - first, filter, column);
    char text = 0;
    switch (ReadKey(&text)) {
      case Key::kUp:
        chosen -= chosen > 0 ? 1 : 0;
        break;
      case Key::kDown:
        ++chosen;
        break;
      case Key::kErase:
        if (!filter.empty()) filter.pop_back();
        break;
      case Key::kText:
        filter += text;
        chosen = 0;
        break;
      case Key::kEnter:
        Clear(column);
        if (found.empty()) return std::nullopt;
        return found[chosen];
      case Key::kLeave:
        Clear(column);
        return std::nullopt;
    }
  }
}

}  // namespace kalam::cli
