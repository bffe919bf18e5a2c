// Filling a server with what `kalam dump` wrote.
#pragma once

#include <cstdint>
#include <istream>
#include <string>

#include "session.h"

namespace kalam::cli {

/// Runs statements, and stops at the first that fails: the error names it. Says how many there
/// were.
Result<int64_t> Load(Session& session, std::istream& input);

/// The same with an archive: its files are uploaded with their rows.
Result<int64_t> LoadArchive(Session& session, const std::string& path);

/// Whether the file begins as a zip archive does.
bool IsArchive(const std::string& path);

}  // namespace kalam::cli
