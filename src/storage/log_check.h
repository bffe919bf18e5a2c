// Tells a log whose last record was cut off by a crash, which is normal, from one that was damaged
// later.
#pragma once

#include <string>

#include "base/status.h"

namespace kalam::storage {

struct Tuning;

/// Reads the log files in `path` as recovery with `tuning` is going to. RocksDB ends recovery at
/// the first record that is not whole and silently drops what follows; that is right for the
/// unacknowledged tail of a crash, but not when whole records with later sequence numbers follow.
/// Errors: Corruption, naming the file, the place and what to do; StorageIo. Cost: one sequential
/// read of the log files.
Status CheckLogs(const Tuning& tuning, const std::string& path);

}  // namespace kalam::storage
