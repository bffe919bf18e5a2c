// Signatures against the examples that the services publish.
#include "objects/signing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

namespace kalam::objects {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMay24Us = int64_t{1369353600} * 1'000'000;  // 2013-05-24T00:00:00Z
const AwsCredentials kExample{.access_key_id = "AKIAIOSFODNN7EXAMPLE",
                              .secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                              .session_token = ""};
constexpr char kEmptyHash[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string Authorization(const std::vector<std::pair<std::string, std::string>>& headers) {
  return headers.back().second;
}

// The four examples of "Signature Calculations for the Authorization Header" in the Amazon S3 API
// reference.
TEST(SigningTest, AwsExampleGetObject) {
  EXPECT_EQ(Authorization(SignAws({.method = "GET",
                                   .host = "examplebucket.s3.amazonaws.com",
                                   .encoded_path = "/test.txt",
                                   .query = {},
                                   .payload_sha256_hex = kEmptyHash,
                                   .region = "us-east-1",
                                   .now_us = kMay24Us,
                                   .extra_headers = {{"range", "bytes=0-9"}}},
                                  kExample)),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(SigningTest, AwsExamplePutObject) {
  EXPECT_THAT(
      Authorization(
          SignAws({.method = "PUT",
                   .host = "examplebucket.s3.amazonaws.com",
                   .encoded_path = "/" + PercentEncode("test$file.text", SlashEncoding::kKeep),
                   .query = {},
                   .payload_sha256_hex = Hex(Sha256("Welcome to Amazon S3.")),
                   .region = "us-east-1",
                   .now_us = kMay24Us,
                   .extra_headers = {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                                     {"x-amz-storage-class", "REDUCED_REDUNDANCY"}}},
                  kExample)),
      HasSubstr("Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"));
}

TEST(SigningTest, AwsExampleListing) {
  EXPECT_THAT(
      Authorization(SignAws({.method = "GET",
                             .host = "examplebucket.s3.amazonaws.com",
                             .encoded_path = "/",
                             .query = {{"prefix", "J"}, {"max-keys", "2"}},
                             .payload_sha256_hex = kEmptyHash,
                             .region = "us-east-1",
                             .now_us = kMay24Us,
                             .extra_headers = {}},
                            kExample)),
      HasSubstr("Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

TEST(SigningTest, AwsSessionTokenIsSigned) {
  AwsCredentials temporary = kExample;
  temporary.session_token = "token";
  const auto headers = SignAws({.method = "GET",
                                .host = "h",
                                .encoded_path = "/",
                                .query = {},
                                .payload_sha256_hex = kEmptyHash,
                                .region = "r",
                                .now_us = kMay24Us,
                                .extra_headers = {}},
                               temporary);
  EXPECT_THAT(headers, testing::Contains(testing::Pair("x-amz-security-token", "token")));
  EXPECT_THAT(Authorization(headers), HasSubstr("x-amz-date;x-amz-security-token,"));
}

TEST(SigningTest, Encodings) {
  EXPECT_EQ(PercentEncode("a b/ü~", SlashEncoding::kKeep), "a%20b/%C3%BC~");
  EXPECT_EQ(PercentEncode("a/b", SlashEncoding::kEncode), "a%2Fb");
  EXPECT_EQ(EncodeQuery({{"b", "2"}, {"a", "x y"}, {"acl", ""}}), "a=x%20y&acl=&b=2");
  // RFC 4648.
  EXPECT_EQ(Base64(""), "");
  EXPECT_EQ(Base64("fo"), "Zm8=");
  EXPECT_EQ(Base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(Base64Url("\xfb\xff"), "-_8");
  EXPECT_EQ(*Base64Decode("Zm9vYg=="), "foob");
  EXPECT_EQ(*Base64Decode("Zm9vYmE="), "fooba");
  EXPECT_FALSE(Base64Decode("abc").ok());
  EXPECT_FALSE(Base64Decode("a*==").ok());
  EXPECT_EQ(Hex(Sha256("")), kEmptyHash);
  // RFC 4231, test case 2.
  EXPECT_EQ(Hex(HmacSha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(AwsTime(kMay24Us), "20130524T000000Z");
  EXPECT_EQ(HttpTime(kMay24Us), "Fri, 24 May 2013 00:00:00 GMT");
}

TEST(SigningTest, TokensVerifyWithThePublicKey) {
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(EVP_RSA_gen(2048), EVP_PKEY_free);
  ASSERT_NE(key, nullptr);
  const std::unique_ptr<BIO, int (*)(BIO*)> out(BIO_new(BIO_s_mem()), BIO_free);
  ASSERT_EQ(PEM_write_bio_PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr),
            1);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(out.get(), &bytes);
  const auto token = SignRs256(R"({"alg":"RS256"})", R"({"iss":"a"})",
                               std::string_view(bytes, static_cast<size_t>(size)));
  ASSERT_TRUE(token.ok()) << token.status().ToString();
  const size_t dot = token->rfind('.');
  EXPECT_EQ(token->substr(0, dot), "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0");
  std::string signature = token->substr(dot + 1);
  for (char& c : signature) c = c == '-' ? '+' : c == '_' ? '/' : c;
  while (signature.size() % 4 != 0) signature += '=';
  const std::string raw = *Base64Decode(signature);
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                   EVP_MD_CTX_free);
  ASSERT_EQ(EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()), 1);
  EXPECT_EQ(
      EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(raw.data()),
                       raw.size(), reinterpret_cast<const unsigned char*>(token->data()), dot),
      1);
  EXPECT_TRUE(SignRs256("{}", "{}", "no key").status().Is(ErrorKind::InvalidOperation));
}

}  // namespace
}  // namespace kalam::objects
