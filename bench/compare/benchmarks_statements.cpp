// Benchmarks of single statements: definition, insert, update, delete, transaction.
#include <fmt/format.h>

#include "compare/benchmark.h"

namespace kalam::bench {
namespace {

std::string NameValue(int id) { return fmt::format("({}, 'name_{}', {}.5)", id, id, id % 1000); }
std::string NameScoreActive(int id) {
  return fmt::format("({}, 'user_{}', {}.25, {})", id, id, (id * 37) % 1000,
                     id % 2 == 0 ? "true" : "false");
}
constexpr char kNameValueDdl[] = "name TEXT, value DOUBLE";
constexpr char kNameValue[] = "id, name, value";
constexpr char kScoreDdl[] = "name TEXT, score DOUBLE, active BOOLEAN";
constexpr char kScore[] = "id, name, score, active";

Benchmark OverTable(std::string name, std::string category, std::string shape, std::string ddl,
                    std::string columns, int inserts, int rows_each,
                    std::function<std::string(int)> row,
                    std::function<Status(Peer&, const std::string& table, int)> run) {
  Benchmark benchmark;
  benchmark.name = name;
  benchmark.category = std::move(category);
  benchmark.shape = std::move(shape);
  benchmark.set_up = [=](Peer& peer) {
    return SeedTable(peer, name, ddl, columns, inserts, rows_each, row);
  };
  benchmark.run = [=](Peer& peer, int i) { return run(peer, peer.Table(name), i); };
  benchmark.tear_down = [=](Peer& peer) { return DropTable(peer, name); };
  return benchmark;
}

void AddDefinitions(std::vector<Benchmark>* benchmarks) {
  Benchmark create;
  create.name = "create_table";
  create.category = "definition";
  create.shape = "CREATE TABLE of 3 columns";
  create.run = [](Peer& peer, int i) {
    return peer
        .Sql(fmt::format("CREATE TABLE {} (id INT PRIMARY KEY, name TEXT, value DOUBLE)",
                         peer.Table(fmt::format("created_{}", i))))
        .status();
  };
  create.tear_down = [](Peer& peer) -> Status {
    for (int i = 0; i < 100; ++i)
      KALAM_RETURN_IF_ERROR(DropTable(peer, fmt::format("created_{}", i)));
    for (int i = 0; i < 5; ++i)
      KALAM_RETURN_IF_ERROR(DropTable(peer, fmt::format("created_{}", kFirstWarmUp + i)));
    return {};
  };
  benchmarks->push_back(std::move(create));

  const auto dropped = [](int i) { return fmt::format("dropped_{}", i); };
  Benchmark drop;
  drop.name = "drop_table";
  drop.category = "definition";
  drop.shape = "DROP TABLE";
  drop.set_up = [dropped](Peer& peer) -> Status {
    for (int i = 0; i < 105; ++i) {
      const int number = i < 100 ? i : kFirstWarmUp + i - 100;
      KALAM_RETURN_IF_ERROR(peer.Sql(fmt::format("CREATE TABLE {} (id INT PRIMARY KEY, name TEXT)",
                                                 peer.Table(dropped(number))))
                                .status());
    }
    return {};
  };
  drop.run = [dropped](Peer& peer, int i) {
    return peer.Sql("DROP TABLE " + peer.Table(dropped(i))).status();
  };
  benchmarks->push_back(std::move(drop));

  benchmarks->push_back(OverTable(
      "alter_table", "definition", "ADD COLUMN, SELECT it LIMIT 1, DROP COLUMN; 100 rows",
      kNameValueDdl, kNameValue, 2, 50, NameValue,
      [](Peer& peer, const std::string& table, int i) -> Status {
        const std::string column = fmt::format("extra_{}", i);
        KALAM_RETURN_IF_ERROR(
            peer.Sql(fmt::format("ALTER TABLE {} ADD COLUMN {} TEXT", table, column)).status());
        KALAM_RETURN_IF_ERROR(
            peer.Sql(fmt::format("SELECT {} FROM {} LIMIT 1", column, table)).status());
        return peer.Sql(fmt::format("ALTER TABLE {} DROP COLUMN {}", table, column)).status();
      }));
}

void AddInserts(std::vector<Benchmark>* benchmarks) {
  benchmarks->push_back(
      OverTable("single_insert", "write", "INSERT of one row", kScoreDdl, kScore, 0, 0,
                NameScoreActive, [](Peer& peer, const std::string& table, int i) {
                  return peer.Sql(InsertRows(table, kScore, i, 1, NameScoreActive)).status();
                }));
  benchmarks->push_back(
      OverTable("bulk_insert", "write", "one INSERT of 50 rows", kNameValueDdl, kNameValue, 0, 0,
                NameValue, [](Peer& peer, const std::string& table, int i) {
                  return peer.Sql(InsertRows(table, kNameValue, i * 50, 50, NameValue)).status();
                }));
  benchmarks->push_back(OverTable(
      "transaction_multi_insert", "write", "BEGIN; 50 INSERTs; COMMIT in one request",
      kNameValueDdl, kNameValue, 0, 0, NameValue, [](Peer& peer, const std::string& table, int i) {
        std::string request = "BEGIN;";
        for (int row = 0; row < 50; ++row)
          request += InsertRows(table, kNameValue, i * 50 + row, 1, NameValue) + ";";
        return peer.Sql(request + "COMMIT;").status();
      }));
  const auto large = [](int id) {
    return fmt::format("({}, '{}', '{}')", id, std::string(4000, 'x'), std::string(512, 'y'));
  };
  benchmarks->push_back(OverTable(
      "large_payload_insert", "write", "one INSERT of 10 rows with texts of 4,000 and 512 bytes",
      "body TEXT, note TEXT", "id, body, note", 0, 0, large,
      [large](Peer& peer, const std::string& table, int i) {
        return peer.Sql(InsertRows(table, "id, body, note", i * 10, 10, large)).status();
      }));
  std::string wide_ddl, wide_columns = "id";
  for (int c = 0; c < 19; ++c) {
    wide_ddl += fmt::format("{}c{} {}", c == 0 ? "" : ", ", c, c % 3 == 0 ? "INT" : "TEXT");
    wide_columns += fmt::format(", c{}", c);
  }
  const auto wide = [](int id) {
    std::string row = fmt::format("({}", id);
    for (int c = 0; c < 19; ++c)
      row += c % 3 == 0 ? fmt::format(", {}", id + c) : fmt::format(", 'value_{}_{}'", id, c);
    return row + ")";
  };
  benchmarks->push_back(OverTable(
      "wide_column_insert", "write", "one INSERT of 10 rows of 20 columns", wide_ddl, wide_columns,
      0, 0, wide, [wide, wide_columns](Peer& peer, const std::string& table, int i) {
        return peer.Sql(InsertRows(table, wide_columns, i * 10, 10, wide)).status();
      }));
}

void AddChanges(std::vector<Benchmark>* benchmarks) {
  benchmarks->push_back(OverTable(
      "single_update", "write", "UPDATE one row by key of 200", kScoreDdl, kScore, 4, 50,
      NameScoreActive, [](Peer& peer, const std::string& table, int i) {
        return peer.Sql(fmt::format("UPDATE {} SET score = {}.75 WHERE id = {}", table, i, i % 200))
            .status();
      }));
  benchmarks->push_back(
      OverTable("single_delete", "write", "DELETE one row by key of 500", kScoreDdl, kScore, 10, 50,
                NameScoreActive, [](Peer& peer, const std::string& table, int i) {
                  return peer.Sql(fmt::format("DELETE FROM {} WHERE id = {}", table, i)).status();
                }));
  const auto bucket = [](int id) {
    return fmt::format("({}, {}, 'name_{}')", id, id / 100 % 250, id);
  };
  benchmarks->push_back(OverTable(
      "bulk_delete", "write", "DELETE of 100 rows of 25,000 by a column that is not the key",
      "bucket INT, name TEXT", "id, bucket, name", 500, 50, bucket,
      [](Peer& peer, const std::string& table, int i) {
        return peer
            .Sql(fmt::format("DELETE FROM {} WHERE bucket = {}", table,
                             i < kFirstWarmUp ? i : 200 + i - kFirstWarmUp))
            .status();
      }));
  benchmarks->push_back(OverTable(
      "sequential_crud", "write", "INSERT, UPDATE, SELECT, DELETE of one key, four requests",
      kNameValueDdl, kNameValue, 0, 0, NameValue,
      [](Peer& peer, const std::string& table, int i) -> Status {
        KALAM_RETURN_IF_ERROR(peer.Sql(InsertRows(table, kNameValue, i, 1, NameValue)).status());
        KALAM_RETURN_IF_ERROR(
            peer.Sql(fmt::format("UPDATE {} SET value = 2.5 WHERE id = {}", table, i)).status());
        KALAM_RETURN_IF_ERROR(
            peer.Sql(fmt::format("SELECT * FROM {} WHERE id = {}", table, i)).status());
        return peer.Sql(fmt::format("DELETE FROM {} WHERE id = {}", table, i)).status();
      }));
}

void AddUsers(std::vector<Benchmark>* benchmarks) {
  const auto user = [](Peer& peer, int i) {
    return fmt::format("{}_u{}", peer.Table("").substr(0, peer.Table("").size() - 1), i);
  };
  Benchmark create;
  create.name = "create_user";
  create.category = "users";
  create.shape = "CREATE USER with a password";
  create.iterations = 20;
  create.run = [user](Peer& peer, int i) {
    return peer
        .Sql(fmt::format("CREATE USER '{}' WITH PASSWORD 'Benchmark-{}x' ROLE user", user(peer, i),
                         i))
        .status();
  };
  benchmarks->push_back(std::move(create));
  Benchmark drop;
  drop.name = "drop_user";
  drop.category = "users";
  drop.shape = "DROP USER IF EXISTS";
  drop.iterations = 20;
  drop.run = [user](Peer& peer, int i) {
    return peer.Sql(fmt::format("DROP USER IF EXISTS '{}'", user(peer, i))).status();
  };
  benchmarks->push_back(std::move(drop));
}

}  // namespace

std::string MessageRow(int id) { return fmt::format("({}, 'message {}')", id, id); }

std::string InsertRows(const std::string& table, const std::string& columns, int first, int count,
                       const std::function<std::string(int id)>& row) {
  std::string sql = "INSERT INTO " + table + " (" + columns + ") VALUES ";
  for (int i = 0; i < count; ++i) {
    if (i > 0) sql += ", ";
    sql += row(first + i);
  }
  return sql;
}

Status DropTable(Peer& peer, const std::string& name) {
  return peer.Sql("DROP TABLE IF EXISTS " + peer.Table(name)).status();
}

Status SeedTable(Peer& peer, const std::string& name, const std::string& columns_ddl,
                 const std::string& columns, int inserts, int rows_each,
                 const std::function<std::string(int id)>& row) {
  KALAM_RETURN_IF_ERROR(DropTable(peer, name));
  const std::string table = peer.Table(name);
  KALAM_RETURN_IF_ERROR(
      peer.Sql(fmt::format("CREATE TABLE {} (id INT PRIMARY KEY, {})", table, columns_ddl))
          .status());
  for (int i = 0; i < inserts; ++i) {
    KALAM_RETURN_IF_ERROR(
        peer.Sql(InsertRows(table, columns, i * rows_each, rows_each, row)).status());
  }
  return {};
}

void AddStatementBenchmarks(std::vector<Benchmark>* benchmarks) {
  AddDefinitions(benchmarks);
  AddInserts(benchmarks);
  AddChanges(benchmarks);
  AddUsers(benchmarks);
}

}  // namespace kalam::bench
