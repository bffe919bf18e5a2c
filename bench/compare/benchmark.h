// What a benchmark of the comparison is: a name, what one iteration does, and how it is prepared.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "compare/peer.h"

namespace kalam::bench {

/// The names are those of the original's own harness, so that figures can be laid side by side.
struct Benchmark {
  std::string name;
  std::string category;
  /// One iteration in words, for the reports.
  std::string shape;
  int iterations = 100;
  /// Only run when it is named or `--long` is given.
  bool opt_in = false;
  std::function<Status(Peer&)> set_up;  // may be empty
  /// Timed. Warm-ups have numbers from kFirstWarmUp on.
  std::function<Status(Peer&, int iteration)> run;
  /// Instead of `run`, where only a part of an iteration counts: returns that part in microseconds.
  std::function<Result<double>(Peer&, int iteration)> measure;
  std::function<Status(Peer&)> tear_down;  // may be empty; also called after a failure
};
inline constexpr int kFirstWarmUp = 10'000;

void AddStatementBenchmarks(std::vector<Benchmark>* benchmarks);
void AddQueryBenchmarks(std::vector<Benchmark>* benchmarks);
void AddParallelBenchmarks(std::vector<Benchmark>* benchmarks);
void AddLiveBenchmarks(std::vector<Benchmark>* benchmarks);
void AddScaleBenchmarks(std::vector<Benchmark>* benchmarks);
void AddLoadBenchmarks(std::vector<Benchmark>* benchmarks);
void AddChatBenchmark(std::vector<Benchmark>* benchmarks);

/// `INSERT INTO table (columns) VALUES row(first), row(first + 1), ...`.
std::string InsertRows(const std::string& table, const std::string& columns, int first, int count,
                       const std::function<std::string(int id)>& row);
/// A row for InsertRows of a table with the columns `id, body`.
std::string MessageRow(int id);
/// Runs a set-up that drops and creates a SHARED table, then `inserts` statements of `rows_each`
/// rows.
Status SeedTable(Peer& peer, const std::string& name, const std::string& columns_ddl,
                 const std::string& columns, int inserts, int rows_each,
                 const std::function<std::string(int id)>& row);
/// DROP TABLE IF EXISTS.
Status DropTable(Peer& peer, const std::string& name);

}  // namespace kalam::bench
