// JSON web tokens through libjwt.
#include "auth/token.h"

#include <jwt.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace kalam::auth {
namespace {

constexpr size_t kTokenBytesMax = 8 << 10;

struct JwtFree {
  void operator()(jwt_t* jwt) const { jwt_free(jwt); }
};
using JwtPtr = std::unique_ptr<jwt_t, JwtFree>;

std::string TextGrant(jwt_t* jwt, const char* name) {
  const char* text = jwt_get_grant(jwt, name);
  return text == nullptr ? std::string() : std::string(text);
}

// libjwt tells a missing number as -1, which no time of ours is.
int64_t NumberGrant(jwt_t* raw, const char* name) {
  return std::max<int64_t>(jwt_get_grant_int(raw, name), 0);
}

const unsigned char* Bytes(const std::string& text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

void AddText(jwt_t* jwt, const char* name, const std::string& text) {
  if (!text.empty()) jwt_add_grant(jwt, name, text.c_str());
}

}  // namespace

std::string SignToken(std::string_view secret, const TokenClaims& claims) {
  jwt_t* raw = nullptr;
  if (jwt_new(&raw) != 0) return {};
  const JwtPtr jwt(raw);
  AddText(raw, "sub", claims.subject);
  AddText(raw, "iss", claims.issuer);
  AddText(raw, "role", claims.role);
  AddText(raw, "email", claims.email);
  AddText(raw, "token_type", claims.token_type);
  AddText(raw, "sid", claims.session_id);
  AddText(raw, "jti", claims.token_id);
  jwt_add_grant_int(raw, "iat", claims.issued_at_s);
  if (claims.issued_at_us != 0) jwt_add_grant_int(raw, "iat_us", claims.issued_at_us);
  jwt_add_grant_int(raw, "exp", claims.expires_at_s);
  const std::string key(secret);
  if (jwt_set_alg(raw, JWT_ALG_HS256, Bytes(key), static_cast<int>(key.size())) != 0) return {};
  char* text = jwt_encode_str(raw);
  if (text == nullptr) return {};
  std::string token(text);
  std::free(text);  // NOLINT: libjwt hands out malloc'ed text
  return token;
}

Result<TokenClaims> ReadToken(std::string_view secret, std::string_view token) {
  const Status invalid(ErrorKind::Unauthorized, "Invalid token");
  if (token.empty() || token.size() > kTokenBytesMax) return invalid;
  const std::string text(token);
  const std::string key(secret);
  jwt_t* raw = nullptr;
  if (jwt_decode(&raw, text.c_str(), Bytes(key), static_cast<int>(key.size())) != 0) return invalid;
  const JwtPtr jwt(raw);
  if (jwt_get_alg(raw) != JWT_ALG_HS256) return invalid;
  TokenClaims claims;
  claims.subject = TextGrant(raw, "sub");
  claims.issuer = TextGrant(raw, "iss");
  claims.role = TextGrant(raw, "role");
  claims.email = TextGrant(raw, "email");
  claims.token_type = TextGrant(raw, "token_type");
  claims.session_id = TextGrant(raw, "sid");
  claims.token_id = TextGrant(raw, "jti");
  claims.issued_at_s = NumberGrant(raw, "iat");
  claims.issued_at_us = NumberGrant(raw, "iat_us");
  claims.not_before_s = NumberGrant(raw, "nbf");
  claims.expires_at_s = NumberGrant(raw, "exp");
  return claims;
}

std::string MintToken(std::string_view secret, std::string_view user_id, std::string_view role,
                      int64_t issued_s, int64_t expires_s) {
  TokenClaims claims;
  claims.subject = user_id;
  claims.issuer = kIssuer;
  claims.role = role;
  claims.token_type = "access";
  claims.issued_at_s = issued_s;
  claims.expires_at_s = expires_s;
  return SignToken(secret, claims);
}

}  // namespace kalam::auth
