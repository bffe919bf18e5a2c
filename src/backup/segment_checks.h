// Whether the segments that go into a backup are those that were written.
#pragma once

#include <map>
#include <string>

#include "base/memory_account.h"
#include "base/optional_charge.h"
#include "base/status.h"
#include "catalog/catalog.h"
#include "storage/store.h"

namespace kalam::backup {

/// What is damaged would take the place of what an earlier backup has whole. Not thread-safe.
class SegmentChecks {
 public:
  /// `memory` is charged with the checksums, about 300 bytes a segment; may be null.
  explicit SegmentChecks(MemoryAccount* memory) : charge_(ChargeIfAny(memory)) {}

  /// Remembers the checksums of the table's segments, as `snapshot` (null: now) shows them.
  /// Errors: StorageIo, Corruption.
  Status Add(storage::Store& store, const storage::SnapshotPtr& snapshot,
             const catalog::TableDefinition& table);
  /// Whether those of the storage `local` lie below `folder`. Errors: Corruption (names one that is
  /// missing).
  Status CheckGathered(const std::string& folder) const;
  /// Compares a file with the checksum of the segment that lies at `path` in the backup; ok for
  /// other files. Errors: Corruption (names it), StorageIo.
  Status Check(const std::string& path, const std::string& file) const;

 private:
  struct Expected {
    std::string segment;   // for messages
    std::string checksum;  // as segments::FileChecksum gives it
  };
  std::map<std::string, Expected> by_path_;  // in the backup
  MemoryCharge charge_;
};

}  // namespace kalam::backup
