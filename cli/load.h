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

/// The same with a file of statements, which may name files beside it, or with an archive.
Result<int64_t> LoadFile(Session& session, const std::string& path);

}  // namespace kalam::cli
