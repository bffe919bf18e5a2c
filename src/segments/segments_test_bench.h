// What the tests of this layer share: a store, a storage in memory, one table, and a short way to
// make segments of it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "segments/parquet_test_writer.h"
#include "segments/segment_builder.h"
#include "segments/segment_store.h"
#include "types/key_codec.h"

namespace kalam::segments {

/// Objects in memory that a test may damage; counts what is read.
class MemoryStorage : public objects::ObjectStorage {
 public:
  Status PutFile(const std::string& local_file, const std::string& path) override {
    std::ifstream stream(local_file, std::ios::binary);
    objects_[path].assign(std::istreambuf_iterator<char>(stream), {});
    return Status::Ok();
  }
  Status Put(const std::string& path, std::string_view bytes) override {
    objects_[path] = bytes;
    return Status::Ok();
  }
  Result<std::string> Read(const std::string& path, int64_t offset, int64_t length) override {
    const auto found = objects_.find(path);
    if (found == objects_.end()) return Status(ErrorKind::NotFound, "no object " + path);
    const auto begin = std::min(static_cast<size_t>(offset), found->second.size());
    std::string bytes =
        found->second.substr(begin, length < 0 ? std::string::npos : static_cast<size_t>(length));
    ++reads_;
    bytes_read_ += static_cast<int64_t>(bytes.size());
    return bytes;
  }
  Result<objects::ObjectEntry> Stat(const std::string& path) override {
    const auto found = objects_.find(path);
    if (found == objects_.end()) return Status(ErrorKind::NotFound, "no object " + path);
    return objects::ObjectEntry{path, static_cast<int64_t>(found->second.size()), 0};
  }
  Status List(const std::string& prefix,
              const std::function<bool(const objects::ObjectEntry&)>& visit) override {
    for (const auto& [path, bytes] : objects_) {
      if (!path.starts_with(prefix)) continue;
      if (!visit({path, static_cast<int64_t>(bytes.size()), 0})) break;
    }
    return Status::Ok();
  }
  Status Delete(const std::string& path) override {
    objects_.erase(path);
    return Status::Ok();
  }
  std::string LocalPath(const std::string&) const override { return ""; }

  std::map<std::string, std::string> objects_;
  std::atomic<int64_t> reads_{0}, bytes_read_{0};
};

/// One version of one row.
struct TestRow {
  std::string user;  // empty: shared
  int64_t id = 0;
  std::string name;
  int64_t seq = 0;
  bool deleted = false;
  bool operator==(const TestRow&) const = default;
};

inline std::string KeyOf(int64_t id) {
  std::string key;
  EncodeKey(Datum::BigInt(id), &key);
  return key;
}
inline storage::Scope ScopeOf(const std::string& user) { return storage::Scope::OfUser(user); }

/// `app.items` (id BIGINT PRIMARY KEY, name TEXT).
inline catalog::TablePtr ItemsTable(catalog::TableType type) {
  auto table = std::make_shared<catalog::TableDefinition>();
  table->id = TableId{7};
  table->namespace_id = "app";
  table->name = "items";
  table->type = type;
  std::vector<catalog::ColumnDefinition> columns(4);
  columns[0] = {.column_id = 1,
                .name = "id",
                .type = DataType::Of(TypeKind::kBigInt),
                .nullable = false,
                .primary_key = true};
  columns[1] = {.column_id = 2, .name = "name", .type = DataType::Of(TypeKind::kText)};
  columns[2] = {.column_id = 3, .name = "_seq", .type = DataType::Of(TypeKind::kBigInt)};
  columns[3] = {.column_id = 4, .name = "_deleted", .type = DataType::Of(TypeKind::kBoolean)};
  table->layouts = std::make_shared<const std::vector<RowLayout>>(1, catalog::LayoutOf(columns));
  table->columns =
      std::make_shared<const std::vector<catalog::ColumnDefinition>>(std::move(columns));
  return table;
}

template <typename T>
std::string RawBytes(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

class SegmentsTest : public testing::Test {
 protected:
  explicit SegmentsTest(catalog::TableType type = catalog::TableType::kUser)
      : table_(ItemsTable(type)) {
    char pattern[] = "/tmp/kalam-segments-XXXXXX";
    directory_ = mkdtemp(pattern);
    storage::StoreOptions options;
    options.path = directory_ + "/store";
    auto opened = storage::Store::Open(options);
    EXPECT_TRUE(opened.ok());
    store_ = std::move(opened).value();
    OpenSegments(2 << 20);
  }
  ~SegmentsTest() override {
    segments_.reset();
    EXPECT_EQ(account_.used_bytes(), 0);
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  void OpenSegments(int64_t cache_bytes) {
    segments_.reset();
    SegmentStoreOptions options;
    options.cache_bytes = cache_bytes;
    options.account = &account_;
    options.metrics = &metrics_;
    auto opened = OpenSegmentStore(
        *store_,
        [this](const std::string&) -> Result<std::shared_ptr<objects::ObjectStorage>> {
          return std::static_pointer_cast<objects::ObjectStorage>(storage_);
        },
        options);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    segments_ = std::move(opened).value();
  }

  static void Sort(std::vector<TestRow>* rows) {
    std::sort(rows->begin(), rows->end(), [](const TestRow& a, const TestRow& b) {
      return SegmentKey(ScopeOf(a.user), KeyOf(a.id)) < SegmentKey(ScopeOf(b.user), KeyOf(b.id));
    });
  }

  /// The file of sorted rows, as the engine would write it.
  static std::string FileOf(const std::vector<TestRow>& rows, bool many, size_t row_group_rows,
                            size_t page_rows = 100'000) {
    std::vector<TestColumn> columns{
        {.name = "id", .field_id = 1, .type = ParquetType::kInt64},
        {.name = "name", .field_id = 2, .type = ParquetType::kByteArray},
        {.name = "_seq", .field_id = kSeqFieldId, .type = ParquetType::kInt64},
        {.name = "_deleted", .field_id = kDeletedFieldId, .type = ParquetType::kBoolean}};
    if (many) {
      columns.push_back({.name = "_userid",
                         .field_id = kUserFieldId,
                         .type = ParquetType::kByteArray,
                         .has_dictionary = true});
    }
    for (const TestRow& row : rows) {
      columns[0].cells.emplace_back(RawBytes(row.id));
      columns[1].cells.emplace_back(row.name);
      if (row.name == "NULL") columns[1].cells.back() = std::nullopt;
      columns[2].cells.emplace_back(RawBytes(row.seq));
      columns[3].cells.emplace_back(std::string(1, static_cast<char>(row.deleted)));
      if (many) columns[4].cells.emplace_back(row.user);
    }
    return TestFileWriter({.row_group_rows = row_group_rows,
                           .page_rows = page_rows,
                           .metadata = {{std::string(kTableIdMetadata), "7"},
                                        {std::string(kSchemaVersionMetadata), "1"}}})
        .Write(columns);
  }

  Result<BuiltSegment> Build(const SegmentPlace& place, const std::vector<TestRow>& rows,
                             const std::string& file, size_t row_group_rows) {
    SegmentBuilder builder({table_, place, static_cast<int64_t>(row_group_rows)});
    for (const TestRow& row : rows) {
      KALAM_RETURN_IF_ERROR(
          builder.Add(ScopeOf(row.user), KeyOf(row.id), Seq{row.seq}, row.deleted));
    }
    const std::string local_path = directory_ + "/new.parquet";
    std::ofstream(local_path, std::ios::binary | std::ios::trunc) << file;
    return builder.Finish(local_path);
  }

  void Apply(const catalog::RecordWrites& writes) {
    storage::WriteBatch batch;
    for (const catalog::RecordWrite& write : writes) {
      if (write.value) {
        batch.Put(write.family, write.key, *write.value);
      } else {
        batch.Delete(write.family, write.key);
      }
    }
    ASSERT_TRUE(store_->Write(std::move(batch), storage::Durability::kOs).ok());
  }

  /// Commits one new segment.
  SegmentRecord AddSegment(const SegmentPlace& place, std::vector<TestRow> rows,
                           size_t row_group_rows = 16384, size_t page_rows = 100'000) {
    Sort(&rows);
    return AddFile(place, rows, FileOf(rows, place.many, row_group_rows, page_rows),
                   row_group_rows);
  }
  /// Commits one new segment whose rows lie sorted in `file`.
  SegmentRecord AddFile(const SegmentPlace& place, const std::vector<TestRow>& rows,
                        const std::string& file, size_t row_group_rows) {
    auto built = Build(place, rows, file, row_group_rows);
    EXPECT_TRUE(built.ok()) << built.status().ToString();
    auto change = SegmentChange::Begin(*store_, table_->id);
    EXPECT_TRUE(change.ok());
    const std::string folder =
        place.many ? "app/items/_many" : "app/items/" + place.scope.user_id();
    auto path = change->NextPath(place, "local", folder);
    EXPECT_TRUE(path.ok()) << path.status().ToString();
    EXPECT_TRUE(storage_->Put(*path, file).ok());
    change->Add(std::move(*built), false, 1'700'000'000'000'000);
    const SegmentRecord record = change->added().front();
    EXPECT_EQ(record.path, *path);
    segments_->NoteTable(table_->id);
    Apply(change->Take());
    return record;
  }

  TestRow RowOf(const std::string& user, std::string_view encoded_pk, Seq seq, bool deleted,
                std::string_view row) const {
    std::vector<Datum> cells;
    EXPECT_TRUE(DecodeRow(table_->layout(), row, &cells).ok());
    EXPECT_EQ(KeyOf(cells[0].i), encoded_pk);
    return {user, cells[0].i, cells[1].is_null ? "NULL" : std::string(cells[1].text()), seq.value,
            deleted};
  }
  /// All rows that a scan gives.
  std::vector<TestRow> Drain(const std::string& user, Result<std::unique_ptr<ColdScan>> scan) {
    std::vector<TestRow> rows;
    EXPECT_TRUE(scan.ok()) << scan.status().ToString();
    while (scan.ok()) {
      Result<bool> more = (*scan)->Next();
      EXPECT_TRUE(more.ok()) << more.status().ToString();
      if (!more.ok() || !*more) break;
      rows.push_back(
          RowOf(user, (*scan)->encoded_pk(), (*scan)->seq(), (*scan)->deleted(), (*scan)->row()));
    }
    return rows;
  }
  Result<std::optional<ColdRow>> Get(const std::string& user, int64_t id,
                                     const storage::SnapshotPtr& snapshot = nullptr) {
    return segments_->Get(table_, ScopeOf(user), KeyOf(id), snapshot);
  }
  /// "name@seq", "-" in front of a tombstone, "none".
  std::string Show(const std::string& user, int64_t id,
                   const storage::SnapshotPtr& snapshot = nullptr) {
    auto row = Get(user, id, snapshot);
    if (!row.ok()) return row.status().ToString();
    if (!*row) return "none";
    const TestRow shown =
        RowOf(user, (*row)->encoded_pk, (*row)->seq, (*row)->deleted, (*row)->row);
    return (shown.deleted ? "-" : "") + shown.name + "@" + std::to_string(shown.seq);
  }

  const catalog::TablePtr table_;
  std::string directory_;
  MemoryAccount account_{"segments", nullptr};
  Metrics metrics_;
  std::shared_ptr<MemoryStorage> storage_ = std::make_shared<MemoryStorage>();
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<SegmentStore> segments_;
};

}  // namespace kalam::segments
