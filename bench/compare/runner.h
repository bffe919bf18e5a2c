// Runs benchmarks on one server or on two side by side, iteration by iteration in turn.
#pragma once

#include <string>
#include <vector>

#include "compare/benchmark.h"
#include "compare/statistics.h"

namespace kalam::bench {

struct Outcome {
  std::string name, category, shape;
  /// One a peer, in the order of the peers; microseconds by iteration.
  std::vector<std::vector<double>> microseconds;
  /// One a peer: empty, or why there is no figure.
  std::vector<std::string> errors;
  /// One list a peer: what its benchmark noted.
  std::vector<std::vector<std::string>> notes;
  bool ok(size_t peer) const { return errors[peer].empty(); }
};

/// Five warm-ups and `iterations` timed ones on every peer, alternating; who begins changes with
/// each iteration. A peer that fails is left out of the rest of that benchmark. Shows a progress
/// line on a terminal.
Outcome RunBenchmark(const Benchmark& benchmark, std::vector<std::unique_ptr<Peer>>& peers);

void PrintOutcomeHeader(const std::vector<std::unique_ptr<Peer>>& peers);
void PrintOutcome(const Outcome& outcome, const std::vector<std::unique_ptr<Peer>>& peers);
std::string OutcomesJson(const std::vector<Outcome>& outcomes,
                         const std::vector<std::unique_ptr<Peer>>& peers);

}  // namespace kalam::bench
