// The authenticator: logins, tokens and what ends them.
#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <unordered_map>

#include "auth/auth.h"
#include "auth/hashing_pool.h"
#include "auth/login_attempts.h"
#include "auth/password.h"
#include "auth/session_store.h"
#include "auth/token.h"
#include "base/id_generators.h"

namespace kalam::auth {
namespace {

constexpr size_t kHashingQueueMax = 256;
constexpr size_t kVerifiedTokensMax = 4096;
constexpr int64_t kUserRecheckUs = 5'000'000;
constexpr int64_t kRefreshGraceUs = 60'000'000;
constexpr size_t kUserBytesMax = 128;
constexpr size_t kPasswordBytesMax = 256;
constexpr char kRootUser[] = "root";

AuthOutcome Fail(AuthFailure failure, std::string message) {
  AuthOutcome outcome;
  outcome.failure = failure;
  outcome.message = std::move(message);
  return outcome;
}

AuthOutcome InvalidToken() {
  return Fail(AuthFailure::kInvalidCredentials, "Invalid or revoked token");
}

std::string LockedMessage(int64_t locked_us) {
  const int64_t minutes = (locked_us + 59'999'999) / 60'000'000;
  return "Account is locked. Try again in " + std::to_string(minutes) +
         (minutes == 1 ? " minute" : " minutes");
}

class AuthenticatorImpl final : public Authenticator {
 public:
  AuthenticatorImpl(const AuthOptions& options, const catalog::Catalog& catalog,
                    RecordWriter write_records, const Clock& clock)
      : options_(options),
        catalog_(catalog),
        write_records_(write_records),
        clock_(clock),
        sessions_(std::move(write_records)),
        attempts_(options.lockout_failures, options.lockout_seconds * 1'000'000),
        pool_(std::max(1, options.hashing_threads), kHashingQueueMax) {}
  ~AuthenticatorImpl() override { Close(); }

  Status Load(storage::Store& store) { return sessions_.Load(store, clock_.NowUs() / 1'000'000); }

  AuthOutcome VerifyToken(std::string_view token, TokenUse use) override;
  void Login(LoginAttempt attempt, std::function<void(AuthOutcome)> done) override;
  void HashPassword(std::string password, std::function<void(Result<std::string>)> done) override;
  Result<std::string> HashPasswordNow(std::string_view password) override;
  TokenPair IssueTokens(const catalog::UserRecord& user, const std::string& session_id) override;
  AuthOutcome Refresh(std::string_view refresh_token, TokenPair* tokens) override;
  Status RevokeSession(const std::string& session_id) override;
  void UserChanged(const std::string& user_id) override;
  void SetRevocationListener(
      std::function<void(const std::string&, const std::string&)> listener) override {
    const std::lock_guard lock(mutex_);
    listener_ = std::move(listener);
  }
  void Close() override { pool_.Close(); }

 private:
  // What a token said when it was last checked against its user.
  struct Verified {
    Principal principal;
    int64_t issued_at_us;
    int64_t checked_steady_us;
  };

  AuthOutcome VerifyUncached(std::string_view token, TokenUse use, TokenClaims* claims);
  AuthOutcome CheckTimes(int64_t expires_at_s) const;
  AuthOutcome CheckUser(const TokenClaims& claims);
  AuthOutcome CheckPassword(const LoginAttempt& attempt);
  AuthOutcome RecordFailure(const LoginAttempt& attempt, bool user_exists);
  Status UpdateUser(const std::string& user_id,
                    const std::function<void(catalog::UserRecord&)>& change);
  void Tell(const std::string& user_id, const std::string& session_id);
  const std::string& DummyHash();

  const AuthOptions options_;
  const catalog::Catalog& catalog_;
  const RecordWriter write_records_;
  const Clock& clock_;
  SessionStore sessions_;
  LoginAttempts attempts_;
  HashingPool pool_;
  std::once_flag dummy_once_;
  std::string dummy_hash_;
  std::atomic<uint64_t> epoch_{0};  // moves with every revocation
  std::mutex mutex_;
  std::unordered_map<std::string, Verified> verified_;  // guarded by mutex_; key: token text
  std::function<void(const std::string&, const std::string&)> listener_;  // guarded by mutex_
};

AuthOutcome AuthenticatorImpl::CheckTimes(int64_t expires_at_s) const {
  if (clock_.NowUs() / 1'000'000 > expires_at_s + kTokenLeewaySeconds) {
    return Fail(AuthFailure::kTokenExpired, "Token has expired");
  }
  return {};
}

AuthOutcome AuthenticatorImpl::VerifyToken(std::string_view token, TokenUse use) {
  const int64_t steady_us = clock_.SteadyUs();
  const std::string key(token);
  if (use == TokenUse::kAccess) {
    const std::lock_guard lock(mutex_);
    const auto found = verified_.find(key);
    if (found != verified_.end() && steady_us - found->second.checked_steady_us < kUserRecheckUs) {
      AuthOutcome outcome = CheckTimes(found->second.principal.expires_at_s);
      if (outcome.failure == AuthFailure::kNone) outcome.principal = found->second.principal;
      return outcome;
    }
  }
  TokenClaims claims;
  const uint64_t epoch = epoch_.load();
  AuthOutcome outcome = VerifyUncached(token, use, &claims);
  const std::lock_guard lock(mutex_);
  if (outcome.failure != AuthFailure::kNone || use != TokenUse::kAccess) {
    verified_.erase(key);
    return outcome;
  }
  // Something was revoked while we looked: do not remember what may just have ended.
  if (epoch != epoch_.load()) return outcome;
  // Forgetting everything at the bound costs each token one more check, and needs no order among
  // them.
  if (verified_.size() >= kVerifiedTokensMax) verified_.clear();
  verified_[key] = {outcome.principal, claims.issued_at_us, steady_us};
  return outcome;
}

AuthOutcome AuthenticatorImpl::VerifyUncached(std::string_view token, TokenUse use,
                                              TokenClaims* claims) {
  Result<TokenClaims> read = ReadToken(options_.jwt_secret, token);
  if (!read.ok()) return InvalidToken();
  *claims = std::move(*read);
  const bool trusted = claims->issuer == kIssuer ||
                       std::find(options_.trusted_issuers.begin(), options_.trusted_issuers.end(),
                                 claims->issuer) != options_.trusted_issuers.end();
  const int64_t now_s = clock_.NowUs() / 1'000'000;
  if (!trusted || claims->subject.empty() || claims->expires_at_s == 0) return InvalidToken();
  if (claims->token_type != (use == TokenUse::kAccess ? "access" : "refresh"))
    return InvalidToken();
  if (claims->not_before_s > now_s + kTokenLeewaySeconds ||
      claims->issued_at_s > now_s + kTokenLeewaySeconds) {
    return InvalidToken();
  }
  AuthOutcome outcome = CheckTimes(claims->expires_at_s);
  if (outcome.failure != AuthFailure::kNone) return outcome;
  if (!claims->session_id.empty() && sessions_.IsEnded(claims->session_id)) return InvalidToken();
  return CheckUser(*claims);
}

AuthOutcome AuthenticatorImpl::CheckUser(const TokenClaims& claims) {
  Result<std::optional<catalog::UserRecord>> found = catalog_.FindUser(claims.subject);
  if (!found.ok()) return Fail(AuthFailure::kStorage, "The user's record cannot be read");
  if (!found->has_value() || (*found)->deleted_at_us) return InvalidToken();
  const catalog::UserRecord& user = **found;
  if (claims.role != catalog::RoleName(user.role)) return InvalidToken();
  // A token without our own stamp counts as issued at the end of its second.
  const int64_t issued_us =
      claims.issued_at_us != 0 ? claims.issued_at_us : claims.issued_at_s * 1'000'000 + 999'999;
  if (issued_us < user.tokens_valid_from_us) return InvalidToken();
  AuthOutcome outcome;
  outcome.principal.caller = {user.user_id, user.role};
  outcome.principal.session_id = claims.session_id;
  outcome.principal.expires_at_s = claims.expires_at_s;
  outcome.principal.issued_at_s = claims.issued_at_s;
  return outcome;
}

const std::string& AuthenticatorImpl::DummyHash() {
  std::call_once(dummy_once_, [this] {
    Result<std::string> hash = HashBcrypt(RandomHex(32), options_.bcrypt_cost);
    if (hash.ok()) dummy_hash_ = std::move(*hash);
  });
  return dummy_hash_;
}

void AuthenticatorImpl::Login(LoginAttempt attempt, std::function<void(AuthOutcome)> done) {
  const bool posted = pool_.Post([this, attempt = std::move(attempt), done](bool cancelled) {
    done(cancelled ? Fail(AuthFailure::kStorage, "Server is shutting down")
                   : CheckPassword(attempt));
  });
  if (!posted)
    done(Fail(AuthFailure::kRateLimited, "Too many logins at once; try again in a moment"));
}

AuthOutcome AuthenticatorImpl::CheckPassword(const LoginAttempt& attempt) {
  const AuthOutcome refused = Fail(AuthFailure::kInvalidCredentials, "Invalid credentials");
  if (attempt.user_id.size() > kUserBytesMax || attempt.password.size() > kPasswordBytesMax)
    return refused;
  const int64_t now_us = clock_.NowUs();
  const int64_t locked_us = attempts_.LockedForUs(attempt.user_id, attempt.client_address, now_us);
  if (locked_us > 0) return Fail(AuthFailure::kAccountLocked, LockedMessage(locked_us));

  Result<std::optional<catalog::UserRecord>> found = catalog_.FindUser(attempt.user_id);
  if (!found.ok()) return Fail(AuthFailure::kStorage, "The user's record cannot be read");
  std::optional<catalog::UserRecord> user = std::move(*found);
  if (user && user->deleted_at_us) user.reset();
  if (user && user->user_id == kRootUser && user->password_hash.empty()) {
    if (attempt.password.empty() || attempt.from_loopback) {
      return Fail(AuthFailure::kSetupRequired,
                  "Root has no password yet; run the setup first (POST /v1/api/auth/setup)");
    }
    return Fail(AuthFailure::kForbidden,
                "Root has no password yet; run the setup from the server's own machine");
  }
  if (user && user->locked_until_us && *user->locked_until_us > now_us) {
    return Fail(AuthFailure::kAccountLocked, LockedMessage(*user->locked_until_us - now_us));
  }
  // An unknown user costs the same hash as a known one.
  const bool usable =
      user && !user->password_hash.empty() && user->auth_type != catalog::AuthType::kOAuth;
  const bool matches = VerifyBcrypt(attempt.password, usable ? user->password_hash : DummyHash());
  if (!usable || !matches) return RecordFailure(attempt, user.has_value());

  attempts_.Clear(attempt.user_id, attempt.client_address);
  const Status written = UpdateUser(attempt.user_id, [now_us](catalog::UserRecord& record) {
    record.failed_login_attempts = 0;
    record.locked_until_us.reset();
    record.last_login_at_us = now_us;
    record.last_seen_us = now_us;
  });
  if (!written.ok()) return Fail(AuthFailure::kStorage, written.ToString());
  AuthOutcome outcome;
  outcome.principal.caller = {user->user_id, user->role};
  return outcome;
}

// Reads the record afresh: the hash took a while, and the password may have changed meanwhile.
Status AuthenticatorImpl::UpdateUser(const std::string& user_id,
                                     const std::function<void(catalog::UserRecord&)>& change) {
  const std::unique_lock lock = LockUsers();
  KALAM_ASSIGN_OR_RETURN(std::optional<catalog::UserRecord> user, catalog_.FindUser(user_id));
  if (!user || user->deleted_at_us) return {};
  change(*user);
  return write_records_(catalog_.PutUser(*user));
}

AuthOutcome AuthenticatorImpl::RecordFailure(const LoginAttempt& attempt, bool user_exists) {
  const int64_t now_us = clock_.NowUs();
  const bool lock_user = attempts_.AddFailure(attempt.user_id, attempt.client_address, now_us);
  if (user_exists) {
    const int64_t lock_until_us = now_us + options_.lockout_seconds * 1'000'000;
    const Status written = UpdateUser(attempt.user_id, [&](catalog::UserRecord& record) {
      ++record.failed_login_attempts;
      if (lock_user) record.locked_until_us = lock_until_us;
    });
    if (!written.ok()) return Fail(AuthFailure::kStorage, written.ToString());
  }
  return Fail(AuthFailure::kInvalidCredentials, "Invalid credentials");
}

void AuthenticatorImpl::HashPassword(std::string password,
                                     std::function<void(Result<std::string>)> done) {
  const bool posted = pool_.Post([this, password = std::move(password), done](bool cancelled) {
    if (cancelled) {
      done(Status(ErrorKind::ShuttingDown, "Server is shutting down"));
    } else {
      done(HashPasswordNow(password));
    }
  });
  if (!posted)
    done(Status(ErrorKind::Busy, "Too many passwords are being hashed; try again in a moment"));
}

Result<std::string> AuthenticatorImpl::HashPasswordNow(std::string_view password) {
  if (options_.enforce_password_complexity) {
    const std::string problem = PasswordProblem(password, true);
    if (!problem.empty()) return Status(ErrorKind::InvalidOperation, problem);
  }
  return HashBcrypt(password, options_.bcrypt_cost);
}

TokenPair AuthenticatorImpl::IssueTokens(const catalog::UserRecord& user,
                                         const std::string& session_id) {
  TokenClaims claims;
  claims.subject = user.user_id;
  claims.issuer = kIssuer;
  claims.role = catalog::RoleName(user.role);
  claims.email = user.email;
  claims.session_id = session_id.empty() ? RandomHex(24) : session_id;
  claims.issued_at_us = clock_.NowUs();
  claims.issued_at_s = claims.issued_at_us / 1'000'000;
  TokenPair tokens;
  claims.token_type = "access";
  claims.token_id = RandomHex(24);
  claims.expires_at_s = tokens.access_expires_s =
      claims.issued_at_s + options_.access_token_seconds;
  tokens.access_token = SignToken(options_.jwt_secret, claims);
  claims.token_type = "refresh";
  claims.token_id = RandomHex(24);
  claims.expires_at_s = tokens.refresh_expires_s =
      claims.issued_at_s + options_.refresh_token_seconds;
  tokens.refresh_token = SignToken(options_.jwt_secret, claims);
  return tokens;
}

AuthOutcome AuthenticatorImpl::Refresh(std::string_view refresh_token, TokenPair* tokens) {
  TokenClaims claims;
  AuthOutcome outcome = VerifyUncached(refresh_token, TokenUse::kRefresh, &claims);
  if (outcome.failure != AuthFailure::kNone) return outcome;
  const int64_t now_us = clock_.NowUs();
  if (!claims.token_id.empty()) {
    const int64_t spent_us = sessions_.SpentSinceUs(claims.token_id);
    if (spent_us != 0 && now_us - spent_us > kRefreshGraceUs) return InvalidToken();
    const Status written =
        sessions_.Spend(claims.token_id, now_us, claims.expires_at_s + kTokenLeewaySeconds);
    if (!written.ok()) return Fail(AuthFailure::kStorage, written.ToString());
  }
  Result<std::optional<catalog::UserRecord>> user = catalog_.FindUser(claims.subject);
  if (!user.ok() || !user->has_value()) return InvalidToken();
  *tokens = IssueTokens(**user, claims.session_id);
  return outcome;
}

Status AuthenticatorImpl::RevokeSession(const std::string& session_id) {
  if (session_id.empty()) return {};
  const int64_t now_us = clock_.NowUs();
  KALAM_RETURN_IF_ERROR(sessions_.End(
      session_id, now_us,
      now_us / 1'000'000 + std::max(options_.access_token_seconds, options_.refresh_token_seconds) +
          kTokenLeewaySeconds));
  {
    const std::lock_guard lock(mutex_);
    ++epoch_;
    std::erase_if(verified_, [&](const auto& entry) {
      return entry.second.principal.session_id == session_id;
    });
  }
  Tell({}, session_id);
  return {};
}

void AuthenticatorImpl::UserChanged(const std::string& user_id) {
  {
    const std::lock_guard lock(mutex_);
    ++epoch_;
    std::erase_if(verified_, [&](const auto& entry) {
      return entry.second.principal.caller.user_id == user_id;
    });
  }
  Tell(user_id, {});
}

void AuthenticatorImpl::Tell(const std::string& user_id, const std::string& session_id) {
  std::function<void(const std::string&, const std::string&)> listener;
  {
    const std::lock_guard lock(mutex_);
    listener = listener_;
  }
  if (listener) listener(user_id, session_id);
}

}  // namespace

Result<std::unique_ptr<Authenticator>> Authenticator::Make(const AuthOptions& options,
                                                           const catalog::Catalog& catalog,
                                                           storage::Store& store,
                                                           RecordWriter write_records,
                                                           const Clock& clock) {
  if (options.jwt_secret.empty())
    return Status(ErrorKind::Config, "auth.jwt_secret must not be empty");
  auto authenticator =
      std::make_unique<AuthenticatorImpl>(options, catalog, std::move(write_records), clock);
  KALAM_RETURN_IF_ERROR(authenticator->Load(store));
  return std::unique_ptr<Authenticator>(std::move(authenticator));
}

}  // namespace kalam::auth
