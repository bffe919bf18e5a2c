// Rows of every type that the engine writes into a segment come back from it to the byte.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <random>

#include "analytics/engine.h"
#include "analytics/test_sources.h"
#include "objects/file_storage.h"
#include "segments/segment_builder.h"
#include "segments/segment_rebuild.h"
#include "segments/segment_store.h"
#include "types/key_codec.h"

namespace kalam {
namespace {

using segments::SegmentKey;
using segments::SegmentPlace;
using storage::Scope;
using Kind = TypeKind;

struct StoredRow {
  Scope scope;
  std::string encoded_pk;
  std::vector<Value> cells;  // of the user columns
  int64_t seq = 0;
  bool deleted = false;
};

const std::vector<std::pair<std::string, DataType>> kUserColumns{
    {"id", DataType::Of(Kind::kText)},          {"flag", DataType::Of(Kind::kBoolean)},
    {"small", DataType::Of(Kind::kSmallInt)},   {"number", DataType::Of(Kind::kInt)},
    {"big", DataType::Of(Kind::kBigInt)},       {"ratio", DataType::Of(Kind::kFloat)},
    {"precise", DataType::Of(Kind::kDouble)},   {"text", DataType::Of(Kind::kText)},
    {"json", DataType::Of(Kind::kJson)},        {"file", DataType::Of(Kind::kFile)},
    {"bytes", DataType::Of(Kind::kBytes)},      {"uuid", DataType::Of(Kind::kUuid)},
    {"money4", DataType::Decimal(4, 2)},        {"money9", DataType::Decimal(9, 0)},
    {"money18", DataType::Decimal(18, 6)},      {"money38", DataType::Decimal(38, 10)},
    {"moment", DataType::Of(Kind::kTimestamp)}, {"instant", DataType::Of(Kind::kDateTime)},
    {"day", DataType::Of(Kind::kDate)},         {"hour", DataType::Of(Kind::kTime)},
    {"vector", DataType::Embedding(5)}};

class EngineFilesTest : public testing::Test {
 protected:
  EngineFilesTest() {
    char pattern[] = "/tmp/kalam-cold-XXXXXX";
    directory_ = mkdtemp(pattern);
    storage::StoreOptions store_options;
    store_options.path = directory_ + "/store";
    store_ = std::move(storage::Store::Open(store_options)).value();
    objects::StorageSettings settings;
    settings.base_directory = directory_ + "/objects";
    storage_ = std::move(objects::OpenFileStorage(settings, objects::BaseFolder::kCreate)).value();
    auto opened = segments::OpenSegmentStore(
        *store_,
        [this](const std::string&) -> Result<std::shared_ptr<objects::ObjectStorage>> {
          return storage_;
        },
        {});
    segments_ = std::move(opened).value();
    analytics::EngineOptions engine_options;
    engine_options.plugin_directory = KALAM_PLUGIN_DIRECTORY;
    engine_ = analytics::MakeEngine(engine_options);
    MakeTable();
  }
  ~EngineFilesTest() override {
    engine_.reset();
    segments_.reset();
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  void MakeTable() {
    auto table = std::make_shared<catalog::TableDefinition>();
    table->id = TableId{12};
    table->namespace_id = "app";
    table->name = "everything";
    table->type = catalog::TableType::kUser;
    std::vector<catalog::ColumnDefinition> columns;
    for (const auto& [name, type] : kUserColumns) {
      columns.push_back({.column_id = static_cast<uint32_t>(columns.size() + 1),
                         .name = name,
                         .type = type,
                         .primary_key = columns.empty()});
    }
    table->layouts = std::make_shared<const std::vector<RowLayout>>(1, catalog::LayoutOf(columns));
    table->columns =
        std::make_shared<const std::vector<catalog::ColumnDefinition>>(std::move(columns));
    table_ = table;
  }

  /// Writes the rows (sorted here) by the engine and commits the segment.
  void WriteSegment(const SegmentPlace& place, std::vector<StoredRow>* rows) {
    std::sort(rows->begin(), rows->end(), [](const StoredRow& a, const StoredRow& b) {
      return SegmentKey(a.scope, a.encoded_pk) < SegmentKey(b.scope, b.encoded_pk);
    });
    ResultSchema schema;
    analytics::ParquetFile file;
    for (const auto& [name, type] : kUserColumns) {
      schema.push_back(analytics::Column(name, type));
      file.field_ids.push_back(static_cast<int32_t>(schema.size()));
    }
    schema.push_back(analytics::Column("_seq", DataType::Of(Kind::kBigInt)));
    schema.push_back(analytics::Column("_deleted", DataType::Of(Kind::kBoolean)));
    file.field_ids.push_back(segments::kSeqFieldId);
    file.field_ids.push_back(segments::kDeletedFieldId);
    if (place.many) {
      schema.push_back(
          analytics::Column(std::string(segments::kUserColumn), DataType::Of(Kind::kText)));
      file.field_ids.push_back(segments::kUserFieldId);
    }
    std::vector<std::vector<Value>> cells;
    segments::SegmentBuilder builder({table_, place, kGroupRows});
    for (const StoredRow& row : *rows) {
      cells.push_back(row.cells);
      cells.back().push_back(Value::BigInt(row.seq));
      cells.back().push_back(Value::Boolean(row.deleted));
      if (place.many) cells.back().push_back(Value::Text(row.scope.user_id()));
      ASSERT_TRUE(builder.Add(row.scope, row.encoded_pk, Seq{row.seq}, row.deleted).ok());
    }
    file.source = analytics::SourceOfRows(std::move(schema), std::move(cells));
    file.local_path = directory_ + "/new.parquet";
    file.row_group_rows = kGroupRows;
    file.metadata = {{std::string(segments::kTableIdMetadata), "12"},
                     {std::string(segments::kSchemaVersionMetadata), "1"}};
    auto written = engine_->WriteParquet(file);
    ASSERT_TRUE(written.ok()) << written.status().ToString();
    auto built = builder.Finish(file.local_path);
    ASSERT_TRUE(built.ok()) << built.status().ToString();
    EXPECT_EQ(built->record.size_bytes, written->size_bytes);
    auto change = segments::SegmentChange::Begin(*store_, table_->id);
    ASSERT_TRUE(change.ok());
    auto path = change->NextPath(place, "local", "app/everything/cold");
    ASSERT_TRUE(path.ok());
    ASSERT_TRUE(storage_->PutFile(file.local_path, *path).ok());
    change->Add(std::move(*built), false, 1);
    records_.push_back(change->added().front());
    segments_->NoteTable(table_->id);
    storage::WriteBatch batch;
    for (const catalog::RecordWrite& write : change->Take()) {
      batch.Put(write.family, write.key, *write.value);
    }
    ASSERT_TRUE(store_->Write(std::move(batch), storage::Durability::kOs).ok());
  }

  std::string Encoded(const StoredRow& row) const {
    std::vector<Datum> cells;
    for (const Value& value : row.cells) cells.push_back(value.datum());
    std::string bytes;
    EncodeRow(table_->layout(), cells, &bytes);
    return bytes;
  }

  void ExpectRows(const std::vector<StoredRow>& rows) {
    std::map<std::string, std::vector<const StoredRow*>> by_user;
    for (const StoredRow& row : rows) by_user[row.scope.user_id()].push_back(&row);
    for (const auto& [user, expected] : by_user) {
      auto scan = segments_->OpenKeyScan(table_, Scope::OfUser(user), {}, nullptr);
      ASSERT_TRUE(scan.ok());
      for (const StoredRow* row : expected) {
        auto more = (*scan)->Next();
        ASSERT_TRUE(more.ok()) << more.status().ToString();
        ASSERT_TRUE(*more);
        ASSERT_EQ((*scan)->encoded_pk(), row->encoded_pk);
        ASSERT_EQ((*scan)->seq().value, row->seq);
        ASSERT_EQ((*scan)->deleted(), row->deleted);
        if ((*scan)->row() != Encoded(*row)) FailOnCell(*row, (*scan)->row());
      }
      EXPECT_FALSE(*(*scan)->Next());
    }
    for (size_t i = 0; i < rows.size(); i += 97) {
      auto found = segments_->Get(table_, rows[i].scope, rows[i].encoded_pk, nullptr);
      ASSERT_TRUE(found.ok()) << found.status().ToString();
      ASSERT_TRUE(found->has_value());
      EXPECT_EQ((*found)->row, Encoded(rows[i]));
    }
  }
  void FailOnCell(const StoredRow& row, std::string_view bytes) {
    std::vector<Datum> cells;
    ASSERT_TRUE(DecodeRow(table_->layout(), bytes, &cells).ok());
    for (size_t i = 0; i < cells.size(); ++i) {
      EXPECT_TRUE(Value(cells[i]) == row.cells[i]) << kUserColumns[i].first << " of " << row.seq;
    }
    FAIL() << "a row is not what it was";
  }

  static constexpr int64_t kGroupRows = 2048;
  std::string directory_;
  std::unique_ptr<storage::Store> store_;
  std::shared_ptr<objects::ObjectStorage> storage_;
  std::unique_ptr<segments::SegmentStore> segments_;
  std::unique_ptr<analytics::Engine> engine_;
  catalog::TablePtr table_;
  std::vector<segments::SegmentRecord> records_;
};

__int128 PowerOfTen(int exponent) {
  __int128 power = 1;
  for (int i = 0; i < exponent; ++i) power *= 10;
  return power;
}

/// Values of every type, the outermost among them.
class RowMaker {
 public:
  explicit RowMaker(uint32_t seed) : random_(seed) {}

  StoredRow Make(const std::string& user, int64_t seq) {
    StoredRow row;
    row.scope = Scope::OfUser(user);
    row.seq = seq;
    row.deleted = random_() % 10 == 0;
    row.cells.push_back(Value::Text("key " + std::to_string(random_()) + std::to_string(seq)));
    EncodeKey(row.cells.front().datum(), &row.encoded_pk);
    for (size_t i = 1; i < kUserColumns.size(); ++i) {
      const DataType& type = kUserColumns[i].second;
      row.cells.push_back(random_() % 6 == 0 ? Value::Null(type.kind) : Make(type));
    }
    return row;
  }

 private:
  int64_t Integer(int64_t low, int64_t high) {
    switch (random_() % 5) {
      case 0:
        return low;
      case 1:
        return high;
      default:
        return std::uniform_int_distribution<int64_t>(low, high)(random_);
    }
  }
  double Real() {
    // No -0.0: the engine's dictionaries take it and 0.0 for one value and write either.
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const double values[] = {0.0,       std::numeric_limits<double>::quiet_NaN(),
                             kInfinity, -kInfinity,
                             1.5,       -3.25e30,
                             1e-40,     static_cast<double>(random_())};
    return values[random_() % 8];
  }
  std::string Bytes(size_t size_max, bool text) {
    std::string bytes(random_() % (size_max + 1), '\0');
    for (char& byte : bytes) {
      byte = static_cast<char>(text ? ' ' + random_() % 90 : random_() % 256);
    }
    if (text && random_() % 4 == 0) bytes += "gr\xC3\xBC\xC3\x9F \xF0\x9F\x8C\x8D";
    return bytes;
  }
  Value Of(Kind kind, int64_t number) { return Value(Datum::OfInt(kind, number)); }
  Value Make(const DataType& type) {
    switch (type.kind) {
      case Kind::kBoolean:
        return Value::Boolean(random_() % 2 == 0);
      case Kind::kSmallInt:
        return Of(type.kind, Integer(INT16_MIN, INT16_MAX));
      case Kind::kInt:
        return Of(type.kind, Integer(INT32_MIN, INT32_MAX));
      case Kind::kBigInt:
        return Of(type.kind, Integer(INT64_MIN, INT64_MAX));
      case Kind::kDouble:
        return Value::Double(Real());
      case Kind::kFloat: {
        Datum value = Datum::Double(static_cast<float>(Real()));
        value.kind = Kind::kFloat;
        return Value(value);
      }
      case Kind::kTimestamp:
      case Kind::kDateTime:
        return Of(type.kind, Integer(-62'135'596'800'000'000, 253'402'300'799'999'999));
      case Kind::kDate:
        return Of(type.kind, Integer(-719'162, 2'932'896));
      case Kind::kTime:
        return Of(type.kind, Integer(0, 86'399'999'999));
      case Kind::kDecimal: {
        const __int128 bound = PowerOfTen(type.precision) - 1;
        const __int128 values[] = {0, bound, -bound, Integer(-999, 999), bound / 7, -bound / 3};
        return Value(Datum::Decimal(values[random_() % 6], type.scale));
      }
      case Kind::kUuid: {
        std::string bytes(16, '\0');
        for (char& byte : bytes) byte = static_cast<char>(random_());
        return Value(Datum::Bytes(type.kind, bytes));
      }
      case Kind::kEmbedding: {
        std::string bytes;
        for (uint16_t i = 0; i < type.dimension; ++i) {
          const auto element = static_cast<float>(random_() % 1000) / 8;
          bytes.append(reinterpret_cast<const char*>(&element), sizeof element);
        }
        return Value(Datum::Bytes(type.kind, bytes));
      }
      default:
        return Value(Datum::Bytes(
            type.kind, Bytes(random_() % 50 == 0 ? 9000 : 30, type.kind != Kind::kBytes)));
    }
  }

  std::mt19937 random_;
};

TEST_F(EngineFilesTest, RowsOfOneScopeComeBackToTheByte) {
  RowMaker maker(11);
  std::vector<StoredRow> rows;
  for (int64_t i = 0; i < 5000; ++i) rows.push_back(maker.Make("ann", i + 1));
  WriteSegment(SegmentPlace::OfScope(Scope::OfUser("ann")), &rows);
  ExpectRows(rows);
}

TEST_F(EngineFilesTest, RowsOfManyScopesComeBackToTheByte) {
  RowMaker maker(12);
  std::vector<StoredRow> rows;
  for (int64_t i = 0; i < 5000; ++i) {
    rows.push_back(maker.Make("user" + std::to_string(i % 40), i + 1));
  }
  WriteSegment(SegmentPlace::Many(), &rows);
  ExpectRows(rows);
}

TEST_F(EngineFilesTest, ColumnsOfNothingButNullsComeBack) {
  RowMaker maker(13);
  std::vector<StoredRow> rows;
  for (int64_t i = 0; i < 3000; ++i) {
    StoredRow row = maker.Make("ann", i + 1);
    for (size_t c = 1; c < row.cells.size(); ++c) {
      if (i < 2048 || i % 2 == 0) row.cells[c] = Value::Null(kUserColumns[c].second.kind);
    }
    rows.push_back(std::move(row));
  }
  WriteSegment(SegmentPlace::OfScope(Scope::OfUser("ann")), &rows);
  ExpectRows(rows);
}

TEST_F(EngineFilesTest, RecordsAreMadeAgainOutOfTheFile) {
  RowMaker maker(14);
  std::vector<StoredRow> rows;
  for (int64_t i = 0; i < 3000; ++i) rows.push_back(maker.Make("u" + std::to_string(i % 9), i + 1));
  WriteSegment(SegmentPlace::Many(), &rows);
  auto rebuilt =
      segments::RebuildSegment(*storage_, records_.front().path, table_, SegmentPlace::Many());
  ASSERT_TRUE(rebuilt.ok()) << rebuilt.status().ToString();
  auto groups = segments::ReadRowGroups(*store_, records_.front());
  ASSERT_TRUE(groups.ok());
  EXPECT_EQ(segments::EncodeRowGroups(rebuilt->row_groups), segments::EncodeRowGroups(*groups));
  EXPECT_EQ(rebuilt->record.checksum, records_.front().checksum);
  EXPECT_TRUE(segments_->Verify(records_.front()).ok());
}

}  // namespace
}  // namespace kalam
