// The benchmark's table and its JSON.
#include "suite/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "types/convert.h"

namespace kalam::bench {

double Percentile(std::vector<double> values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double at = p / 100.0 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (values[above] - values[below]) * (at - static_cast<double>(below));
}

double Median(std::vector<double> values) { return Percentile(std::move(values), 50); }

void Report::PrintHeader() const {
  fmt::print("{:<46} {:>12} {:>14}  {:<4} {}\n", "what", "figure", "target", "", "made of");
}

void Report::Add(ReportLine line) {
  fmt::print("{:<46} {:>12} {:>14}  {:<4} {}\n", line.name,
             fmt::format("{:.2f} {}", line.figure, line.unit),
             fmt::format("{} {:.4g} {}", line.at_least ? ">=" : "<=", line.target, line.unit),
             line.pass() ? "ok" : "MISS", line.note);
  std::fflush(stdout);
  lines_.push_back(std::move(line));
}

bool Report::PrintSummary() const {
  const auto missed = std::count_if(lines_.begin(), lines_.end(),
                                    [](const ReportLine& line) { return !line.pass(); });
  fmt::print("\n{} of {} targets met\n", lines_.size() - static_cast<size_t>(missed),
             lines_.size());
  return missed == 0;
}

std::string Report::Json() const {
  std::string json = "[\n";
  for (const ReportLine& line : lines_) {
    if (json.size() > 2) json += ",\n";
    json += "  {\"name\":";
    AppendJsonString(line.name, &json);
    json += fmt::format(
        ",\"unit\":\"{}\",\"figure\":{:.4f},\"target\":{:.4f},\"at_least\":{},\"pass\":{},"
        "\"note\":",
        line.unit, line.figure, line.target, line.at_least, line.pass());
    AppendJsonString(line.note, &json);
    json += "}";
  }
  return json + "\n]\n";
}

}  // namespace kalam::bench
