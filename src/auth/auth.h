// Who is calling: passwords, tokens, sessions, attempts.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "catalog/catalog.h"
#include "catalog/users.h"
#include "storage/store.h"

namespace kalam::auth {

struct AuthOptions {
  std::string jwt_secret;  // never empty: the server makes a random one (LoadOrCreateSecret)
  std::vector<std::string> trusted_issuers;
  int64_t access_token_seconds = 24 * 3600;
  int64_t refresh_token_seconds = 7 * 24 * 3600;
  int bcrypt_cost = 12;
  bool enforce_password_complexity = false;
  int lockout_failures = 5;
  int64_t lockout_seconds = 15 * 60;
  int hashing_threads = 1;  // bcrypt runs there, never on an I/O thread
};

/// Why a login or token was refused; each maps to one answer of wire.md 1.12 and 3.3.
enum class AuthFailure : uint8_t {
  kNone,
  kInvalidCredentials,
  kTokenExpired,
  kAccountLocked,
  kSetupRequired,
  kForbidden,
  kRateLimited,
  kWeakPassword,
  kStorage,
};

/// A verified access token.
struct Principal {
  catalog::Caller caller;
  std::string session_id;    // claim `sid`; empty for tokens minted by an app
  int64_t expires_at_s = 0;  // `exp`
  int64_t issued_at_s = 0;
};
struct AuthOutcome {
  AuthFailure failure = AuthFailure::kNone;
  std::string message;
  Principal principal;
};

struct TokenPair {
  std::string access_token, refresh_token;
  int64_t access_expires_s = 0, refresh_expires_s = 0;
};

enum class TokenUse : uint8_t { kAccess, kRefresh };

/// Makes records durable (user records, ended sessions); provided by `server` over the replication
/// group. Blocks.
using RecordWriter = std::function<Status(catalog::RecordWrites)>;

/// Thread-safety: all methods may be called from any thread.
class Authenticator {
 public:
  /// Loads the ended sessions from `store`; all references must outlive the authenticator.
  static Result<std::unique_ptr<Authenticator>> Make(const AuthOptions& options,
                                                     const catalog::Catalog& catalog,
                                                     storage::Store& store,
                                                     RecordWriter write_records,
                                                     const Clock& clock);
  virtual ~Authenticator() = default;

  /// Verifies a bearer token (signature, issuer, times, user, role claim, revocation). Verified
  /// tokens are remembered (bounded), so that the next use costs a hash of the text and a look at
  /// the user's record. Never blocks on the disk for more than one read.
  virtual AuthOutcome VerifyToken(std::string_view token, TokenUse use) = 0;

  /// Checks a password on the hashing pool and calls back from there. Unknown users cost the same
  /// time as known ones. Five failures from one address lock the pair of user and address for
  /// `lockout_seconds` (nobody can lock others out from one address); locks from three addresses
  /// lock the user. `from_loopback` decides what a root without password is told.
  struct LoginAttempt {
    std::string user_id;
    std::string password;
    std::string client_address;
    bool from_loopback = false;
  };
  virtual void Login(LoginAttempt attempt, std::function<void(AuthOutcome)> done) = 0;
  /// Hashes on the pool (CREATE USER, setup). Errors: InvalidInput (over 72 bytes, complexity).
  virtual void HashPassword(std::string password,
                            std::function<void(Result<std::string>)> done) = 0;
  /// The same, on the calling worker thread.
  virtual Result<std::string> HashPasswordNow(std::string_view password) = 0;

  virtual TokenPair IssueTokens(const catalog::UserRecord& user, const std::string& session_id) = 0;
  /// Rotates: the old refresh token works for another 60 s. Blocks on a durable write: worker
  /// threads only.
  virtual AuthOutcome Refresh(std::string_view refresh_token, TokenPair* tokens) = 0;
  /// Ends one session (logout) for all its tokens. Blocks on a durable write: worker threads only.
  virtual Status RevokeSession(const std::string& session_id) = 0;
  /// To be called after a user's record changed (password, role, drop): forgets verified tokens of
  /// the user and tells the revocation listener with an empty session id.
  virtual void UserChanged(const std::string& user_id) = 0;

  /// Called when a user's tokens become invalid or a session ends; open sockets of it are closed by
  /// the listener. Either id may be empty: an empty session id means all sessions of the user, an
  /// empty user id means "whoever has it".
  virtual void SetRevocationListener(
      std::function<void(const std::string& user_id, const std::string& session_id)> listener) = 0;
  /// Stops the hashing pool; queued work is answered with kStorage.
  virtual void Close() = 0;

  /// Held around each read-modify-write of a user's record, by sign-ins and by user statements alike, so that a sign-in
  /// never writes an old password back.
  std::unique_lock<std::mutex> LockUsers() { return std::unique_lock(user_mutex_); }

 private:
  std::mutex user_mutex_;
};

/// 8 to 72 bytes and not among the common ones; with `complexity` also upper, lower, digit,
/// special. Empty when fine.
std::string PasswordProblem(std::string_view password, bool complexity);

/// Reads `<data>/jwt_secret` (mode 0600) or creates it with 64 random hex digits. Errors:
/// StorageIo, Config (readable by others).
Result<std::string> LoadOrCreateSecret(const std::string& path);

/// A signed HS256 token for a user, for tools that hold the secret (demo, bench, reset).
std::string MintToken(std::string_view secret, std::string_view user_id, std::string_view role,
                      int64_t issued_s, int64_t expires_s);

}  // namespace kalam::auth
