// The old and the new row of one change, decoded once for all subscriptions of its table.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "live/server_message.h"
#include "replication/command.h"
#include "tables/row.h"
#include "tables/table_reader.h"

namespace kalam::live {

/// A change wherever it comes from; points into its source.
struct ChangeView {
  replication::ChangeOp op = replication::ChangeOp::kInsert;
  uint32_t schema_version = 0;
  Seq seq;
  Seq previous_seq;
  std::string_view row;
  std::string_view old_cells;
  bool is_stream = false;
  int64_t expire_at_us = 0;

  static ChangeView Of(const replication::CommittedChange& change);
  static ChangeView Of(const tables::StoredChange& change, bool is_stream);
};

/// Not thread-safe. Holds decoding buffers for one version of one table.
class ChangeImage {
 public:
  explicit ChangeImage(catalog::TablePtr table);

  /// Decodes `change`, which must outlive the use of the cells. Errors: Corruption, StaleSchema
  /// (the change was written with a newer version of the table).
  Status Load(const ChangeView& change);

  bool has_new() const { return has_new_; }
  bool has_old() const { return has_old_; }
  /// By column index, system columns included; valid until the next Load.
  std::span<const Datum> new_cells() const { return new_cells_; }
  std::span<const Datum> old_cells() const { return old_cells_; }
  ChangeRows rows(std::string_view user_id) const;
  const catalog::TablePtr& table() const { return table_; }

 private:
  Status OverlayOldCells(const ChangeView& change);
  void SetSystemCells(Seq seq, std::vector<Datum>* cells) const;

  catalog::TablePtr table_;
  tables::RowDecoder decoder_;
  std::vector<Datum> new_cells_;
  std::vector<Datum> old_cells_;
  std::vector<uint32_t> changed_columns_;
  Arena arena_;
  Seq seq_;
  Seq previous_seq_;
  bool has_new_ = false;
  bool has_old_ = false;
  bool is_stream_ = false;
};

}  // namespace kalam::live
