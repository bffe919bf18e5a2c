// Knowing how much of a manifest was on the disk, so that what a loss of power left behind that can
// be told from damage.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"

namespace rocksdb {
class Env;
class FileSystem;
}  // namespace rocksdb

namespace kalam::storage {

/// The file system `base`, except that a sync of a manifest (the list of the files that make up the
/// database) also notes its size in a small file beside it, `MANIFEST-000152.synced`, and returns
/// when the note is on the disk as well. RocksDB deletes log and table files only after a record
/// that lets go of them was synced; so nothing was done yet because of what lies behind the last
/// note. The price is one more small sync for each flush and compaction. Thread-safety: as `base`.
std::shared_ptr<rocksdb::FileSystem> MakeManifestMarkFileSystem(
    std::shared_ptr<rocksdb::FileSystem> base);

/// To be called before RocksDB opens `path`. Makes the manifest of a machine that lost power
/// readable: cuts it off behind its whole records when what follows was never synced. RocksDB
/// itself forgives a record that is too short there, not one whose bytes are wrong. A manifest
/// without a note (older versions made none) and a directory that another process has are left as
/// they are. Errors: Corruption, when bytes that had been synced are damaged or missing; nothing is
/// changed then. Cost: one sequential read of the manifest.
Status CheckManifest(rocksdb::Env& env, const std::string& path);

}  // namespace kalam::storage
