// Log files that could not be created when they were asked for.
#pragma once

#include <memory>

namespace rocksdb {
class FileSystem;
}

namespace kalam::storage {

/// The file system `base`, except that creating a `.log` file never fails: one that cannot be
/// created now is created by the first write to it, which fails if that is not possible either.
/// When RocksDB (before 8.11) cannot create a log while the memtables of several families are full,
/// it forgets to let go of some of the families, and the process aborts when the database is
/// closed (facebook/rocksdb pull request 12176). Thread-safety: as `base`.
std::shared_ptr<rocksdb::FileSystem> MakeLateLogFileSystem(
    std::shared_ptr<rocksdb::FileSystem> base);

}  // namespace kalam::storage
