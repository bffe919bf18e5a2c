// Benchmarks of single SELECTs: by key, by filter, sorted, aggregated, joined, over cold rows.
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <thread>

#include "compare/benchmark.h"

namespace kalam::bench {
namespace {

constexpr int kLookupRows = 10'000;
constexpr int kJobWaitSeconds = 120;

struct Seed {
  std::string ddl, columns;
  int inserts, rows_each;
  std::function<std::string(int)> row;
};

Seed ScoreSeed() {
  return {"name TEXT, score DOUBLE, active BOOLEAN", "id, name, score, active", 4, 50, [](int id) {
            return fmt::format("({}, 'user_{}', {}.25, {})", id, id, (id * 37) % 1000,
                               id % 2 == 0 ? "true" : "false");
          }};
}

void Add(std::vector<Benchmark>* benchmarks, std::string name, std::string shape, const Seed& seed,
         std::function<Status(Peer&, const std::string& table, int)> run) {
  Benchmark benchmark;
  benchmark.name = name;
  benchmark.category = "read";
  benchmark.shape = std::move(shape);
  benchmark.set_up = [=](Peer& peer) {
    return SeedTable(peer, name, seed.ddl, seed.columns, seed.inserts, seed.rows_each, seed.row);
  };
  benchmark.run = [=](Peer& peer, int i) { return run(peer, peer.Table(name), i); };
  benchmark.tear_down = [=](Peer& peer) { return DropTable(peer, name); };
  benchmarks->push_back(std::move(benchmark));
}

Status Query(Peer& peer, const std::string& sql) { return peer.Sql(sql).status(); }

void AddAggregate(std::vector<Benchmark>* benchmarks) {
  const Seed seed{"region TEXT, product TEXT, quantity INT, price DOUBLE",
                  "id, region, product, quantity, price", 200, 50, [](int id) {
                    return fmt::format("({}, 'region_{}', 'product_{}', {}, {}.5)", id, id % 5,
                                       id / 5 % 5, id % 20 + 1, id % 97);
                  }};
  Add(benchmarks, "aggregate_query", "four grouped queries in turn over 10,000 rows", seed,
      [](Peer& peer, const std::string& t, int i) {
        switch (i % 4) {
          case 0:
            return Query(peer,
                         fmt::format("SELECT region, COUNT(*), SUM(quantity), AVG(price) FROM {} "
                                     "GROUP BY region ORDER BY region",
                                     t));
          case 1:
            return Query(peer,
                         fmt::format("SELECT product, region, SUM(quantity * price) AS total FROM "
                                     "{} GROUP BY product, region ORDER BY total DESC LIMIT 10",
                                     t));
          case 2:
            return Query(peer, fmt::format("SELECT region, MIN(price), MAX(price) FROM {} WHERE "
                                           "quantity > 10 GROUP BY region",
                                           t));
          default:
            return Query(peer,
                         fmt::format("SELECT product, COUNT(*) FROM {} GROUP BY product HAVING "
                                     "COUNT(*) > 1000",
                                     t));
        }
      });
}

void AddJoin(std::vector<Benchmark>* benchmarks) {
  Benchmark join;
  join.name = "multi_table_join";
  join.category = "read";
  join.shape = "a subquery and two joins in turn over 200 customers and 1,000 orders";
  join.set_up = [](Peer& peer) -> Status {
    KALAM_RETURN_IF_ERROR(SeedTable(
        peer, "customers", "name TEXT, tier TEXT", "id, name, tier", 4, 50,
        [](int id) { return fmt::format("({}, 'customer_{}', 'tier_{}')", id, id, id % 3); }));
    return SeedTable(
        peer, "orders", "customer_id INT, amount DOUBLE", "id, customer_id, amount", 20, 50,
        [](int id) { return fmt::format("({}, {}, {}.5)", id, id * 7 % 200, id % 500); });
  };
  join.run = [](Peer& peer, int i) {
    const std::string customers = peer.Table("customers"), orders = peer.Table("orders");
    switch (i % 3) {
      case 0:
        return Query(peer,
                     fmt::format("SELECT id, amount FROM {} WHERE customer_id IN (SELECT id FROM "
                                 "{} WHERE tier = 'tier_1') ORDER BY id LIMIT 50",
                                 orders, customers));
      case 1:
        return Query(peer, fmt::format("SELECT c.tier, SUM(o.amount) FROM {} o JOIN {} c ON "
                                       "o.customer_id = c.id GROUP BY c.tier ORDER BY c.tier",
                                       orders, customers));
      default:
        return Query(peer,
                     fmt::format("SELECT c.name, o.amount FROM {} o JOIN {} c ON o.customer_id = "
                                 "c.id WHERE o.amount > 250 ORDER BY o.amount DESC, o.id LIMIT 20",
                                 orders, customers));
    }
  };
  join.tear_down = [](Peer& peer) -> Status {
    KALAM_RETURN_IF_ERROR(DropTable(peer, "orders"));
    return DropTable(peer, "customers");
  };
  benchmarks->push_back(std::move(join));
}

Result<std::string> CountUnflushed(Peer& peer) {
  return peer.Cell(
      "SELECT COUNT(*) FROM system.jobs WHERE job_type = 'flush' AND status IN "
      "('failed','cancelled')");
}

/// Flushes and waits for every flush job to end; fails when one did not do what it was for, so that
/// the rows really are cold when the clock starts.
Status Flush(Peer& peer, const std::string& table) {
  KALAM_ASSIGN_OR_RETURN(const std::string before, CountUnflushed(peer));
  KALAM_RETURN_IF_ERROR(peer.Sql("STORAGE FLUSH TABLE " + table).status());
  for (int tenth = 0; tenth < kJobWaitSeconds * 10; ++tenth) {
    KALAM_ASSIGN_OR_RETURN(
        const std::string active,
        peer.Cell("SELECT COUNT(*) FROM system.jobs WHERE job_type = 'flush' AND status IN "
                  "('new','queued','running','retrying')"));
    if (active == "0") {
      KALAM_ASSIGN_OR_RETURN(const std::string after, CountUnflushed(peer));
      if (after == before) return {};
      return Status(ErrorKind::Execution, "a flush job failed: the rows are not cold");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return Status(ErrorKind::Timeout, "a flush job did not end");
}

void AddFlushed(std::vector<Benchmark>* benchmarks) {
  Benchmark flushed;
  flushed.name = "flushed_parquet_query";
  flushed.category = "cold";
  flushed.shape = "five queries in turn over 200,000 rows in 20 flushed batches";
  flushed.set_up = [](Peer& peer) -> Status {
    KALAM_RETURN_IF_ERROR(SeedTable(peer, "flushed", "category TEXT, amount DOUBLE, note TEXT",
                                    "id, category, amount, note", 0, 0, {}));
    const std::string table = peer.Table("flushed");
    for (int flush = 0; flush < 20; ++flush) {
      for (int insert = 0; insert < 20; ++insert) {
        const int first = flush * 10'000 + insert * 500;
        KALAM_RETURN_IF_ERROR(peer.Sql(InsertRows(table, "id, category, amount, note", first, 500,
                                                  [](int id) {
                                                    return fmt::format(
                                                        "({}, 'cat_{}', {}.5, 'note_{}')", id,
                                                        id % 100, id * 13 % 10'000, id);
                                                  }))
                                  .status());
      }
      KALAM_RETURN_IF_ERROR(Flush(peer, table));
    }
    return {};
  };
  flushed.run = [](Peer& peer, int i) -> Status {
    const std::string t = peer.Table("flushed");
    switch (i % 5) {
      case 0: {
        KALAM_ASSIGN_OR_RETURN(const std::string count, peer.Cell("SELECT COUNT(*) FROM " + t));
        if (count != "200000") return Status(ErrorKind::Execution, "counted " + count + " rows");
        return {};
      }
      case 1:
        return Query(peer, fmt::format("SELECT * FROM {} WHERE category = 'cat_42' LIMIT 50", t));
      case 2:
        return Query(peer,
                     fmt::format("SELECT category, SUM(amount) AS total FROM {} GROUP BY category "
                                 "ORDER BY total DESC LIMIT 10",
                                 t));
      case 3:
        return Query(peer, fmt::format("SELECT * FROM {} WHERE id = 99999", t));
      default:
        return Query(peer,
                     fmt::format("SELECT * FROM {} WHERE amount > 5000 ORDER BY amount DESC LIMIT "
                                 "100",
                                 t));
    }
  };
  flushed.tear_down = [](Peer& peer) { return DropTable(peer, "flushed"); };
  benchmarks->push_back(std::move(flushed));
}

}  // namespace

void AddQueryBenchmarks(std::vector<Benchmark>* benchmarks) {
  // The original cuts every SELECT without a LIMIT at 50 rows: where it would, both are asked
  // for 50.
  Add(benchmarks, "select_all", "SELECT * LIMIT 50 of 200 rows", ScoreSeed(),
      [](Peer& peer, const std::string& t, int) {
        return Query(peer, "SELECT * FROM " + t + " LIMIT 50");
      });
  Add(benchmarks, "select_by_filter", "SELECT by key of 200 rows", ScoreSeed(),
      [](Peer& peer, const std::string& t, int i) {
        return Query(peer, fmt::format("SELECT * FROM {} WHERE id = {}", t, i % 200));
      });
  Add(benchmarks, "select_count", "SELECT COUNT(*) of 200 rows", ScoreSeed(),
      [](Peer& peer, const std::string& t, int) {
        return Query(peer, "SELECT COUNT(*) FROM " + t);
      });
  Add(benchmarks, "select_order_by_limit", "ORDER BY score DESC LIMIT 10 of 200 rows", ScoreSeed(),
      [](Peer& peer, const std::string& t, int) {
        return Query(peer, "SELECT * FROM " + t + " ORDER BY score DESC LIMIT 10");
      });
  const Seed lookup{"name TEXT, value INT", "id, name, value", 200, 50,
                    [](int id) { return fmt::format("({}, 'name_{}', {})", id, id, id * 3); }};
  Add(benchmarks, "point_lookup", "SELECT by key of 10,000 rows; the value is checked", lookup,
      [](Peer& peer, const std::string& t, int i) -> Status {
        const int id = static_cast<int>(int64_t{i} * 997 % kLookupRows);
        KALAM_ASSIGN_OR_RETURN(const std::string value,
                               peer.Cell(fmt::format("SELECT value FROM {} WHERE id = {}", t, id)));
        if (value != std::to_string(id * 3)) return Status(ErrorKind::Execution, "wrong: " + value);
        return {};
      });
  AddAggregate(benchmarks);
  AddJoin(benchmarks);
  AddFlushed(benchmarks);
}

}  // namespace kalam::bench
