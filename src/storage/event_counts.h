// Counts what RocksDB does, in two kilobytes: its own statistics take a hundred for every core.
#pragma once

#include <memory>
#include <vector>

#include "storage/store.h"

namespace rocksdb {
class EventListener;
class Statistics;
}  // namespace rocksdb

namespace kalam::storage {

/// The counts behind Store::counts(). Thread-safety: any thread.
class EventCounts {
 public:
  EventCounts();
  /// What RocksDB is given; both may outlive this object.
  std::shared_ptr<rocksdb::Statistics> statistics() const;
  std::shared_ptr<rocksdb::EventListener> listener() const;
  std::vector<StoreCount> Read() const;

 private:
  struct Rep;
  std::shared_ptr<Rep> rep_;
};

}  // namespace kalam::storage
