// The report page: a chart of ratios or of medians, and a table of everything.
#include "compare/html_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace kalam::bench {
namespace {

constexpr int kRowHeight = 24, kLabelWidth = 220, kChartWidth = 560, kFigureWidth = 250;

constexpr char kStyle[] = R"(
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5d6b7c;--line:#d9dfe6;--good:#1f7a5c;--bad:#b4492f;--dot:#2f5fa8;--page:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e4e9ef;--soft:#9aa8b8;--line:#36404c;--good:#5cc29c;--bad:#ea8b6f;--dot:#85adf0;--page:#161b21}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:1040px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin-top:2.2rem}p{color:var(--soft);margin:.2rem 0}
svg{width:100%;height:auto}svg text{font:13px system-ui,sans-serif;fill:var(--ink)}svg .soft{fill:var(--soft)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.25rem .6rem;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child,td.text{text-align:left}td.text{white-space:normal;color:var(--soft)}th{font-weight:600}
)";

std::string Escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out += c;
    }
  }
  return out;
}

/// A scale by tens from `low` to `high`, both positive.
class LogScale {
 public:
  LogScale(double low, double high)
      : low_(std::floor(std::log10(low))), high_(std::max(std::ceil(std::log10(high)), low_ + 1)) {}
  double X(double value) const {
    const double part = (std::log10(std::max(value, 1e-9)) - low_) / (high_ - low_);
    return kLabelWidth + kChartWidth * std::clamp(part, 0.0, 1.0);
  }
  std::string Grid(int rows, const char* unit) const {
    std::string svg;
    for (double power = low_; power <= high_; ++power) {
      const double x = X(std::pow(10, power));
      svg += fmt::format(
          "<line x1='{0:.1f}' y1='22' x2='{0:.1f}' y2='{1}' stroke='var(--line)'/>"
          "<text class='soft' x='{0:.1f}' y='14' text-anchor='middle'>{2:g}{3}</text>",
          x, 26 + rows * kRowHeight, std::pow(10, power), unit);
    }
    return svg;
  }

 private:
  double low_, high_;
};

std::string OpenSvg(size_t rows) {
  return fmt::format("<svg viewBox='0 0 {} {}' role='img'>",
                     kLabelWidth + kChartWidth + kFigureWidth,
                     30 + static_cast<int>(rows) * kRowHeight);
}

std::string Label(std::string_view name, int row) {
  return fmt::format("<text x='{}' y='{}' text-anchor='end'>{}</text>", kLabelWidth - 12,
                     26 + row * kRowHeight + 17, Escape(name));
}

/// How many times faster the first server is, a bar from 1 with the confidence interval.
std::string RatioChart(const std::vector<const Outcome*>& outcomes) {
  std::vector<Ratio> ratios;
  double low = 0.5, high = 2;
  for (const Outcome* outcome : outcomes) {
    ratios.push_back(CompareMedians(outcome->microseconds[0], outcome->microseconds[1]));
    low = std::min(low, std::max(ratios.back().low, 0.01));
    high = std::max(high, ratios.back().high);
  }
  const LogScale scale(low, high);
  const int rows = static_cast<int>(outcomes.size());
  std::string svg = OpenSvg(outcomes.size()) + scale.Grid(rows, "x");
  for (int row = 0; row < rows; ++row) {
    const Ratio& ratio = ratios[static_cast<size_t>(row)];
    const double from = scale.X(1), to = scale.X(ratio.value), y = 26 + row * kRowHeight;
    svg += Label(outcomes[static_cast<size_t>(row)]->name, row);
    svg += fmt::format(
        "<rect x='{:.1f}' y='{:.1f}' width='{:.1f}' height='12' fill='var(--{})' rx='2'/>"
        "<line x1='{:.1f}' x2='{:.1f}' y1='{:.1f}' y2='{:.1f}' stroke='var(--ink)'/>"
        "<text x='{}' y='{:.1f}'>{:.2f} <tspan class='soft'>[{:.2f}, {:.2f}]</tspan></text>",
        std::min(from, to), y + 6, std::max(std::abs(to - from), 1.0),
        ratio.value >= 1 ? "good" : "bad", scale.X(ratio.low), scale.X(ratio.high), y + 12, y + 12,
        kLabelWidth + kChartWidth + 12, y + 17, ratio.value, ratio.low, ratio.high);
  }
  return svg + "</svg>";
}

/// From the median (a dot) to the 99th percentile (the end of the line).
std::string LatencyChart(const std::vector<const Outcome*>& outcomes, size_t peer) {
  double low = 1e9, high = 0.01;
  for (const Outcome* outcome : outcomes) {
    const Summary summary = Summarize(outcome->microseconds[peer]);
    low = std::min(low, summary.median_us / 1000);
    high = std::max(high, summary.p99_us / 1000);
  }
  const LogScale scale(std::max(low, 0.001), high);
  const int rows = static_cast<int>(outcomes.size());
  std::string svg = OpenSvg(outcomes.size()) + scale.Grid(rows, " ms");
  for (int row = 0; row < rows; ++row) {
    const Summary summary = Summarize(outcomes[static_cast<size_t>(row)]->microseconds[peer]);
    const double y = 38 + row * kRowHeight;
    svg += Label(outcomes[static_cast<size_t>(row)]->name, row);
    svg += fmt::format(
        "<line x1='{0:.1f}' x2='{1:.1f}' y1='{2:.1f}' y2='{2:.1f}' stroke='var(--dot)' "
        "stroke-width='3' "
        "stroke-opacity='.45'/><circle cx='{0:.1f}' cy='{2:.1f}' r='5' fill='var(--dot)'/>"
        "<text x='{3}' y='{4:.1f}'>{5:.3f} <tspan class='soft'>p99 {6:.3f} ms</tspan></text>",
        scale.X(summary.median_us / 1000), scale.X(summary.p99_us / 1000), y,
        kLabelWidth + kChartWidth + 12, y + 5, summary.median_us / 1000, summary.p99_us / 1000);
  }
  return svg + "</svg>";
}

std::string Table(const std::vector<Outcome>& outcomes,
                  const std::vector<std::unique_ptr<Peer>>& peers) {
  std::string html =
      "<div class='wide'><table><tr><th>benchmark</th><th>server</th><th>p50 ms</th><th>p95 "
      "ms</th><th>p99 ms</th>"
      "<th>max ms</th><th>per second</th><th style='text-align:left'>one iteration</th></tr>";
  for (const Outcome& outcome : outcomes) {
    for (size_t peer = 0; peer < peers.size(); ++peer) {
      html += fmt::format("<tr><td>{}</td><td class='text'>{}</td>", Escape(outcome.name),
                          Escape(peers[peer]->label()));
      if (outcome.ok(peer)) {
        const Summary s = Summarize(outcome.microseconds[peer]);
        html += fmt::format(
            "<td>{:.3f}</td><td>{:.3f}</td><td>{:.3f}</td><td>{:.3f}</td><td>{:.1f}</td>",
            s.median_us / 1000, s.p95_us / 1000, s.p99_us / 1000, s.max_us / 1000,
            s.operations_per_second);
      } else {
        html += fmt::format("<td colspan='5' class='text'>{}</td>", Escape(outcome.errors[peer]));
      }
      html += "<td class='text'>" + (peer == 0 ? Escape(outcome.shape) : "") + "</td></tr>";
      if (outcome.notes[peer].empty()) continue;
      html += "<tr><td></td><td colspan='7' class='text'>";
      for (const std::string& note : outcome.notes[peer]) html += Escape(note) + "<br>";
      html += "</td></tr>";
    }
  }
  return html + "</table></div>";
}

}  // namespace

std::string HtmlReport(const std::vector<Outcome>& outcomes,
                       const std::vector<std::unique_ptr<Peer>>& peers, const std::string& machine,
                       const std::string& when) {
  std::string html =
      "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' "
      "content='width=device-width'><title>kalam-bench</title><style>" +
      std::string(kStyle) + "</style><h1>kalam-bench</h1>";
  html += fmt::format("<p>{}</p><p>{}</p>", Escape(machine), Escape(when));
  if (peers.size() == 2) {
    std::vector<const Outcome*> both;
    for (const Outcome& outcome : outcomes)
      if (outcome.ok(0) && outcome.ok(1)) both.push_back(&outcome);
    html += fmt::format(
        "<h2>How many times faster {} is than {}</h2><p>Ratio of the medians of iterations run in "
        "turn "
        "on both; in brackets the 95 % interval. To the right of 1: faster.</p>",
        Escape(peers[0]->label()), Escape(peers[1]->label()));
    html += RatioChart(both);
  }
  for (size_t peer = 0; peer < peers.size(); ++peer) {
    std::vector<const Outcome*> measured;
    for (const Outcome& outcome : outcomes)
      if (outcome.ok(peer)) measured.push_back(&outcome);
    html += fmt::format(
        "<h2>{}: time of one iteration</h2><p>The dot is the median, the line ends at the "
        "99th percentile.</p>",
        Escape(peers[peer]->label()));
    html += LatencyChart(measured, peer);
  }
  return html + "<h2>All figures</h2>" + Table(outcomes, peers) + "</html>\n";
}

}  // namespace kalam::bench
