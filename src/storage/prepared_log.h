// Log files whose bytes are written over zeros that are already on the disk, so that a sync need
// not write metadata as well.
#pragma once

#include <cstdint>
#include <memory>

namespace rocksdb {
class FileSystem;
}

namespace kalam::storage {

/// The file system `base`, except that its `.log` files grow by pieces of kPreparedLogBytes zeros.
/// A record is then written inside the file: fdatasync writes its blocks and nothing else, whereas
/// a file that grows with every record makes the file system's journal commit every time. The price
/// is that the log is written twice. Zeros that were never written over end the log for whoever
/// reads it (RocksDB's reader and CheckLogs alike), and a file that is closed gives them back.
/// Thread-safety: as `base`.
std::shared_ptr<rocksdb::FileSystem> MakePreparedLogFileSystem(
    std::shared_ptr<rocksdb::FileSystem> base);

inline constexpr uint64_t kPreparedLogBytes = 256 << 10;

}  // namespace kalam::storage
