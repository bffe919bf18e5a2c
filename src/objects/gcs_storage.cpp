// Google Cloud Storage: its S3 protocol with HMAC keys, or with the token of a service account.
#include <fmt/format.h>

#include <mutex>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "objects/remote_client.h"
#include "objects/s3_storage.h"

namespace kalam::objects {
namespace {

constexpr std::string_view kGcsEndpoint = "https://storage.googleapis.com";
constexpr std::string_view kTokenUri = "https://oauth2.googleapis.com/token";
constexpr std::string_view kScope = "https://www.googleapis.com/auth/devstorage.read_write";
constexpr int64_t kAssertionSeconds = 3'600;
constexpr int64_t kRenewBeforeSeconds = 60;

struct ServiceAccount {
  std::string client_email, private_key, private_key_id, token_uri;
};

// Asks for a token with a signed assertion and keeps it until shortly before it ends. Source: RFC
// 7523; "Using OAuth 2.0 for Server to Server Applications" of Google.
class TokenSigner : public RequestSigner {
 public:
  TokenSigner(const StorageSettings& settings, const StorageEnvironment& environment,
              ServiceAccount account)
      : account_(std::move(account)), client_(settings.storage_id, environment) {}

  Result<std::vector<std::pair<std::string, std::string>>> Sign(AwsRequest request) override {
    const std::lock_guard lock(mutex_);
    if (token_.empty() || request.now_us >= renew_at_us_) {
      KALAM_RETURN_IF_ERROR(Renew(request.now_us));
    }
    std::vector<std::pair<std::string, std::string>> headers = std::move(request.extra_headers);
    headers.emplace_back("Authorization", "Bearer " + token_);
    return headers;
  }

 private:
  Status Renew(int64_t now_us) {
    const int64_t now_s = now_us / 1'000'000;
    nlohmann::json header = {{"alg", "RS256"}, {"typ", "JWT"}};
    if (!account_.private_key_id.empty()) header["kid"] = account_.private_key_id;
    const nlohmann::json claims = {{"iss", account_.client_email},
                                   {"scope", kScope},
                                   {"aud", account_.token_uri},
                                   {"iat", now_s},
                                   {"exp", now_s + kAssertionSeconds}};
    KALAM_ASSIGN_OR_RETURN(const std::string assertion,
                           SignRs256(header.dump(), claims.dump(), account_.private_key));
    const std::string form = EncodeQuery(
        {{"grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"}, {"assertion", assertion}});
    const std::string action = "get an access token";
    KALAM_ASSIGN_OR_RETURN(const HttpResponse response, client_.Send(action, [&] {
      return Result<HttpRequest>(
          HttpRequest{.method = "POST",
                      .url = account_.token_uri,
                      .headers = {{"Content-Type", "application/x-www-form-urlencoded"}},
                      .body = HttpBody::Of(form)});
    }));
    const auto answer = nlohmann::json::parse(response.body, nullptr, false);
    if (response.status != 200 || !answer.is_object() || !answer.contains("access_token") ||
        !answer["access_token"].is_string()) {
      return client_.Refused(action, response);
    }
    token_ = answer["access_token"].get<std::string>();
    const auto seconds = answer.find("expires_in");
    const int64_t lifetime_s = seconds != answer.end() && seconds->is_number_integer()
                                   ? seconds->get<int64_t>()
                                   : kAssertionSeconds;
    renew_at_us_ = now_us + std::max<int64_t>(0, lifetime_s - kRenewBeforeSeconds) * 1'000'000;
    return {};
  }

  const ServiceAccount account_;
  RemoteClient client_;
  std::mutex mutex_;
  std::string token_;        // guarded by mutex_
  int64_t renew_at_us_ = 0;  // guarded by mutex_
};

Status Invalid(const StorageSettings& settings, std::string_view what) {
  return Status(ErrorKind::InvalidOperation,
                fmt::format("Storage '{}': {}", settings.storage_id, what));
}

Result<ServiceAccount> ParseServiceAccount(const StorageSettings& settings,
                                           const RemoteSettings& remote) {
  const auto json = nlohmann::json::parse(remote.text("service_account_json"), nullptr, false);
  if (!json.is_object()) return Invalid(settings, "service_account_json is not a JSON object");
  const auto text = [&json](const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  ServiceAccount account{.client_email = text("client_email"),
                         .private_key = text("private_key"),
                         .private_key_id = text("private_key_id"),
                         .token_uri = text("token_uri")};
  if (account.client_email.empty() || account.private_key.empty()) {
    return Invalid(settings, "service_account_json lacks client_email or private_key");
  }
  if (account.token_uri.empty()) account.token_uri = kTokenUri;
  KALAM_RETURN_IF_ERROR(ParseEndpoint(settings, remote, account.token_uri).status());
  KALAM_RETURN_IF_ERROR(
      SignRs256("{}", "{}", account.private_key).status().WithContext("service_account_json"));
  return account;
}

}  // namespace

Result<std::unique_ptr<ObjectStorage>> OpenGcsStorage(const StorageSettings& settings,
                                                      const StorageEnvironment& environment) {
  KALAM_ASSIGN_OR_RETURN(
      const RemoteSettings remote,
      RemoteSettings::Parse(settings, {"service_account_json", "access_key_id", "secret_access_key",
                                       "endpoint", "region", "allow_http"}));
  KALAM_ASSIGN_OR_RETURN(const BucketLocation location,
                         ParseBucketLocation(settings, {"gs://", "gcs://"}));
  const std::string& url = remote.text("endpoint");
  KALAM_ASSIGN_OR_RETURN(
      Endpoint endpoint,
      ParseEndpoint(settings, remote, url.empty() ? kGcsEndpoint : std::string_view(url)));
  S3Place place{.endpoint = std::move(endpoint),
                .bucket = location.bucket,
                .prefix = location.prefix,
                .region = remote.text("region").empty() ? "auto" : remote.text("region")};
  std::unique_ptr<RequestSigner> signer;
  if (!remote.text("service_account_json").empty()) {
    KALAM_ASSIGN_OR_RETURN(ServiceAccount account, ParseServiceAccount(settings, remote));
    signer = std::make_unique<TokenSigner>(settings, environment, std::move(account));
  } else if (!remote.text("access_key_id").empty() && !remote.text("secret_access_key").empty()) {
    signer = MakeAwsSigner({.access_key_id = remote.text("access_key_id"),
                            .secret_access_key = remote.text("secret_access_key"),
                            .session_token = ""});
  } else {
    return Invalid(settings,
                   "needs \"service_account_json\", or the HMAC key \"access_key_id\" and "
                   "\"secret_access_key\", in CREDENTIALS");
  }
  return MakeS3Storage(settings, environment, std::move(place), std::move(signer));
}

}  // namespace kalam::objects
