// Reads for one subscription that may run on a worker thread: an initial batch, or a chunk of the
// change log.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "live/server_message.h"
#include "query/live_query.h"
#include "replication/group.h"
#include "tables/table_reader.h"

namespace kalam::live {

/// Where reads go. All of it may be used from any thread and outlives the reads.
struct ReadSource {
  storage::Store& store;
  replication::ReplicationGroup& group;
  const Clock& clock;
  segments::ColdRows* cold_rows = nullptr;  // null: no table has segments
};

/// What a read needs of its subscription, by value: the subscription may be gone before the read
/// ends.
struct ReadTarget {
  std::shared_ptr<const query::LiveQuery> query;
  int key_column = -1;
  std::string key;
  std::string user_id;
};

struct SnapshotRequest {
  ReadTarget target;
  WireFormat format;
  std::string id;
  Seq after;  // rows with after < _seq <= up_to
  Seq up_to;
  uint64_t batch_size = 1000;
  std::optional<uint32_t> last_rows;
  uint32_t batch_num = 0;
  size_t bytes_max = 4 << 20;
  /// Gives up (`gave_up`) after looking at this many rows, and before waiting for the file of a
  /// segment; 0: never.
  uint64_t examined_max = 0;
};
struct SnapshotBatch {
  Status status;
  bool gave_up = false;
  BatchControl control;
  OutgoingMessage message;
};
/// Rows of the current state in `_seq` order, on a fresh view.
SnapshotBatch ReadSnapshotBatch(const ReadSource& source, const SnapshotRequest& request);

struct ChangesRequest {
  ReadTarget target;
  Seq after;
  Seq up_to;
  size_t bytes_max = 256 << 10;
};
struct ChangesChunk {
  Status status;  // CursorTooOld: neither log nor state can answer
  bool from_state = false;
  std::vector<tables::StoredChange> changes;
  int64_t byte_size() const;
};
/// The next changes from the log; from the current state (rows and tombstones by `_seq`) when the
/// log no longer reaches back.
ChangesChunk ReadChanges(const ReadSource& source, const ChangesRequest& request);

}  // namespace kalam::live
