// libedit behind a small class.
#include "line_editor.h"

#include <fmt/format.h>
#include <histedit.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cwchar>
#include <fstream>
#include <optional>
#include <sstream>

#include "history_menu.h"
#include "render.h"

namespace kalam::cli {
namespace {

constexpr char kEntrySeparator[] = "\n---ENTRY---\n";
constexpr char kPrefillKey = 0x1f;  // Ctrl+_: stands for text that is put in for the user
constexpr size_t kHintFrom = 2;     // letters

volatile sig_atomic_t line_interrupted =
    0;  // set by the signal handler, which has no other way to speak

void OnInterrupt(int) { line_interrupted = 1; }

// The signals that are let in while a key is waited for, and at no other time: a Ctrl+C that came
// between two keys would otherwise be noticed only with the next one.
sigset_t waiting_mask;

std::string Encode(const std::string& text) {
  std::string base64(4 * ((text.size() + 2) / 3) + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(base64.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  base64.resize(static_cast<size_t>(size));
  return base64;
}

std::string Decode(const std::string& base64) {
  std::string text(base64.size() + 4, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                   reinterpret_cast<const unsigned char*>(base64.data()),
                                   static_cast<int>(base64.size()));
  if (size < 0) return {};
  text.resize(static_cast<size_t>(size));
  while (!text.empty() && text.back() == '\0') text.pop_back();  // the padding
  return text;
}

std::string LowerCase(const std::string& text) {
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return lower;
}

bool IsWordCharacter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '\\' ||
         c == '$' || c == '-';
}

std::string CommonPrefix(const std::vector<std::string>& words) {
  std::string prefix = words[0];
  for (const std::string& word : words) {
    size_t same = 0;
    while (same < prefix.size() && same < word.size() &&
           std::tolower(static_cast<unsigned char>(prefix[same])) ==
               std::tolower(static_cast<unsigned char>(word[same]))) {
      ++same;
    }
    prefix.resize(same);
  }
  return prefix;
}

// Where text that begins at `column` of a terminal stands.
struct Place {
  int row = 0, column = 0;
};

// nullopt: it has what the terminal shows in ways of its own.
std::optional<Place> PlaceAfter(std::string_view text, Place place, int width) {
  for (size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    if (lead == '\n') {
      place = {place.row + 1, 0};
      ++at;
      continue;
    }
    if (lead < 0x20 || lead == 0x7f) return std::nullopt;
    size_t end = at + 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
    const int columns = DisplayWidth(text.substr(at, end - at));
    if (place.column + columns > width) return std::nullopt;  // a wide character at the margin
    place.column += columns;
    if (place.column == width) place = {place.row + 1, 0};
    at = end;
  }
  return place;
}

bool HasPendingKeys() {
  pollfd key{STDIN_FILENO, POLLIN, 0};
  return poll(&key, 1, 0) > 0;
}

}  // namespace

bool LooksSecret(const std::string& line) {
  const std::string lower = LowerCase(line);
  if (lower == "\\h") return true;
  for (const char* word :
       {"password", "authorization", "bearer", "refresh_token", "jwt_token", "api_key", "secret",
        "\\history", "\\h ", "\\quit", "\\q", "-credentials"}) {
    if (lower.find(word) != std::string::npos) return true;
  }
  return false;
}

std::string WordAtEnd(const std::string& line) {
  size_t begin = line.size();
  while (begin > 0 && IsWordCharacter(line[begin - 1])) --begin;
  return line.substr(begin);
}

struct LineEditor::Rep {
  struct EditLineEnd {
    void operator()(EditLine* line) const { el_end(line); }
  };
  struct HistoryEnd {
    void operator()(History* history) const { history_end(history); }
  };

  std::string history_path;
  size_t history_size;
  Completer completer;
  Painter painter;
  std::string prefill;
  bool hint_shown = false;
  std::unique_ptr<History, HistoryEnd> history_list;
  std::unique_ptr<EditLine, EditLineEnd> editor;
  std::string prompt;
  std::vector<std::string> entries;

  static Rep* Of(EditLine* line) {
    void* data = nullptr;
    el_get(line, EL_CLIENTDATA, &data);
    return static_cast<Rep*>(data);
  }

  static int ReadCharacter(EditLine* line, wchar_t* out);
  static char* Prompt(EditLine* line) { return Of(line)->prompt.data(); }

  // Completes what is certain; shows the choices when several words fit.
  static unsigned char Complete(EditLine* line, int) {
    Rep* rep = Of(line);
    const LineInfo* info = el_line(line);
    const std::string before(info->buffer, info->cursor);
    const std::vector<std::string> words =
        rep->completer ? rep->completer(before) : std::vector<std::string>();
    if (words.empty()) return CC_ERROR;
    const std::string word = WordAtEnd(before);
    const std::string common = words.size() == 1 ? words[0] + " " : CommonPrefix(words);
    if (common.size() > word.size()) {
      el_deletestr(line, static_cast<int>(word.size()));
      el_insertstr(line, common.c_str());
      return CC_REFRESH;
    }
    std::printf("\n");
    for (size_t i = 0; i < words.size() && i < 60; ++i) std::printf("%s  ", words[i].c_str());
    std::printf("%s\n", words.size() > 60 ? "..." : "");
    return CC_REDISPLAY;
  }

  // Up goes back in the history; on an empty line it opens the menu.
  static unsigned char Up(EditLine* line, int) {
    Rep* rep = Of(line);
    const LineInfo* info = el_line(line);
    if (info->lastchar != info->buffer || rep->entries.empty()) {
      el_push(line, "\x10");  // Ctrl+P
      return CC_NORM;
    }
    const auto chosen = ChooseFromHistory(rep->entries, DisplayWidth(rep->prompt));
    if (chosen) el_insertstr(line, chosen->c_str());
    return CC_REFRESH;
  }

  static unsigned char Prefill(EditLine* line, int) {
    Rep* rep = Of(line);
    el_insertstr(line, rep->prefill.c_str());
    rep->prefill.clear();
    return CC_REFRESH;
  }

  // What the only completion, or the common part of several, adds to the word at the end.
  std::string Hint(const std::string& line) const {
    const std::string word = WordAtEnd(line);
    if (!completer || word.size() < kHintFrom) return {};
    const std::vector<std::string> words = completer(line);
    if (words.empty()) return {};
    const std::string common = words.size() == 1 ? words[0] : CommonPrefix(words);
    return common.size() > word.size() ? common.substr(word.size()) : std::string();
  }

  // libedit has put the plain line there and waits for a key. The same characters are written over
  // it in color, and the cursor goes back: what libedit believes of the screen stays true.
  void Paint() {
    winsize size{};
    if (!painter || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return;
    const LineInfo* info = el_line(editor.get());
    const std::string line(info->buffer, info->lastchar);
    const Place begin{0, DisplayWidth(prompt)};
    const int width = size.ws_col;
    const auto cursor = PlaceAfter({info->buffer, info->cursor}, begin, width);
    const auto end = PlaceAfter(line, begin, width);
    if (!cursor || !end || begin.column >= width || end->row >= size.ws_row) return;
    std::string screen =
        "\x1b"
        "7";
    if (cursor->row > 0) screen += fmt::format("\x1b[{}A", cursor->row);
    screen += fmt::format("\r\x1b[{}C", begin.column);
    for (const char c : painter(line))
      screen += c == '\n' ? std::string("\r\n") : std::string(1, c);
    if (info->cursor == info->lastchar && end->column > 0) {
      const std::string hint = Hint(line);
      hint_shown = !hint.empty() && end->column + DisplayWidth(hint) < width;
      screen += hint_shown ? "\x1b[K\x1b[90m" + hint + "\x1b[0m" : "\x1b[K";
    }
    screen +=
        "\x1b"
        "8";
    std::fwrite(screen.data(), 1, screen.size(), stdout);
    std::fflush(stdout);
  }

  void WipeHint() {
    if (!hint_shown) return;
    hint_shown = false;
    std::fputs("\x1b[K", stdout);
    std::fflush(stdout);
  }

  void Remember(const std::string& statement) {
    HistEvent event;
    ::history(history_list.get(), &event, H_ENTER, statement.c_str());
    entries.push_back(statement);
    if (entries.size() > history_size) entries.erase(entries.begin());
  }

  void Load() {
    std::ifstream file(history_path);
    std::stringstream stream;
    stream << file.rdbuf();
    const std::string text = stream.str();
    const std::string separator = kEntrySeparator;
    for (size_t begin = 0; begin < text.size();) {
      size_t end = text.find(separator, begin);
      if (end == std::string::npos) end = text.size();
      const std::string entry = Decode(text.substr(begin, end - begin));
      if (!entry.empty()) Remember(entry);
      begin = end + separator.size();
    }
  }

  void Save() const {
    const std::string temporary = history_path + ".new";
    {
      std::ofstream file(temporary, std::ios::trunc);
      chmod(temporary.c_str(), 0600);
      for (size_t i = 0; i < entries.size(); ++i)
        file << (i > 0 ? kEntrySeparator : "") << Encode(entries[i]);
      if (!file) return;  // a history that cannot be kept is no reason to fail
    }
    std::rename(temporary.c_str(), history_path.c_str());
  }
};

// Reads one character of the terminal's encoding. Unlike libedit's own it ends when Ctrl+C comes,
// so that the line is given up at once.
int LineEditor::Rep::ReadCharacter(EditLine* line, wchar_t* out) {
  Rep* rep = Of(line);
  if (!rep->prefill.empty()) {
    *out = kPrefillKey;
    return 1;
  }
  if (!HasPendingKeys()) rep->Paint();
  std::mbstate_t state{};
  while (true) {
    char byte = 0;
    pollfd key{STDIN_FILENO, POLLIN, 0};
    const int ready = ppoll(&key, 1, nullptr, &waiting_mask);
    if (line_interrupted || ready > 0) rep->WipeHint();
    if (line_interrupted) return -1;
    if (ready <= 0) continue;
    const ssize_t count = read(STDIN_FILENO, &byte, 1);
    if (count <= 0) return static_cast<int>(count);
    const size_t size = std::mbrtowc(out, &byte, 1, &state);
    if (size == static_cast<size_t>(-2)) continue;  // the character has more bytes
    if (size == static_cast<size_t>(-1)) *out = L'?';
    return 1;
  }
}

LineEditor::LineEditor(std::string history_path, int history_size, Completer completer,
                       Painter painter)
    : rep_(std::make_unique<Rep>()) {
  rep_->history_path = std::move(history_path);
  rep_->history_size = static_cast<size_t>(std::max(0, history_size));
  rep_->completer = std::move(completer);
  rep_->painter = std::move(painter);
  rep_->history_list.reset(history_init());
  HistEvent event;
  ::history(rep_->history_list.get(), &event, H_SETSIZE, std::max(1, history_size));
  rep_->Load();
  rep_->editor.reset(el_init("kalam", stdin, stdout, stderr));
  EditLine* editor = rep_->editor.get();
  el_set(editor, EL_CLIENTDATA, rep_.get());
  el_set(editor, EL_PROMPT, &Rep::Prompt);
  el_set(editor, EL_EDITOR, "emacs");
  el_set(editor, EL_HIST, ::history, rep_->history_list.get());
  el_set(editor, EL_ADDFN, "kalam-complete", "Complete the word", &Rep::Complete);
  el_set(editor, EL_BIND, "^I", "kalam-complete", nullptr);
  el_set(editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_set(editor, EL_ADDFN, "kalam-up", "Back in the history", &Rep::Up);
  el_set(editor, EL_BIND, "\x1b[A", "kalam-up", nullptr);
  el_set(editor, EL_BIND, "\x1bOA", "kalam-up", nullptr);
  el_set(editor, EL_ADDFN, "kalam-prefill", "Put in what was chosen", &Rep::Prefill);
  const char prefill_key[] = {kPrefillKey, '\0'};
  el_set(editor, EL_BIND, prefill_key, "kalam-prefill", nullptr);
  el_set(editor, EL_GETCFN, &Rep::ReadCharacter);
  // Ctrl+C must come to us: it clears the statement instead of ending the shell.
  el_set(editor, EL_SIGNAL, 0);
  el_source(editor, nullptr);
}

LineEditor::~LineEditor() = default;

LineEditor::Outcome LineEditor::ReadLine(const std::string& prompt, std::string* line) {
  rep_->prompt = prompt;
  line_interrupted = 0;
  struct sigaction action {};
  struct sigaction previous {};
  action.sa_handler = OnInterrupt;
  sigaction(SIGINT, &action, &previous);
  sigset_t interrupt;
  sigset_t before;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  sigprocmask(SIG_BLOCK, &interrupt, &before);
  waiting_mask = before;
  sigdelset(&waiting_mask, SIGINT);
  int count = 0;
  const char* text = el_gets(rep_->editor.get(), &count);
  sigprocmask(SIG_SETMASK, &before, nullptr);
  sigaction(SIGINT, &previous, nullptr);
  if (line_interrupted) {
    el_reset(rep_->editor.get());
    return Outcome::kInterrupted;
  }
  if (text == nullptr || count <= 0) return Outcome::kEnd;
  line->assign(text, static_cast<size_t>(count));
  while (!line->empty() && (line->back() == '\n' || line->back() == '\r')) line->pop_back();
  return Outcome::kLine;
}

void LineEditor::AddHistory(const std::string& statement) {
  if (statement.empty() || LooksSecret(statement)) return;
  if (!rep_->entries.empty() && rep_->entries.back() == statement) return;
  rep_->Remember(statement);
  rep_->Save();
}

bool LineEditor::ChooseNext() {
  if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) return false;
  rep_->prefill = ChooseFromHistory(rep_->entries, 0).value_or("");
  return true;
}

std::vector<std::string> LineEditor::history() const { return rep_->entries; }

}  // namespace kalam::cli
