// Times point reads, scans and staged writes on a real store, without the network and without SQL.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/memory_account.h"
#include "catalog/catalog.h"
#include "replication/group.h"
#include "storage/store.h"
#include "tables/scan_source.h"
#include "tables/table_reader.h"
#include "tables/table_writer.h"
#include "types/key_codec.h"

namespace kalam {
namespace {

constexpr int64_t kRows = 100'000;

catalog::TableDefinition Messages() {
  catalog::TableDefinition table;
  table.id = {1};
  table.namespace_id = "bench";
  table.name = "messages";
  const std::pair<const char*, TypeKind> columns[] = {
      {"id", TypeKind::kBigInt},   {"conversation", TypeKind::kBigInt},
      {"sender", TypeKind::kText}, {"text", TypeKind::kText},
      {"amount", TypeKind::kInt},  {"created_at", TypeKind::kTimestamp},
      {"_seq", TypeKind::kBigInt}, {"_deleted", TypeKind::kBoolean}};
  std::vector<catalog::ColumnDefinition> definitions;
  for (auto [name, kind] : columns) {
    catalog::ColumnDefinition& column = definitions.emplace_back();
    column.column_id = static_cast<uint32_t>(definitions.size());
    column.name = name;
    column.type = DataType::Of(kind);
    column.primary_key = definitions.size() == 1;
    column.nullable = definitions.size() > 1;
  }
  table.next_column_id = static_cast<uint32_t>(definitions.size()) + 1;
  table.layouts = std::make_shared<const std::vector<RowLayout>>(1, catalog::LayoutOf(definitions));
  table.columns =
      std::make_shared<const std::vector<catalog::ColumnDefinition>>(std::move(definitions));
  return table;
}

std::vector<Datum> Cells(int64_t id) {
  return {Datum::BigInt(id),
          Datum::BigInt(id % 100),
          Datum::Text("ann.smith@example.org"),
          Datum::Text("Shall we meet at the usual place at noon, or a little later?"),
          Datum::OfInt(TypeKind::kInt, id % 1000),
          Datum::OfInt(TypeKind::kTimestamp, 1'750'000'000'000'000 + id),
          Datum::Null(),
          Datum::Null()};
}

/// A store with kRows rows in a directory that goes with it.
class Database {
 public:
  Database() {
    std::string pattern = (std::filesystem::temp_directory_path() / "kalam_bench_XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    storage::StoreOptions store_options;
    store_options.path = directory_;
    store_ = storage::Store::Open(store_options).value();
    catalog_ = catalog::Catalog::Open(*store_, account_, 16).value();
    replication::StandaloneOptions options;
    options.durability = storage::Durability::kOs;
    group_ = replication::OpenStandaloneGroup(*store_, *catalog_, options).value();
    reader_ = std::make_unique<tables::TableReader>(*store_, SystemClock());
    auto command = std::make_shared<replication::Command>();
    command->records = catalog_->PutTable(Messages());
    failed_ = !replication::ProposeAndWait(*group_, std::move(command)).status.ok();
    table_ = catalog_->FindTable(TableId{1}).value();
    for (int64_t id = 0; id < kRows;) {
      tables::ReadScope scope = ScopeNow();
      tables::TableWriter writer(*reader_);
      for (int64_t i = 0; i < 1000; ++i, ++id) {
        failed_ |= !writer.Insert(scope, Cells(id)).ok();
      }
      failed_ |= !replication::ProposeAndWait(*group_, writer.Finish(scope.view.seq)).status.ok();
    }
  }
  ~Database() {
    group_.reset();
    catalog_.reset();
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  tables::ReadScope ScopeNow() const {
    return {table_, storage::Scope::Shared(), group_->TakeView(), nullptr};
  }
  tables::TableReader& reader() { return *reader_; }
  bool failed() const { return failed_; }

 private:
  std::string directory_;
  MemoryAccount account_{"bench", nullptr};
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<catalog::Catalog> catalog_;
  std::unique_ptr<replication::ReplicationGroup> group_;
  std::unique_ptr<tables::TableReader> reader_;
  catalog::TablePtr table_;
  bool failed_ = false;
};

Database& SharedDatabase() {
  static Database database;
  return database;
}

void PointReadAndDecode(benchmark::State& state) {
  Database& database = SharedDatabase();
  tables::RowDecoder decoder(database.ScopeNow().table);
  std::string key;
  int64_t id = 0;
  for (auto _ : state) {
    tables::ReadScope scope = database.ScopeNow();
    key.clear();
    EncodeKey(Datum::BigInt(id = (id * 31 + 17) % kRows), &key);
    auto row = database.reader().Get(scope, key, false);
    if (!row.ok() || !*row ||
        !decoder.Decode((*row)->schema_version, (*row)->row, (*row)->seq, false).ok()) {
      state.SkipWithError("cannot read");
      break;
    }
    benchmark::DoNotOptimize(decoder.cells().data());
  }
  if (database.failed()) state.SkipWithError("cannot write");
}
BENCHMARK(PointReadAndDecode);

/// One step is a scan of the whole table; `range(0)` columns are decoded.
void ScanAndDecode(benchmark::State& state) {
  Database& database = SharedDatabase();
  tables::ColumnSet columns = state.range(0) == 1 ? tables::ColumnSet{4} : tables::ColumnSet{};
  for (auto _ : state) {
    auto scan = database.reader().OpenScan(database.ScopeNow(), {});
    tables::RowDecoder decoder(database.ScopeNow().table, columns);
    int64_t sum = 0;
    while (*(*scan)->Next()) {
      if (!decoder.Decode((*scan)->schema_version(), (*scan)->row(), (*scan)->seq(), false).ok()) {
        state.SkipWithError("cannot decode");
      }
      sum += decoder.cells()[4].i;
    }
    benchmark::DoNotOptimize(sum);
  }
  state.SetItemsProcessed(state.iterations() * kRows);
}
BENCHMARK(ScanAndDecode)->Arg(1)->Arg(6)->Unit(benchmark::kMillisecond);

void SplitIntoParts(benchmark::State& state) {
  Database& database = SharedDatabase();
  for (auto _ : state) {
    auto source = tables::MakeTableSource(database.reader(), database.ScopeNow(), false);
    benchmark::DoNotOptimize(source->part_count());
  }
}
BENCHMARK(SplitIntoParts)->Unit(benchmark::kMicrosecond);

void StageInsert(benchmark::State& state) {
  Database& database = SharedDatabase();
  std::vector<Datum> cells = Cells(kRows + 1);
  for (auto _ : state) {
    tables::ReadScope scope = database.ScopeNow();
    tables::TableWriter writer(database.reader());
    if (!writer.Insert(scope, cells).ok()) state.SkipWithError("cannot stage");
    benchmark::DoNotOptimize(writer.Finish(scope.view.seq));
  }
}
BENCHMARK(StageInsert);

void StageDelete(benchmark::State& state) {
  Database& database = SharedDatabase();
  tables::ReadScope scope = database.ScopeNow();
  std::string key;
  EncodeKey(Datum::BigInt(5), &key);
  tables::StoredRow row = *database.reader().Get(scope, key, false).value();
  for (auto _ : state) {
    tables::TableWriter writer(database.reader());
    if (!writer.Delete(scope, row).ok()) state.SkipWithError("cannot stage");
    benchmark::DoNotOptimize(writer.Finish(scope.view.seq));
  }
}
BENCHMARK(StageDelete);

}  // namespace
}  // namespace kalam
