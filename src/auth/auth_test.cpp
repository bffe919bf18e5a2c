// Passwords, tokens, locks and the secret file, through their public surface.
#include "auth/auth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "auth/hashing_pool.h"
#include "auth/login_attempts.h"
#include "auth/password.h"
#include "auth/token.h"

namespace kalam::auth {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(Password, HashVerifiesOnlyItsPassword) {
  const Result<std::string> hash = HashBcrypt("correct horse", 4);
  ASSERT_TRUE(hash.ok()) << hash.status().ToString();
  EXPECT_THAT(*hash, StartsWith("$2b$04$"));
  EXPECT_TRUE(VerifyBcrypt("correct horse", *hash));
  EXPECT_FALSE(VerifyBcrypt("correct horsf", *hash));
  EXPECT_FALSE(VerifyBcrypt("", *hash));
  EXPECT_NE(*hash, *HashBcrypt("correct horse", 4)) << "the salt must differ";
}

TEST(Password, RefusesWhatBcryptWouldCutOff) {
  EXPECT_TRUE(HashBcrypt(std::string(72, 'x'), 4).ok());
  EXPECT_TRUE(HashBcrypt(std::string(73, 'x'), 4).status().Is(ErrorKind::InvalidInput));
  EXPECT_TRUE(HashBcrypt(std::string_view("a\0b", 3), 4).status().Is(ErrorKind::InvalidInput));
  const std::string hash = *HashBcrypt(std::string(72, 'x'), 4);
  EXPECT_FALSE(VerifyBcrypt(std::string(73, 'x'), hash));
}

TEST(Password, MalformedHashIsNoMatch) {
  EXPECT_FALSE(VerifyBcrypt("x", ""));
  EXPECT_FALSE(VerifyBcrypt("x", "$2b$04$short"));
  EXPECT_FALSE(VerifyBcrypt("x", "$1$salt$hash"));
}

TEST(Password, RulesNameWhatIsMissing) {
  EXPECT_THAT(PasswordProblem("short", false), HasSubstr("at least 8"));
  EXPECT_THAT(PasswordProblem("Password123", false), HasSubstr("too common"));
  EXPECT_THAT(PasswordProblem(std::string(73, 'a'), false), HasSubstr("72"));
  EXPECT_EQ(PasswordProblem("kalamdb123", false), "");
  EXPECT_THAT(PasswordProblem("kalamdb123!", true), HasSubstr("uppercase"));
  EXPECT_THAT(PasswordProblem("KALAMDB123!", true), HasSubstr("lowercase"));
  EXPECT_THAT(PasswordProblem("Kalamdbxyz!", true), HasSubstr("digit"));
  EXPECT_THAT(PasswordProblem("Kalamdb1234", true), HasSubstr("special character"));
  EXPECT_EQ(PasswordProblem("Kalamdb1234!", true), "");
}

TEST(Token, CarriesItsClaimsAndNeedsItsSecret) {
  TokenClaims claims;
  claims.subject = "ann";
  claims.issuer = kIssuer;
  claims.role = "user";
  claims.token_type = "access";
  claims.session_id = "s1";
  claims.token_id = "t1";
  claims.issued_at_s = 1'000;
  claims.issued_at_us = 1'000'000'007;
  claims.expires_at_s = 2'000;
  const std::string token = SignToken("0123456789abcdef0123456789abcdef", claims);
  const Result<TokenClaims> read = ReadToken("0123456789abcdef0123456789abcdef", token);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->subject, "ann");
  EXPECT_EQ(read->role, "user");
  EXPECT_EQ(read->session_id, "s1");
  EXPECT_EQ(read->token_id, "t1");
  EXPECT_EQ(read->issued_at_us, 1'000'000'007);
  EXPECT_EQ(read->expires_at_s, 2'000);
  EXPECT_FALSE(ReadToken("another secret of 32 characters!!", token).ok());
}

TEST(Token, MintedByAToolHasNoStampOfOurs) {
  const std::string secret = "0123456789abcdef0123456789abcdef";
  const Result<TokenClaims> read =
      ReadToken(secret, MintToken(secret, "ann", "user", 1'000, 2'000));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->issued_at_s, 1'000);
  EXPECT_EQ(read->expires_at_s, 2'000);
  EXPECT_EQ(read->token_type, "access");
  EXPECT_EQ(read->issuer, kIssuer);
  EXPECT_EQ(read->issued_at_us, 0);
  EXPECT_EQ(read->not_before_s, 0);
  EXPECT_EQ(read->session_id, "");
}

TEST(Token, RefusesWhatIsNotHs256) {
  // {"alg":"none","typ":"JWT"}.{"sub":"root","role":"system"}.
  const std::string unsigned_token =
      "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJyb290Iiwicm9sZSI6InN5c3RlbSJ9.";
  EXPECT_FALSE(ReadToken("0123456789abcdef0123456789abcdef", unsigned_token).ok());
  EXPECT_FALSE(ReadToken("0123456789abcdef0123456789abcdef", "").ok());
  EXPECT_FALSE(ReadToken("0123456789abcdef0123456789abcdef", "a.b.c").ok());
  EXPECT_FALSE(ReadToken("0123456789abcdef0123456789abcdef", std::string(100'000, 'a')).ok());
}

TEST(LoginAttempts, LockOnePairOnly) {
  LoginAttempts attempts(5, 900'000'000);
  const int64_t now_us = 1'000'000'000'000;
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(attempts.AddFailure("ann", "10.0.0.1", now_us));
  EXPECT_EQ(attempts.LockedForUs("ann", "10.0.0.1", now_us), 0);
  EXPECT_FALSE(attempts.AddFailure("ann", "10.0.0.1", now_us));
  EXPECT_EQ(attempts.LockedForUs("ann", "10.0.0.1", now_us), 900'000'000);
  EXPECT_EQ(attempts.LockedForUs("ann", "10.0.0.2", now_us), 0)
      << "another address must still get in";
  EXPECT_EQ(attempts.LockedForUs("ben", "10.0.0.1", now_us), 0);
  EXPECT_EQ(attempts.LockedForUs("ann", "10.0.0.1", now_us + 900'000'000), 0);
}

TEST(LoginAttempts, ManyAddressesLockTheUser) {
  LoginAttempts attempts(1, 900'000'000);
  EXPECT_FALSE(attempts.AddFailure("ann", "10.0.0.1", 1));
  EXPECT_FALSE(attempts.AddFailure("ann", "10.0.0.2", 2));
  EXPECT_FALSE(attempts.AddFailure("anna", "10.0.0.9", 2));
  EXPECT_TRUE(attempts.AddFailure("ann", "10.0.0.3", 3));
}

TEST(LoginAttempts, SuccessStartsOver) {
  LoginAttempts attempts(2, 900'000'000);
  attempts.AddFailure("ann", "a", 1);
  attempts.Clear("ann", "a");
  attempts.AddFailure("ann", "a", 2);
  EXPECT_EQ(attempts.LockedForUs("ann", "a", 3), 0);
}

TEST(LoginAttempts, IsBounded) {
  LoginAttempts attempts(1, 900'000'000, 3);
  for (int i = 0; i < 10; ++i) attempts.AddFailure("user" + std::to_string(i), "a", i + 1);
  EXPECT_EQ(attempts.LockedForUs("user0", "a", 11), 0) << "the oldest entry must have gone";
  EXPECT_GT(attempts.LockedForUs("user9", "a", 11), 0);
}

TEST(HashingPool, RunsTasksAndRefusesBeyondItsQueue) {
  std::mutex mutex;
  std::condition_variable changed;
  bool may_run = false;
  int ran = 0, cancelled_count = 0, accepted = 0;
  {
    HashingPool pool(1, 3);
    for (int i = 0; i < 20; ++i) {
      accepted += pool.Post([&](bool cancelled) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return may_run || cancelled; });
        cancelled ? ++cancelled_count : ++ran;
      });
    }
    // One may have left the queue for the thread.
    EXPECT_GE(accepted, 3);
    EXPECT_LE(accepted, 4);
    {
      const std::lock_guard lock(mutex);
      may_run = true;
    }
    changed.notify_all();
  }
  EXPECT_EQ(ran + cancelled_count, accepted) << "every accepted task is called exactly once";
}

TEST(Secret, IsCreatedOnceAndPrivate) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("kalam_auth_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  const std::string path = folder / "jwt_secret";
  const Result<std::string> first = LoadOrCreateSecret(path);
  ASSERT_TRUE(first.ok()) << first.status().ToString();
  EXPECT_EQ(first->size(), 64u);
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(*LoadOrCreateSecret(path), *first);

  chmod(path.c_str(), 0644);
  EXPECT_TRUE(LoadOrCreateSecret(path).status().Is(ErrorKind::Config));
  chmod(path.c_str(), 0600);
  std::ofstream(path) << "short\n";
  EXPECT_TRUE(LoadOrCreateSecret(path).status().Is(ErrorKind::Config));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace kalam::auth
