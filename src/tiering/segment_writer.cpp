// From rows to a Parquet file in its storage.
#include "tiering/segment_writer.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/optional_charge.h"
#include "segments/segment_rebuild.h"
#include "tables/row.h"
#include "tables/scan_source.h"

namespace kalam::tiering {
namespace {

// Rows that tell how wide the rows of a feed are.
constexpr int64_t kRowsAhead = 64;
constexpr int64_t kBytesAhead = 1 << 20;
// Of the rows of one group, when they turn out to be wider than expected; and how many times as
// much the writer of the file takes for them.
constexpr int64_t kGroupBytesMax = 8 << 20;
constexpr int64_t kWriterFactor = 4;

/// The columns of a segment's file: the user's in table order, then `_seq`, `_deleted` and, where
/// many scopes share the file, `_userid`.
struct FileColumns {
  static constexpr uint32_t kUser = UINT32_MAX;

  FileColumns(const catalog::TableDefinition& table, bool with_user) {
    const std::vector<catalog::ColumnDefinition>& columns = *table.columns;
    for (uint32_t i = 0; i < columns.size(); ++i) {
      if (!table.StoragePosition(i)) continue;
      Add(columns[i], i, static_cast<int32_t>(columns[i].column_id));
      if (!column_ids.empty()) column_ids += ',';
      column_ids += std::to_string(columns[i].column_id);
    }
    for (const auto& [name, id] : {std::pair(catalog::kSeqColumn, segments::kSeqFieldId),
                                   std::pair(catalog::kDeletedColumn, segments::kDeletedFieldId)}) {
      if (const auto index = table.FindColumn(name))
        Add(columns[*index], static_cast<uint32_t>(*index), id);
    }
    if (!with_user) return;
    schema.push_back({.name = std::string(segments::kUserColumn),
                      .type = DataType::Of(TypeKind::kText),
                      .not_null = true});
    sources.push_back(kUser);
    field_ids.push_back(segments::kUserFieldId);
  }

  ResultSchema schema;
  std::vector<uint32_t> sources;  // index into the table's columns, or kUser
  std::vector<int32_t> field_ids;
  std::string column_ids;  // of the user's columns

 private:
  void Add(const catalog::ColumnDefinition& column, uint32_t index, int32_t field_id) {
    schema.push_back({.name = column.name, .type = column.type});
    sources.push_back(index);
    field_ids.push_back(field_id);
  }
};

/// What the writer of the file pulls: rows of the feed, told to the builder as they pass.
class FeedPart final : public tables::ScanPart {
 public:
  FeedPart(const SegmentTarget& target, int64_t row_group_rows, std::vector<uint32_t> sources,
           FeedCursor& cursor, segments::SegmentBuilder& builder)
      : target_(target),
        row_group_rows_(row_group_rows),
        sources_(std::move(sources)),
        cursor_(cursor),
        builder_(builder),
        group_bytes_max_(std::min(kGroupBytesMax, target.engine_bytes / kWriterFactor)),
        bytes_before_(cursor.row_bytes()),
        decoder_(target.table),
        cells_(sources_.size()) {}

  Result<bool> Next() override {
    if (std::exchange(on_row_, false)) KALAM_RETURN_IF_ERROR(cursor_.Move());
    if (cursor_.at_end() || builder_.row_count() >= target_.row_count_max ||
        cursor_.row_bytes() - bytes_before_ > target_.byte_count_max) {
      return false;
    }
    if (builder_.row_count() % row_group_rows_ == 0) group_bytes_before_ = cursor_.row_bytes();
    // Rows that are wider than those that came first: the next segment has smaller groups.
    if (cursor_.row_bytes() - group_bytes_before_ > group_bytes_max_ && builder_.row_count() > 0)
      return false;
    const RowFeed& row = cursor_.row();
    if (!target_.place.many && !(row.scope() == target_.place.scope)) return false;
    KALAM_RETURN_IF_ERROR(builder_.Add(row.scope(), row.encoded_pk(), row.seq(), row.deleted()));
    KALAM_RETURN_IF_ERROR(
        decoder_.Decode(row.schema_version(), row.row(), row.seq(), row.deleted()));
    for (size_t i = 0; i < sources_.size(); ++i) {
      cells_[i] = sources_[i] == FileColumns::kUser
                      ? Datum::Bytes(TypeKind::kText, row.scope().user_id())
                      : decoder_.cells()[sources_[i]];
    }
    on_row_ = true;
    return true;
  }
  std::span<const Datum> cells() const override { return cells_; }

 private:
  const SegmentTarget& target_;
  const int64_t row_group_rows_;
  const std::vector<uint32_t> sources_;
  FeedCursor& cursor_;
  segments::SegmentBuilder& builder_;
  const int64_t group_bytes_max_;
  const int64_t bytes_before_;      // of the feed, in earlier segments
  int64_t group_bytes_before_ = 0;  // and in earlier row groups
  tables::RowDecoder decoder_;
  std::vector<Datum> cells_;
  bool on_row_ = false;  // the cursor is on a row that was given out
};

class FeedSource final : public tables::ScanSource {
 public:
  FeedSource(const SegmentTarget& target, int64_t row_group_rows, const FileColumns& columns,
             FeedCursor& cursor, segments::SegmentBuilder& builder)
      : target_(target),
        row_group_rows_(row_group_rows),
        columns_(columns),
        cursor_(cursor),
        builder_(builder) {}

  const ResultSchema& columns() const override { return columns_.schema; }
  int64_t estimated_rows() const override { return target_.row_count_max; }
  size_t part_count() const override { return 1; }
  Result<std::unique_ptr<tables::ScanPart>> OpenPart(size_t, std::span<const uint32_t> columns,
                                                     std::span<const tables::ScanHint>) override {
    if (std::exchange(opened_, true))
      return Status(ErrorKind::Internal, "the rows of a segment can be read once only");
    std::vector<uint32_t> sources;
    for (const uint32_t column : columns) sources.push_back(columns_.sources[column]);
    return std::unique_ptr<tables::ScanPart>(std::make_unique<FeedPart>(
        target_, row_group_rows_, std::move(sources), cursor_, builder_));
  }

 private:
  const SegmentTarget& target_;
  const int64_t row_group_rows_;
  const FileColumns& columns_;
  FeedCursor& cursor_;
  segments::SegmentBuilder& builder_;
  bool opened_ = false;
};

/// A row on its own.
class CopiedRow final : public RowFeed {
 public:
  /// What one holds.
  static int64_t MemoryOf(const RowFeed& row) {
    return static_cast<int64_t>(sizeof(CopiedRow) + row.encoded_pk().size() + row.row().size());
  }
  explicit CopiedRow(const RowFeed& row)
      : scope_(row.scope()),
        encoded_pk_(row.encoded_pk()),
        row_(row.row()),
        seq_(row.seq()),
        deleted_(row.deleted()),
        schema_version_(row.schema_version()) {}

  Result<bool> Next() override { return false; }
  const storage::Scope& scope() const override { return scope_; }
  std::string_view encoded_pk() const override { return encoded_pk_; }
  Seq seq() const override { return seq_; }
  bool deleted() const override { return deleted_; }
  uint32_t schema_version() const override { return schema_version_; }
  std::string_view row() const override { return row_; }

 private:
  const storage::Scope scope_;
  const std::string encoded_pk_, row_;
  const Seq seq_;
  const bool deleted_;
  const uint32_t schema_version_;
};

/// Removes the local file when it goes.
class LocalFile {
 public:
  explicit LocalFile(std::string path) : path_(std::move(path)) { Remove(); }
  ~LocalFile() { Remove(); }
  LocalFile(const LocalFile&) = delete;
  LocalFile& operator=(const LocalFile&) = delete;

 private:
  void Remove() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  const std::string path_;
};

/// Where the file goes. A file of the same table that lies there was never committed and is
/// replaced; one that is another's, or cannot be read, stays.
Result<std::string> FreePath(const SegmentTarget& target, segments::SegmentChange* change) {
  for (;;) {
    KALAM_ASSIGN_OR_RETURN(std::string path,
                           change->NextPath(target.place, target.storage_id, target.folder));
    const Result<std::string> owner = segments::TableOfFile(*target.storage, path);
    if (owner.status().Is(ErrorKind::NotFound)) return path;
    if (!owner.ok() && !owner.status().Is(ErrorKind::Corruption)) return owner.status();
    if (owner.ok() && *owner == target.table->QualifiedName()) return path;
    change->SkipPath(target.place);
  }
}

}  // namespace

FeedCursor::FeedCursor(RowFeed& feed, MemoryAccount* memory)
    : feed_(feed), ahead_charge_(ChargeIfAny(memory)) {}

Status FeedCursor::Advance() {
  KALAM_ASSIGN_OR_RETURN(const bool more, feed_.Next());
  feed_at_end_ = !more;
  if (!more) return Status::Ok();
  ++row_count_;
  row_bytes_ += static_cast<int64_t>(feed_.encoded_pk().size() + feed_.row().size());
  return Status::Ok();
}

Status FeedCursor::Start() {
  KALAM_RETURN_IF_ERROR(Advance());
  // The last row that was looked at stays where it is, in the feed.
  while (!feed_at_end_ && row_count_ < kRowsAhead && row_bytes_ < kBytesAhead) {
    ahead_.push_back(std::make_unique<CopiedRow>(feed_));
    ahead_charge_.Resize(ahead_charge_.bytes() + CopiedRow::MemoryOf(feed_));
    KALAM_RETURN_IF_ERROR(Advance());
  }
  at_end_ = feed_at_end_ && ahead_.empty();
  return Status::Ok();
}

Status FeedCursor::Move() {
  if (ahead_.empty()) {
    KALAM_RETURN_IF_ERROR(Advance());
  } else {
    ahead_charge_.Resize(ahead_charge_.bytes() - CopiedRow::MemoryOf(*ahead_.front()));
    ahead_.pop_front();
  }
  at_end_ = feed_at_end_ && ahead_.empty();
  return Status::Ok();
}

Status FeedCursor::Renew(const storage::SnapshotPtr& snapshot) {
  if (feed_at_end_) return Status::Ok();
  KALAM_ASSIGN_OR_RETURN(const bool more, feed_.Renew(snapshot));
  feed_at_end_ = !more;
  at_end_ = feed_at_end_ && ahead_.empty();
  return Status::Ok();
}

Status WriteSegment(analytics::Engine& engine, const SegmentTarget& target, FeedCursor& cursor,
                    bool evicting, int64_t now_us, segments::SegmentChange* change) {
  const auto done = [&](std::string_view step) {
    if (target.fail_point) target.fail_point(target.job + "." + std::string(step));
  };
  const FileColumns columns(*target.table, target.place.many);
  const int64_t row_bytes = cursor.row_bytes_average();
  const int64_t row_group_rows =
      std::min(segments::RowGroupRowsFor(row_bytes),
               analytics::RowGroupRowsWithin(target.engine_bytes, row_bytes));
  segments::SegmentBuilder builder({.table = target.table,
                                    .place = target.place,
                                    .row_group_rows = row_group_rows,
                                    .memory = target.memory});
  const LocalFile local(target.local_path);
  analytics::ParquetFile file;
  file.local_path = target.local_path;
  file.source = std::make_shared<FeedSource>(target, row_group_rows, columns, cursor, builder);
  file.field_ids = columns.field_ids;
  file.row_group_rows = row_group_rows;
  file.metadata = {
      {std::string(segments::kTableIdMetadata), target.table->QualifiedName()},
      {std::string(segments::kSchemaVersionMetadata), std::to_string(target.table->schema_version)},
      {std::string(segments::kColumnIdsMetadata), columns.column_ids}};
  file.cancelled = target.cancelled;
  KALAM_RETURN_IF_ERROR(engine.WriteParquet(file).status());
  done("written");
  KALAM_ASSIGN_OR_RETURN(segments::BuiltSegment built, builder.Finish(target.local_path));
  KALAM_ASSIGN_OR_RETURN(const std::string path, FreePath(target, change));
  if (target.prepare) {
    KALAM_RETURN_IF_ERROR(target.prepare(change->Prepare(std::move(built), now_us)));
    done("prepared");
  }
  KALAM_RETURN_IF_ERROR(target.storage->PutFile(target.local_path, path));
  done("put");
  if (!target.prepare) change->Add(std::move(built), evicting, now_us);
  return Status::Ok();
}

}  // namespace kalam::tiering
