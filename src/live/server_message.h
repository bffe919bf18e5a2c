// What the server sends about subscriptions, encoded: acknowledgements, initial batches, changes,
// errors.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "catalog/schema.h"
#include "live/gzip.h"
#include "live/live_hub.h"
#include "types/row_stream.h"

namespace kalam::live {

enum class BatchStatus : uint8_t { kLoading, kLoadingBatch, kReady };

/// `batch_control` of an acknowledgement or a batch.
struct BatchControl {
  uint32_t batch_num = 0;
  bool has_more = false;
  BatchStatus status = BatchStatus::kReady;
  std::optional<Seq> last_seq;
};

/// `last_seq` of `control` is not sent: clients would take it for rows that they have.
OutgoingMessage EncodeAck(const WireFormat& format, std::string_view id,
                          const BatchControl& control, const ResultSchema& schema);

/// Collects the rows of one initial_data_batch.
class BatchMessage {
 public:
  BatchMessage(const WireFormat& format, std::string_view id);
  /// `columns` indexes both the table's columns and `cells`; `_deleted` is added but for STREAM
  /// tables.
  void AddRow(const catalog::TableDefinition& table, std::span<const uint32_t> columns,
              std::span<const Datum> cells, Seq seq);
  size_t byte_size() const { return rows_.size(); }
  uint32_t row_count() const { return row_count_; }
  /// Rows were added newest first: send them oldest first.
  void Reverse();
  OutgoingMessage Finish(const BatchControl& control);

 private:
  const WireFormat format_;
  const std::string id_;
  std::string rows_;  // the encoded rows one after the other, without commas
  std::vector<uint32_t> row_sizes_;
  uint32_t row_count_ = 0;
};

/// What a change is for one subscription, decided by its filter on the old and the new row.
enum class ChangeKind : uint8_t {
  kInsert,  // a new row, or one that entered the filter
  kUpdate,
  kDelete,  // the row is gone
  kLeave,   // it stays in the table but left the filter: sent as a delete
};
inline constexpr size_t kChangeKindCount = 4;

/// A change as the encoder needs it; cells by column index.
struct ChangeRows {
  const catalog::TableDefinition* table = nullptr;
  std::span<const Datum> new_cells;           // kInsert, kUpdate
  std::span<const Datum> old_cells;           // kUpdate, kDelete, kLeave
  std::span<const uint32_t> changed_columns;  // kUpdate; indexes into the table's columns
  Seq seq;
  Seq previous_seq;
  bool is_stream = false;
  std::string_view user_id;  // of a stream's scope
};

/// One change for one projection and serialization: encoded once, sent to many.
class EncodedChange {
 public:
  EncodedChange(bool msgpack, ChangeKind kind, const ChangeRows& rows,
                std::span<const uint32_t> projection);
  /// The message for a subscription; compresses the body on the first call with `gzip` that is
  /// worth it.
  OutgoingMessage For(std::string_view id, bool gzip);

 private:
  const bool msgpack_;
  uint32_t entry_count_;
  std::shared_ptr<const std::string> body_;  // the entries after the id
  bool deflate_tried_ = false;
  SharedDeflate deflate_;  // bytes moved into deflated_body_
  std::shared_ptr<const std::string> deflated_body_;
};

}  // namespace kalam::live
