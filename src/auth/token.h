// JSON web tokens: signing and checking, without any look at users or sessions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "auth/auth.h"

namespace kalam::auth {

/// The claims we read and write (docs/protocol.md, "Tokens").
struct TokenClaims {
  std::string subject, issuer, role, email, token_type;
  std::string session_id;  // `sid`; empty for tokens minted by an app
  std::string token_id;    // `jti`
  int64_t issued_at_s = 0;
  int64_t issued_at_us = 0;  // `iat_us`; 0 when absent
  int64_t not_before_s = 0;
  int64_t expires_at_s = 0;
};

inline constexpr std::string_view kIssuer = "kalamdb";
inline constexpr int64_t kTokenLeewaySeconds = 60;

/// HS256.
std::string SignToken(std::string_view secret, const TokenClaims& claims);

/// Checks form, algorithm (HS256 only) and signature. Errors: Unauthorized. Times are the caller's
/// to check.
Result<TokenClaims> ReadToken(std::string_view secret, std::string_view token);

}  // namespace kalam::auth
