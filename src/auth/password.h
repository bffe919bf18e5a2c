// Password hashes: bcrypt through crypt(3) (libxcrypt), and the rules for new passwords.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace kalam::auth {

/// `$2b$<cost>$...`. Takes about 2^cost * 0.1 ms of CPU. Errors: InvalidInput over 72 bytes (bcrypt
/// would ignore the rest) or with a NUL inside; Internal when the system's crypt lacks bcrypt.
Result<std::string> HashBcrypt(std::string_view password, int cost);

/// True when `password` has this hash. Always spends the time of one hash; false for a malformed
/// hash.
bool VerifyBcrypt(std::string_view password, const std::string& hash);

}  // namespace kalam::auth
