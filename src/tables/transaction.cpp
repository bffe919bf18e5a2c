// Transactions: staged writes over one view, bound to one group.
#include <fmt/format.h>

#include <utility>

#include "tables/staged_rows.h"
#include "tables/table_writer.h"

namespace kalam::tables {
namespace {

/// User groups own contiguous runs of the 256 buckets.
constexpr uint32_t kUserGroupCount = 8;
constexpr uint32_t kBucketCount = 256;

std::string GroupOf(const storage::Scope& scope) {
  if (scope.is_shared()) return "shared_0";
  return fmt::format("user_{}", scope.bucket() * kUserGroupCount / kBucketCount);
}

}  // namespace

struct Transaction::Rep {
  Rep(std::string transaction_id, replication::View transaction_view, TableReader& table_reader,
      size_t bytes_max, int64_t deadline)
      : id(std::move(transaction_id)),
        view(std::move(transaction_view)),
        reader(table_reader),
        writer(table_reader),
        buffer_bytes_max(bytes_max),
        deadline_us(deadline),
        started_us(table_reader.clock().NowUs()) {}

  const std::string id;
  const replication::View view;
  TableReader& reader;
  TableWriter writer;
  const size_t buffer_bytes_max;
  const int64_t deadline_us;
  const int64_t started_us;
  std::string group;  // empty until the first table is touched
};

Transaction::Transaction(std::string id, replication::View view, TableReader& reader,
                         size_t buffer_bytes_max, int64_t deadline_us)
    : rep_(std::make_unique<Rep>(std::move(id), std::move(view), reader, buffer_bytes_max,
                                 deadline_us)) {}
Transaction::~Transaction() = default;

const std::string& Transaction::id() const { return rep_->id; }
const replication::View& Transaction::view() const { return rep_->view; }
TableWriter& Transaction::writer() { return rep_->writer; }

Status Transaction::Touch(const catalog::TableDefinition& table, const storage::Scope& scope) {
  // System tables belong to every group: reading them binds nothing.
  if (table.type == catalog::TableType::kSystem) return Status::Ok();
  std::string group = GroupOf(scope);
  if (rep_->group.empty()) rep_->group = group;
  if (rep_->group == group) return Status::Ok();
  return Status(
      ErrorKind::InvalidOperation,
      fmt::format("explicit transaction '{}' is already bound to data raft group '{}' and "
                  "cannot access table '{}' in group '{}'",
                  rep_->id, rep_->group, table.QualifiedName(), group));
}

Status Transaction::CheckLimits(int64_t now_us) const {
  if (rep_->writer.byte_size() > rep_->buffer_bytes_max) {
    return Status(ErrorKind::InvalidOperation,
                  fmt::format("transaction '{}' exceeded buffer limit of {} bytes and was aborted",
                              rep_->id, rep_->buffer_bytes_max));
  }
  if (rep_->deadline_us > 0 && now_us > rep_->deadline_us) {
    return Status(
        ErrorKind::InvalidOperation,
        fmt::format("transaction '{}' cannot continue because it timed out and was aborted",
                    rep_->id));
  }
  return Status::Ok();
}

const StoredRow* Transaction::FindStaged(TableId table, const storage::Scope& scope,
                                         std::string_view encoded_pk) const {
  const StagedRow* staged = rep_->writer.staged().Find(table, scope, encoded_pk);
  return staged == nullptr ? nullptr : &staged->current;
}

int64_t Transaction::write_count() const { return static_cast<int64_t>(rep_->writer.row_count()); }
int64_t Transaction::write_bytes() const { return static_cast<int64_t>(rep_->writer.byte_size()); }
int64_t Transaction::touched_table_count() const {
  return static_cast<int64_t>(rep_->writer.staged().table_count());
}
int64_t Transaction::started_us() const { return rep_->started_us; }

const StagedRows& Transaction::staged() const { return rep_->writer.staged(); }

std::shared_ptr<replication::Command> Transaction::Finish() {
  return rep_->writer.Finish(rep_->view.seq);
}

}  // namespace kalam::tables
