// Benchmarks of requests that run at the same time.
#include <fmt/format.h>

#include <thread>

#include "compare/benchmark.h"

namespace kalam::bench {
namespace {

constexpr int kLanes = 10;

std::string NameValue(int id) { return fmt::format("({}, 'name_{}', {}.5)", id, id, id % 1000); }
constexpr char kDdl[] = "name TEXT, value DOUBLE";
constexpr char kColumns[] = "id, name, value";

void Add(std::vector<Benchmark>* benchmarks, std::string name, std::string shape, int inserts,
         std::function<std::string(const std::string& table, int iteration, int lane)> statement) {
  Benchmark benchmark;
  benchmark.name = name;
  benchmark.category = "parallel";
  benchmark.shape = std::move(shape);
  benchmark.set_up = [=](Peer& peer) {
    return SeedTable(peer, name, kDdl, kColumns, inserts, 50, NameValue);
  };
  benchmark.run = [=](Peer& peer, int i) {
    std::vector<std::string> statements;
    for (int lane = 0; lane < kLanes; ++lane)
      statements.push_back(statement(peer.Table(name), i, lane));
    return peer.Parallel(statements);
  };
  benchmark.tear_down = [=](Peer& peer) { return DropTable(peer, name); };
  benchmarks->push_back(std::move(benchmark));
}

std::string InsertOne(const std::string& table, int id) {
  return InsertRows(table, kColumns, id, 1, NameValue);
}

void AddIsolation(std::vector<Benchmark>* benchmarks) {
  Benchmark isolation;
  isolation.name = "namespace_isolation";
  isolation.category = "parallel";
  isolation.shape = "10 at once: in each of 5 tables a filtered SELECT and a COUNT; 200 rows each";
  isolation.set_up = [](Peer& peer) -> Status {
    for (int n = 0; n < 5; ++n) {
      KALAM_RETURN_IF_ERROR(
          SeedTable(peer, fmt::format("isolated_{}", n), kDdl, kColumns, 4, 50, NameValue));
    }
    return {};
  };
  isolation.run = [](Peer& peer, int) {
    std::vector<std::string> statements;
    for (int n = 0; n < 5; ++n) {
      const std::string table = peer.Table(fmt::format("isolated_{}", n));
      statements.push_back(fmt::format("SELECT * FROM {} WHERE value > 100 LIMIT 50", table));
      statements.push_back(fmt::format("SELECT COUNT(*) FROM {}", table));
    }
    return peer.Parallel(statements);
  };
  isolation.tear_down = [](Peer& peer) -> Status {
    for (int n = 0; n < 5; ++n)
      KALAM_RETURN_IF_ERROR(DropTable(peer, fmt::format("isolated_{}", n)));
    return {};
  };
  benchmarks->push_back(std::move(isolation));
}

void AddThousand(std::vector<Benchmark>* benchmarks) {
  Benchmark thousand;
  thousand.name = "sql_1k_concurrent";
  thousand.category = "load";
  thousand.shape = "1,000 SELECTs of four kinds over 128 connections; none may fail";
  thousand.iterations = 10;
  thousand.set_up = [](Peer& peer) {
    return SeedTable(peer, "thousand", kDdl, kColumns, 10, 50, NameValue);
  };
  thousand.run = [](Peer& peer, int) -> Status {
    const std::string t = peer.Table("thousand");
    std::vector<std::string> statements;
    for (int i = 0; i < 1000; ++i) {
      switch (i % 4) {
        case 0:
          statements.push_back(fmt::format("SELECT * FROM {} WHERE id = {}", t, i % 500));
          break;
        case 1:
          statements.push_back(fmt::format("SELECT COUNT(*) FROM {}", t));
          break;
        case 2:
          statements.push_back(
              fmt::format("SELECT * FROM {} WHERE value > {} ORDER BY value LIMIT 10", t, i % 400));
          break;
        default:
          statements.push_back(fmt::format("SELECT id, name FROM {} LIMIT 20", t));
      }
    }
    KALAM_ASSIGN_OR_RETURN(const int failures, peer.Pipeline(statements, 128));
    if (failures > 0) return Status(ErrorKind::Execution, fmt::format("{} failed", failures));
    return {};
  };
  thousand.tear_down = [](Peer& peer) { return DropTable(peer, "thousand"); };
  benchmarks->push_back(std::move(thousand));
}

void AddStorm(std::vector<Benchmark>* benchmarks) {
  Benchmark storm;
  storm.name = "connection_storm";
  storm.category = "load";
  storm.shape = "10 fresh logins at once with a password, one SELECT each";
  storm.iterations = 5;
  storm.run = [](Peer& peer, int) -> Status {
    if (!peer.can_log_in()) return Status(ErrorKind::NotAvailable, "needs a password");
    std::vector<Status> results(kLanes);
    {
      std::vector<std::jthread> threads;
      for (int lane = 0; lane < kLanes; ++lane) {
        threads.emplace_back([&peer, &results, lane] {
          results[static_cast<size_t>(lane)] = peer.LoginAndQuery("SELECT 1");
        });
      }
    }
    for (Status& result : results) KALAM_RETURN_IF_ERROR(std::move(result));
    return {};
  };
  benchmarks->push_back(std::move(storm));
}

}  // namespace

void AddParallelBenchmarks(std::vector<Benchmark>* benchmarks) {
  Add(benchmarks, "concurrent_insert", "10 INSERTs of one row at once", 0,
      [](const std::string& t, int i, int lane) { return InsertOne(t, i * kLanes + lane); });
  Add(benchmarks, "concurrent_select", "10 SELECTs by key at once", 4,
      [](const std::string& t, int i, int lane) {
        return fmt::format("SELECT * FROM {} WHERE id = {}", t, (i * kLanes + lane) % 200);
      });
  Add(benchmarks, "concurrent_update", "10 UPDATEs by key at once", 2,
      [](const std::string& t, int i, int lane) {
        return fmt::format("UPDATE {} SET value = {}.5 WHERE id = {}", t, i, lane);
      });
  Add(benchmarks, "concurrent_mixed_dml", "10 at once: INSERT, UPDATE and SELECT in turn", 10,
      [](const std::string& t, int i, int lane) {
        const int id = 100'000 + i * kLanes + lane;
        if (lane % 3 == 0) return InsertOne(t, id);
        if (lane % 3 == 1)
          return fmt::format("UPDATE {} SET value = {}.5 WHERE id = {}", t, i, lane * 10);
        return fmt::format("SELECT * FROM {} WHERE id >= 100000 LIMIT 10", t);
      });
  Add(benchmarks, "mixed_read_write", "5 INSERTs and 5 SELECTs at once", 4,
      [](const std::string& t, int i, int lane) {
        if (lane < 5) return InsertOne(t, 1000 + i * 5 + lane);
        if (lane < 7) return fmt::format("SELECT * FROM {} WHERE id < 50", t);
        if (lane < 9) return fmt::format("SELECT COUNT(*) FROM {}", t);
        return fmt::format("SELECT * FROM {} ORDER BY id DESC LIMIT 20", t);
      });
  Add(benchmarks, "wide_fanout_query", "10 SELECTs of up to 50 of 1,000 rows at once", 20,
      [](const std::string& t, int, int lane) {
        if (lane % 3 == 0) return fmt::format("SELECT * FROM {} LIMIT 50", t);
        if (lane % 3 == 1)
          return fmt::format("SELECT * FROM {} WHERE value > 100 ORDER BY value DESC LIMIT 50", t);
        return fmt::format("SELECT * FROM {} WHERE id > 200 LIMIT 50", t);
      });
  AddIsolation(benchmarks);
  AddThousand(benchmarks);
  AddStorm(benchmarks);
}

}  // namespace kalam::bench
