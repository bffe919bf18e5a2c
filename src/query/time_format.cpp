// TO_CHAR for timestamps.
#include "query/time_format.h"

#include <fmt/core.h>

#include <cctype>

#include "query/time_fields.h"
#include "types/datetime.h"

namespace kalam::query {

namespace {

constexpr std::string_view kMonths[] = {"January",   "February", "March",    "April",
                                        "May",       "June",     "July",     "August",
                                        "September", "October",  "November", "December"};
constexpr std::string_view kDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                      "Thursday", "Friday", "Saturday"};

/// Writes `name` with the case of the pattern's word: DAY, Day or day.
std::string InCaseOf(std::string_view name, std::string_view word) {
  std::string text(name);
  const bool first_upper = std::isupper(static_cast<unsigned char>(word[0])) != 0;
  const bool second_upper = std::isupper(static_cast<unsigned char>(word[1])) != 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool upper = i == 0 ? first_upper : first_upper && second_upper;
    text[i] = static_cast<char>(upper ? std::toupper(c) : std::tolower(c));
  }
  return text;
}

std::string Padded(std::string text, size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

/// How a word of the pattern is compared: names keep their case, numbers do not care.
bool StartsWithWord(std::string_view pattern, std::string_view word) {
  if (pattern.size() < word.size()) return false;
  for (size_t i = 0; i < word.size(); ++i) {
    if (std::toupper(static_cast<unsigned char>(pattern[i])) != word[i]) return false;
  }
  return true;
}

using Writer = std::string (*)(const CivilTime& time, int64_t us, std::string_view word);

int TwelveHour(int hour) { return hour % 12 == 0 ? 12 : hour % 12; }

std::string Field(std::string_view field, int64_t us) {
  const Result<double> value = ExtractField(field, Datum::OfInt(TypeKind::kTimestamp, us));
  return value.ok() ? fmt::format("{:02d}", static_cast<int>(*value)) : std::string();
}

struct Word {
  std::string_view text;
  Writer write;
};

// Longer words stand before their prefixes.
constexpr Word kWords[] = {
    {"YYYY",
     [](const CivilTime& t, int64_t, std::string_view) { return fmt::format("{:04d}", t.year); }},
    {"YY", [](const CivilTime& t, int64_t,
              std::string_view) { return fmt::format("{:02d}", t.year % 100); }},
    {"MONTH", [](const CivilTime& t, int64_t,
                 std::string_view w) { return Padded(InCaseOf(kMonths[t.month - 1], w), 9); }},
    {"MON", [](const CivilTime& t, int64_t,
               std::string_view w) { return InCaseOf(kMonths[t.month - 1].substr(0, 3), w); }},
    {"MM",
     [](const CivilTime& t, int64_t, std::string_view) { return fmt::format("{:02d}", t.month); }},
    {"MI",
     [](const CivilTime& t, int64_t, std::string_view) { return fmt::format("{:02d}", t.minute); }},
    {"MS", [](const CivilTime& t, int64_t,
              std::string_view) { return fmt::format("{:03d}", t.microsecond / 1000); }},
    {"US", [](const CivilTime& t, int64_t,
              std::string_view) { return fmt::format("{:06d}", t.microsecond); }},
    {"DAY", [](const CivilTime& t, int64_t,
               std::string_view w) { return Padded(InCaseOf(kDays[t.weekday], w), 9); }},
    {"DY", [](const CivilTime& t, int64_t,
              std::string_view w) { return InCaseOf(kDays[t.weekday].substr(0, 3), w); }},
    {"DDD", [](const CivilTime& t, int64_t,
               std::string_view) { return fmt::format("{:03d}", t.day_of_year); }},
    {"DD",
     [](const CivilTime& t, int64_t, std::string_view) { return fmt::format("{:02d}", t.day); }},
    {"D", [](const CivilTime& t, int64_t,
             std::string_view) { return fmt::format("{}", t.weekday + 1); }},
    {"HH24",
     [](const CivilTime& t, int64_t, std::string_view) { return fmt::format("{:02d}", t.hour); }},
    {"HH12", [](const CivilTime& t, int64_t,
                std::string_view) { return fmt::format("{:02d}", TwelveHour(t.hour)); }},
    {"HH", [](const CivilTime& t, int64_t,
              std::string_view) { return fmt::format("{:02d}", TwelveHour(t.hour)); }},
    {"SS",
     [](const CivilTime& t, int64_t, std::string_view) { return fmt::format("{:02d}", t.second); }},
    {"AM", [](const CivilTime& t, int64_t,
              std::string_view w) { return InCaseOf(t.hour < 12 ? "AM" : "PM", w); }},
    {"PM", [](const CivilTime& t, int64_t,
              std::string_view w) { return InCaseOf(t.hour < 12 ? "AM" : "PM", w); }},
    {"Q", [](const CivilTime& t, int64_t,
             std::string_view) { return fmt::format("{}", (t.month - 1) / 3 + 1); }},
    {"IW", [](const CivilTime&, int64_t us, std::string_view) { return Field("week", us); }},
    {"WW", [](const CivilTime& t, int64_t,
              std::string_view) { return fmt::format("{:02d}", (t.day_of_year - 1) / 7 + 1); }},
};

}  // namespace

Status FormatInstant(int64_t us, std::string_view pattern, std::string* out) {
  const CivilTime time = ToCivil(us);
  while (!pattern.empty()) {
    if (pattern[0] == '"') {
      const size_t end = pattern.find('"', 1);
      out->append(pattern.substr(1, end == std::string_view::npos ? end : end - 1));
      pattern.remove_prefix(end == std::string_view::npos ? pattern.size() : end + 1);
      continue;
    }
    bool trim = false;
    if (StartsWithWord(pattern, "FM")) {  // fill mode: no padding of names
      pattern.remove_prefix(2);
      trim = true;
    }
    const Word* found = nullptr;
    for (const Word& word : kWords) {
      if (StartsWithWord(pattern, word.text)) {
        found = &word;
        break;
      }
    }
    if (found == nullptr) {
      if (pattern.empty()) break;
      out->push_back(pattern[0]);
      pattern.remove_prefix(1);
      continue;
    }
    std::string text = found->write(time, us, pattern.substr(0, found->text.size()));
    while (trim && !text.empty() && text.back() == ' ') text.pop_back();
    *out += text;
    pattern.remove_prefix(found->text.size());
  }
  return {};
}

}  // namespace kalam::query
