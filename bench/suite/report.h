// The table that the benchmark prints: figure, target, pass or fail; and the same as JSON.
#pragma once

#include <string>
#include <vector>

namespace kalam::bench {

/// The median; 0 for none.
double Median(std::vector<double> values);
/// The p-th percentile (0..100) by linear interpolation.
double Percentile(std::vector<double> values, double p);

/// One line: `figure` must be at most (or, with `at_least`, at least) `target`. `note` tells what
/// it was made of.
struct ReportLine {
  std::string name;
  std::string unit;
  double figure = 0;
  double target = 0;
  bool at_least = false;
  std::string note;
  bool pass() const { return at_least ? figure >= target : figure <= target; }
};

class Report {
 public:
  /// Prints the line at once, so that a long run shows where it is.
  void Add(ReportLine line);
  void PrintHeader() const;
  /// Prints the closing line; true when every line passed.
  bool PrintSummary() const;
  std::string Json() const;

 private:
  std::vector<ReportLine> lines_;
};

}  // namespace kalam::bench
