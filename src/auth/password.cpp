// bcrypt through crypt(3), and the password rules of docs/protocol.md, "Passwords".
#include "auth/password.h"

#include <crypt.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <memory>

#include "auth/auth.h"
#include "base/id_generators.h"

namespace kalam::auth {
namespace {

constexpr size_t kPasswordBytesMin = 8;
constexpr size_t kBcryptBytesMax = 72;

constexpr std::array<std::string_view, 24> kCommonPasswords = {
    "password",   "password1", "password12", "password123", "12345678", "123456789",
    "1234567890", "qwerty123", "qwertyuiop", "iloveyou",    "sunshine", "princess",
    "football",   "baseball",  "welcome1",   "welcome123",  "admin123", "letmein1",
    "trustno1",   "superman",  "michael1",   "11111111",    "abcd1234", "changeme"};

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

// crypt_r wants 32 KB of scratch space, too much for a small stack.
std::string Crypt(std::string_view password, const std::string& setting) {
  auto scratch = std::make_unique<crypt_data>();
  const std::string phrase(password);
  const char* hash = crypt_r(phrase.c_str(), setting.c_str(), scratch.get());
  return hash == nullptr || hash[0] == '*' ? std::string() : std::string(hash);
}

bool EqualInConstantTime(const std::string& a, const std::string& b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

}  // namespace

Result<std::string> HashBcrypt(std::string_view password, int cost) {
  if (password.size() > kBcryptBytesMax) {
    return Status(ErrorKind::InvalidInput, "Password is too long: use at most 72 bytes");
  }
  if (password.find('\0') != std::string_view::npos) {
    return Status(ErrorKind::InvalidInput, "Password must not contain a NUL character");
  }
  std::array<char, 16> random{};
  FillRandom(random.data(), random.size());
  std::array<char, CRYPT_GENSALT_OUTPUT_SIZE> setting{};
  const auto rounds = static_cast<unsigned long>(std::clamp(cost, 4, 31));
  if (crypt_gensalt_rn("$2b$", rounds, random.data(), static_cast<int>(random.size()),
                       setting.data(), static_cast<int>(setting.size())) == nullptr) {
    return Status(ErrorKind::Internal, "The system's crypt library does not support bcrypt");
  }
  std::string hash = Crypt(password, setting.data());
  if (hash.empty()) return Status(ErrorKind::Internal, "Hashing the password failed");
  return hash;
}

bool VerifyBcrypt(std::string_view password, const std::string& hash) {
  if (hash.rfind("$2", 0) != 0) return false;
  if (password.size() > kBcryptBytesMax || password.find('\0') != std::string_view::npos) {
    // Spend the time of a hash all the same.
    (void)Crypt("", hash);
    return false;
  }
  return EqualInConstantTime(Crypt(password, hash), hash);
}

std::string PasswordProblem(std::string_view password, bool complexity) {
  if (password.size() < kPasswordBytesMin) return "Password must be at least 8 characters";
  if (password.size() > kBcryptBytesMax) return "Password must be at most 72 bytes";
  const std::string lower = Lower(password);
  if (std::find(kCommonPasswords.begin(), kCommonPasswords.end(), lower) !=
      kCommonPasswords.end()) {
    return "Password is too common; choose another one";
  }
  if (!complexity) return {};
  bool has_upper = false, has_lower = false, has_digit = false, has_special = false;
  for (unsigned char c : password) {
    if (std::isupper(c))
      has_upper = true;
    else if (std::islower(c))
      has_lower = true;
    else if (std::isdigit(c))
      has_digit = true;
    else
      has_special = true;
  }
  if (!has_upper) return "Password must contain an uppercase letter";
  if (!has_lower) return "Password must contain a lowercase letter";
  if (!has_digit) return "Password must contain a digit";
  if (!has_special) return "Password must contain a special character";
  return {};
}

}  // namespace kalam::auth
