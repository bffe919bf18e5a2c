// Signing with OpenSSL.
#include "objects/signing.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <map>
#include <memory>

namespace kalam::objects {
namespace {

constexpr size_t kReadBytes = 64 << 10;
constexpr size_t kSha256Bytes = 32;

struct DigestCloser {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Digest = std::unique_ptr<EVP_MD_CTX, DigestCloser>;

std::string Finish(EVP_MD_CTX* context) {
  std::string digest(kSha256Bytes, '\0');
  EVP_DigestFinal_ex(context, reinterpret_cast<unsigned char*>(digest.data()), nullptr);
  return digest;
}

std::tm UtcOf(int64_t now_us) {
  const time_t seconds = now_us / 1'000'000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return parts;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return lower;
}

}  // namespace

std::string PercentEncode(std::string_view text, SlashEncoding slash) {
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~' ||
                       (c == '/' && slash == SlashEncoding::kKeep);
    if (plain) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

std::string Base64(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  text.resize(static_cast<size_t>(size));
  return text;
}

std::string Base64Url(std::string_view bytes) {
  std::string text = Base64(bytes);
  while (text.ends_with('=')) text.pop_back();
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  return text;
}

Result<std::string> Base64Decode(std::string_view text) {
  std::string bytes(text.size() / 4 * 3 + 3, '\0');
  const int size = text.size() % 4 == 0 && !text.empty()
                       ? EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                         reinterpret_cast<const unsigned char*>(text.data()),
                                         static_cast<int>(text.size()))
                       : -1;
  if (size < 0) return Status(ErrorKind::InvalidOperation, "This is not base64");
  // The padding was decoded to zeros.
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  bytes.resize(static_cast<size_t>(size) - padding);
  return bytes;
}

std::string Hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

std::string Sha256(std::string_view bytes) {
  const Digest context(EVP_MD_CTX_new());
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  EVP_DigestUpdate(context.get(), bytes.data(), bytes.size());
  return Finish(context.get());
}

Result<std::string> Sha256(const HttpBody& body) {
  if (body.fd < 0) return Sha256(body.bytes);
  const Digest context(EVP_MD_CTX_new());
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  std::string buffer(kReadBytes, '\0');
  for (int64_t done = 0; done < body.size;) {
    const auto wanted = static_cast<size_t>(
        std::min<int64_t>(static_cast<int64_t>(buffer.size()), body.size - done));
    const ssize_t count = pread(body.fd, buffer.data(), wanted, body.offset + done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return Status(ErrorKind::StorageIo, "A local file cannot be read to its end");
    EVP_DigestUpdate(context.get(), buffer.data(), static_cast<size_t>(count));
    done += count;
  }
  return Finish(context.get());
}

std::string HmacSha256(std::string_view key, std::string_view text) {
  std::string digest(kSha256Bytes, '\0');
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(),
       reinterpret_cast<unsigned char*>(digest.data()), nullptr);
  return digest;
}

std::string EncodeQuery(QueryParameters parameters) {
  for (auto& [name, value] : parameters) {
    name = PercentEncode(name, SlashEncoding::kEncode);
    value = PercentEncode(value, SlashEncoding::kEncode);
  }
  std::sort(parameters.begin(), parameters.end());
  std::string query;
  for (const auto& [name, value] : parameters) {
    query += fmt::format("{}{}={}", query.empty() ? "" : "&", name, value);
  }
  return query;
}

std::string AwsTime(int64_t now_us) {
  const std::tm parts = UtcOf(now_us);
  return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string HttpTime(int64_t now_us) {
  static constexpr std::array<const char*, 7> kDays = {"Sun", "Mon", "Tue", "Wed",
                                                       "Thu", "Fri", "Sat"};
  static constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::tm parts = UtcOf(now_us);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
                     kDays[static_cast<size_t>(parts.tm_wday)], parts.tm_mday,
                     kMonths[static_cast<size_t>(parts.tm_mon)], parts.tm_year + 1900,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::vector<std::pair<std::string, std::string>> SignAws(const AwsRequest& request,
                                                         const AwsCredentials& credentials) {
  const std::string time = AwsTime(request.now_us);
  const std::string date = time.substr(0, 8);
  std::vector<std::pair<std::string, std::string>> headers = request.extra_headers;
  headers.emplace_back("x-amz-content-sha256", request.payload_sha256_hex);
  headers.emplace_back("x-amz-date", time);
  if (!credentials.session_token.empty()) {
    headers.emplace_back("x-amz-security-token", credentials.session_token);
  }
  std::map<std::string, std::string> to_sign(headers.begin(), headers.end());
  to_sign["host"] = request.host;
  std::string canonical_headers, signed_names;
  for (const auto& [name, value] : to_sign) {
    canonical_headers += fmt::format("{}:{}\n", name, value);
    signed_names += fmt::format("{}{}", signed_names.empty() ? "" : ";", name);
  }
  const std::string canonical = fmt::format(
      "{}\n{}\n{}\n{}\n{}\n{}", request.method, request.encoded_path, EncodeQuery(request.query),
      canonical_headers, signed_names, request.payload_sha256_hex);
  const std::string scope =
      fmt::format("{}/{}/{}/aws4_request", date, request.region, request.service);
  const std::string to_be_signed =
      fmt::format("AWS4-HMAC-SHA256\n{}\n{}\n{}", time, scope, Hex(Sha256(canonical)));
  std::string key = HmacSha256("AWS4" + credentials.secret_access_key, date);
  key = HmacSha256(key, request.region);
  key = HmacSha256(key, request.service);
  key = HmacSha256(key, "aws4_request");
  headers.emplace_back(
      "Authorization",
      fmt::format("AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={}",
                  credentials.access_key_id, scope, signed_names,
                  Hex(HmacSha256(key, to_be_signed))));
  return headers;
}

std::string SignAzure(const AzureRequest& request, std::string_view key) {
  std::map<std::string, std::string> headers;
  for (const auto& [name, value] : request.headers) {
    if (name.starts_with("x-ms-")) headers[name] = value;
  }
  // Method, encoding, language, length, MD5, type, date and four conditions, range; of which only
  // three are used here.
  std::string text =
      fmt::format("{}\n\n\n{}\n\n{}\n\n\n\n\n\n\n", request.method,
                  request.content_length == 0 ? "" : std::to_string(request.content_length),
                  request.content_type);
  for (const auto& [name, value] : headers) text += fmt::format("{}:{}\n", name, value);
  text += fmt::format("/{}{}", request.account, request.encoded_path);
  std::map<std::string, std::string> query;
  for (const auto& [name, value] : request.query) query[Lower(name)] = value;
  for (const auto& [name, value] : query) text += fmt::format("\n{}:{}", name, value);
  return fmt::format("SharedKey {}:{}", request.account, Base64(HmacSha256(key, text)));
}

Result<std::string> SignRs256(std::string_view header_json, std::string_view claims_json,
                              std::string_view private_key_pem) {
  const Status no_key(ErrorKind::InvalidOperation, "private_key is not an RSA key in PEM");
  const std::unique_ptr<BIO, int (*)(BIO*)> source(
      BIO_new_mem_buf(private_key_pem.data(), static_cast<int>(private_key_pem.size())), BIO_free);
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(
      source == nullptr ? nullptr
                        : PEM_read_bio_PrivateKey(source.get(), nullptr, nullptr, nullptr),
      EVP_PKEY_free);
  if (key == nullptr || EVP_PKEY_base_id(key.get()) != EVP_PKEY_RSA) return no_key;
  const std::string text = fmt::format("{}.{}", Base64Url(header_json), Base64Url(claims_json));
  const Digest context(EVP_MD_CTX_new());
  size_t size = 0;
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, bytes, text.size()) != 1) {
    return no_key;
  }
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                     bytes, text.size()) != 1) {
    return no_key;
  }
  signature.resize(size);
  return fmt::format("{}.{}", text, Base64Url(signature));
}

}  // namespace kalam::objects
