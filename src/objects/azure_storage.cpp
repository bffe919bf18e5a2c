// Azure Blob Storage over its REST interface.
#include "objects/azure_storage.h"

#include <fmt/format.h>

#include <cstdlib>
#include <pugixml.hpp>
#include <vector>

#include "base/clock.h"
#include "objects/curl_library.h"
#include "objects/object_path.h"
#include "objects/remote_settings.h"
#include "objects/remote_storage.h"
#include "objects/signing.h"

namespace kalam::objects {
namespace {

constexpr std::string_view kApiVersion = "2021-12-02";
constexpr int64_t kBlocksMax = 50'000;  // of one blob, by the protocol

struct AzurePlace {
  Endpoint endpoint;
  std::string account, container, prefix;
  std::string key;      // decoded; empty: the SAS token is used
  QueryParameters sas;  // parts of the SAS token
};

struct Call {
  std::string method = "GET";
  std::string path = {};  // of the object; empty: the container
  QueryParameters query = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string content_type = {};
  HttpBody body = {};
};

class AzureStorage final : public RemoteStorage {
 public:
  AzureStorage(const StorageSettings& settings, const StorageEnvironment& environment,
               AzurePlace place)
      : RemoteStorage(settings, environment), place_(std::move(place)) {}

  Result<ObjectEntry> Stat(const std::string& path) override;
  Status List(const std::string& prefix,
              const std::function<bool(const ObjectEntry&)>& visit) override;
  Status Delete(const std::string& path) override;

 protected:
  Status PutWhole(const std::string& path, const HttpBody& body) override;
  Status PutParts(const std::string& path, const LocalFile& file) override;
  Result<std::string> ReadRange(const std::string& path, int64_t offset, int64_t length) override;

 private:
  Result<HttpResponse> Send(std::string_view action, const Call& call);
  HttpRequest MakeRequest(const Call& call) const;
  bool IsMissing(const HttpResponse& response) const {
    return response.status == 404 && ErrorCodeOf(response) != "ContainerNotFound";
  }

  const AzurePlace place_;
};

HttpRequest AzureStorage::MakeRequest(const Call& call) const {
  std::string path = fmt::format("{}/{}", place_.endpoint.path, place_.container);
  if (!call.path.empty()) path += "/" + JoinPath(place_.prefix, call.path);
  const std::string encoded_path = PercentEncode(path, SlashEncoding::kKeep);
  HttpRequest request{.method = call.method, .url = {}, .headers = call.headers, .body = call.body};
  request.headers.emplace_back("x-ms-version", kApiVersion);
  request.headers.emplace_back("x-ms-date", HttpTime(SystemClock().NowUs()));
  QueryParameters query = call.query;
  query.insert(query.end(), place_.sas.begin(), place_.sas.end());
  if (!place_.key.empty()) {
    request.headers.emplace_back("Authorization", SignAzure({.method = call.method,
                                                             .account = place_.account,
                                                             .encoded_path = encoded_path,
                                                             .query = call.query,
                                                             .content_length = call.body.size,
                                                             .content_type = call.content_type,
                                                             .headers = request.headers},
                                                            place_.key));
  }
  if (!call.content_type.empty()) request.headers.emplace_back("Content-Type", call.content_type);
  request.url =
      fmt::format("{}://{}{}", place_.endpoint.scheme, place_.endpoint.host, encoded_path);
  if (!query.empty()) request.url += "?" + EncodeQuery(query);
  return request;
}

Result<HttpResponse> AzureStorage::Send(std::string_view action, const Call& call) {
  return client_.Send(action, [&] { return Result<HttpRequest>(MakeRequest(call)); });
}

Status AzureStorage::PutWhole(const std::string& path, const HttpBody& body) {
  const std::string action = fmt::format("write '{}'", path);
  KALAM_ASSIGN_OR_RETURN(const HttpResponse response,
                         Send(action, {.method = "PUT",
                                       .path = path,
                                       .headers = {{"x-ms-blob-type", "BlockBlob"}},
                                       .content_type = "application/octet-stream",
                                       .body = body}));
  return response.status == 201 ? Status::Ok() : client_.Refused(action, response);
}

// Blocks that no list names are forgotten by the service after a week.
Status AzureStorage::PutParts(const std::string& path, const LocalFile& file) {
  const int64_t block_bytes = PartBytes(file, kBlocksMax);
  std::string list = "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>";
  int64_t number = 0;
  for (int64_t offset = 0; offset < file.size(); offset += block_bytes) {
    const std::string id = Base64(fmt::format("{:08}", ++number));  // all of one length
    const std::string action = fmt::format("write block {} of '{}'", number, path);
    KALAM_ASSIGN_OR_RETURN(const HttpResponse response,
                           Send(action, {.method = "PUT",
                                         .path = path,
                                         .query = {{"comp", "block"}, {"blockid", id}},
                                         .content_type = "application/octet-stream",
                                         .body = PartOf(file, offset, block_bytes)}));
    if (response.status != 201) return client_.Refused(action, response);
    list += fmt::format("<Latest>{}</Latest>", id);
  }
  list += "</BlockList>";
  const std::string action = fmt::format("complete the upload of '{}'", path);
  KALAM_ASSIGN_OR_RETURN(const HttpResponse response,
                         Send(action, {.method = "PUT",
                                       .path = path,
                                       .query = {{"comp", "blocklist"}},
                                       .content_type = "application/xml",
                                       .body = HttpBody::Of(list)}));
  return response.status == 201 ? Status::Ok() : client_.Refused(action, response);
}

Result<std::string> AzureStorage::ReadRange(const std::string& path, int64_t offset,
                                            int64_t length) {
  Call call{.path = path};
  if (const std::string range = RangeText(offset, length); !range.empty())
    call.headers.emplace_back("x-ms-range", range);
  const std::string action = fmt::format("read '{}'", path);
  KALAM_ASSIGN_OR_RETURN(HttpResponse response, Send(action, call));
  if (response.status == 200 || response.status == 206) return std::move(response.body);
  if (response.status == 416) return std::string();  // begins behind the end
  if (IsMissing(response)) return client_.NoSuchObject(path);
  return client_.Refused(action, response);
}

Result<ObjectEntry> AzureStorage::Stat(const std::string& path) {
  KALAM_RETURN_IF_ERROR(CheckObjectPath(path));
  const std::string action = fmt::format("look at '{}'", path);
  KALAM_ASSIGN_OR_RETURN(const HttpResponse response,
                         Send(action, {.method = "HEAD", .path = path}));
  if (IsMissing(response)) return client_.NoSuchObject(path);
  if (response.status != 200) return client_.Refused(action, response);
  return EntryOf(path, response);
}

Status AzureStorage::List(const std::string& prefix,
                          const std::function<bool(const ObjectEntry&)>& visit) {
  KALAM_RETURN_IF_ERROR(CheckObjectPrefix(prefix));
  const std::string base = place_.prefix.empty() ? "" : place_.prefix + "/";
  const std::string action = fmt::format("list '{}'", prefix);
  std::string marker;
  do {
    Call call{.query = {{"restype", "container"},
                        {"comp", "list"},
                        {"prefix", base + prefix},
                        {"maxresults", std::to_string(environment_.list_page_max)}}};
    if (!marker.empty()) call.query.emplace_back("marker", marker);
    KALAM_ASSIGN_OR_RETURN(const HttpResponse response, Send(action, call));
    pugi::xml_document document;
    const bool is_xml = document.load_string(response.body.c_str());
    const pugi::xml_node root = document.child("EnumerationResults");
    if (response.status != 200 || !is_xml || !root) return client_.Refused(action, response);
    for (const pugi::xml_node& blob : root.child("Blobs").children("Blob")) {
      const std::string name = blob.child("Name").text().get();
      if (!name.starts_with(base)) continue;
      const pugi::xml_node properties = blob.child("Properties");
      if (!visit({.path = name.substr(base.size()),
                  .size_bytes = properties.child("Content-Length").text().as_llong(),
                  .modified_at_us = int64_t{Curl().getdate(
                                        properties.child("Last-Modified").text().get(), nullptr)} *
                                    1'000'000})) {
        return {};
      }
    }
    marker = root.child("NextMarker").text().get();
  } while (!marker.empty());
  return {};
}

Status AzureStorage::Delete(const std::string& path) {
  KALAM_RETURN_IF_ERROR(CheckObjectPath(path));
  const std::string action = fmt::format("delete '{}'", path);
  KALAM_ASSIGN_OR_RETURN(const HttpResponse response,
                         Send(action, {.method = "DELETE", .path = path}));
  if (response.status == 202 || IsMissing(response)) return {};
  return client_.Refused(action, response);
}

// "?sv=..&sig=..%3D" in its parts, decoded.
QueryParameters ParseSas(std::string_view token) {
  if (token.starts_with('?')) token.remove_prefix(1);
  const auto decode = [](std::string_view text) {
    std::string plain;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '%' && i + 2 < text.size()) {
        plain +=
            static_cast<char>(std::strtol(std::string(text.substr(i + 1, 2)).c_str(), nullptr, 16));
        i += 2;
      } else {
        plain += text[i];
      }
    }
    return plain;
  };
  QueryParameters parts;
  while (!token.empty()) {
    const size_t end = std::min(token.find('&'), token.size());
    const std::string_view part = token.substr(0, end);
    const size_t equals = part.find('=');
    if (equals != part.npos) {
      parts.emplace_back(decode(part.substr(0, equals)), decode(part.substr(equals + 1)));
    }
    token.remove_prefix(std::min(end + 1, token.size()));
  }
  return parts;
}

}  // namespace

Result<std::unique_ptr<ObjectStorage>> OpenAzureStorage(const StorageSettings& settings,
                                                        const StorageEnvironment& environment) {
  KALAM_ASSIGN_OR_RETURN(const RemoteSettings remote,
                         RemoteSettings::Parse(settings, {"account_name", "access_key", "sas_token",
                                                          "endpoint", "allow_http"}));
  KALAM_ASSIGN_OR_RETURN(const BucketLocation location,
                         ParseBucketLocation(settings, {"az://", "azure://"}));
  const auto invalid = [&settings](std::string_view what) {
    return Status(ErrorKind::InvalidOperation,
                  fmt::format("Storage '{}': {}", settings.storage_id, what));
  };
  AzurePlace place{.endpoint = {},
                   .account = remote.text("account_name"),
                   .container = location.bucket,
                   .prefix = location.prefix,
                   .key = "",
                   .sas = ParseSas(remote.text("sas_token"))};
  if (place.account.empty()) return invalid("needs \"account_name\" in CREDENTIALS");
  if (const std::string& key = remote.text("access_key"); !key.empty()) {
    auto decoded = Base64Decode(key);
    if (!decoded.ok()) return invalid("access_key is not base64");
    place.key = *std::move(decoded);
    place.sas.clear();
  } else if (place.sas.empty()) {
    return invalid("needs \"access_key\" or \"sas_token\" in CREDENTIALS");
  }
  const std::string& url = remote.text("endpoint");
  KALAM_ASSIGN_OR_RETURN(
      place.endpoint,
      ParseEndpoint(
          settings, remote,
          url.empty() ? fmt::format("https://{}.blob.core.windows.net", place.account) : url));
  return std::unique_ptr<ObjectStorage>(
      std::make_unique<AzureStorage>(settings, environment, std::move(place)));
}

}  // namespace kalam::objects
