// The signatures that object stores want: AWS Signature Version 4, Azure SharedKey, RS256 tokens.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "objects/http_client.h"

namespace kalam::objects {

/// Everything but letters, digits and `-_.~` as %XX; `/` stays when `keep_slash`.
enum class SlashEncoding : uint8_t { kKeep, kEncode };
std::string PercentEncode(std::string_view text, SlashEncoding slash);
std::string Base64(std::string_view bytes);
std::string Base64Url(std::string_view bytes);  // without padding
/// Errors: InvalidOperation when `text` is no base64.
Result<std::string> Base64Decode(std::string_view text);
std::string Hex(std::string_view bytes);
std::string Sha256(std::string_view bytes);
/// Errors: StorageIo when the file cannot be read.
Result<std::string> Sha256(const HttpBody& body);
std::string HmacSha256(std::string_view key, std::string_view text);

struct AwsCredentials {
  std::string access_key_id, secret_access_key, session_token;
};

/// Query parameters, not encoded, in any order.
using QueryParameters = std::vector<std::pair<std::string, std::string>>;
/// `a=1&b=%20`, ordered by name.
std::string EncodeQuery(QueryParameters parameters);

/// One request as it is signed.
struct AwsRequest {
  std::string method;
  std::string host;          // with the port when it is not the scheme's own
  std::string encoded_path;  // "/bucket/a%20b"
  QueryParameters query;
  std::string payload_sha256_hex;
  std::string region;
  std::string service = "s3";
  int64_t now_us = 0;
  std::vector<std::pair<std::string, std::string>> extra_headers;  // signed too; lower-case names
};
/// The headers to send with it: `x-amz-*`, the extra ones and `Authorization`. Source:
/// "Authenticating Requests (AWS Signature Version 4)" of the Amazon S3 API reference.
std::vector<std::pair<std::string, std::string>> SignAws(const AwsRequest& request,
                                                         const AwsCredentials& credentials);

/// One request to Azure Blob Storage. `headers` holds all `x-ms-*` headers.
struct AzureRequest {
  std::string method;
  std::string account;
  std::string encoded_path;  // of the URL, "/container/a%20b"
  QueryParameters query;
  int64_t content_length = 0;
  std::string content_type;
  std::vector<std::pair<std::string, std::string>> headers;
};
/// The Authorization header. `key` is decoded. Source: "Authorize with Shared Key" of the Azure
/// Storage REST reference.
std::string SignAzure(const AzureRequest& request, std::string_view key);

/// A signed JSON Web Token. Errors: InvalidOperation when `private_key_pem` is no RSA key.
Result<std::string> SignRs256(std::string_view header_json, std::string_view claims_json,
                              std::string_view private_key_pem);

/// "20130524T000000Z" of a moment, and "Fri, 24 May 2013 00:00:00 GMT".
std::string AwsTime(int64_t now_us);
std::string HttpTime(int64_t now_us);

}  // namespace kalam::objects
