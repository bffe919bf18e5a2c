// The S3 protocol: objects, ranges, listings page by page, uploads in parts.
#include "objects/s3_storage.h"

#include <fmt/format.h>

#include <cstdlib>
#include <pugixml.hpp>

#include "base/clock.h"
#include "objects/object_path.h"
#include "objects/remote_storage.h"

namespace kalam::objects {
namespace {

constexpr int64_t kPartsMax = 10'000;  // of one upload, by the protocol
constexpr std::string_view kEmptySha256 =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// One request before it is signed.
struct Call {
  std::string method = "GET";
  std::string path = {};  // of the object; empty: the bucket
  QueryParameters query = {};
  std::vector<std::pair<std::string, std::string>> headers = {};  // not signed
  HttpBody body = {};
};

std::string Text(const pugi::xml_node& node, const char* name) {
  return node.child(name).text().get();
}

// "2013-09-17T18:07:53.000Z"
int64_t ParseIsoTime(const std::string& text) {
  std::tm parts{};
  if (strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts) == nullptr) return 0;
  return int64_t{timegm(&parts)} * 1'000'000;
}

class S3Storage final : public RemoteStorage {
 public:
  S3Storage(const StorageSettings& settings, const StorageEnvironment& environment, S3Place place,
            std::unique_ptr<RequestSigner> signer)
      : RemoteStorage(settings, environment),
        place_(std::move(place)),
        signer_(std::move(signer)) {}

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
  Result<std::string> PutPart(const std::string& path, const std::string& upload_id, int64_t number,
                              const HttpBody& body);
  Status FinishUpload(const std::string& path, const std::string& upload_id,
                      const std::vector<std::string>& tags, int64_t size);
  Result<std::string> ListPage(const std::string& prefix, const std::string& continuation,
                               const std::function<bool(const ObjectEntry&)>& visit);

  const S3Place place_;
  const std::unique_ptr<RequestSigner> signer_;
};

Result<HttpResponse> S3Storage::Send(std::string_view action, const Call& call) {
  std::string path = place_.endpoint.path;
  if (place_.path_style) path += "/" + place_.bucket;
  if (!call.path.empty()) path += "/" + JoinPath(place_.prefix, call.path);
  if (path.empty()) path = "/";
  const std::string encoded_path = PercentEncode(path, SlashEncoding::kKeep);
  std::string payload(kEmptySha256);
  if (call.body.size > 0) {
    KALAM_ASSIGN_OR_RETURN(const std::string digest, Sha256(call.body));
    payload = Hex(digest);
  }
  return client_.Send(action, [&]() -> Result<HttpRequest> {
    HttpRequest request{.method = call.method, .url = {}, .headers = {}, .body = call.body};
    request.url =
        fmt::format("{}://{}{}", place_.endpoint.scheme, place_.endpoint.host, encoded_path);
    if (!call.query.empty()) request.url += "?" + EncodeQuery(call.query);
    AwsRequest to_sign{.method = call.method,
                       .host = place_.endpoint.host,
                       .encoded_path = encoded_path,
                       .query = call.query,
                       .payload_sha256_hex = payload,
                       .region = place_.region,
                       .now_us = SystemClock().NowUs(),
                       .extra_headers = {}};
    KALAM_ASSIGN_OR_RETURN(request.headers, signer_->Sign(std::move(to_sign)));
    request.headers.insert(request.headers.end(), call.headers.begin(), call.headers.end());
    return request;
  });
}

Status S3Storage::PutWhole(const std::string& path, const HttpBody& body) {
  const std::string action = fmt::format("write '{}'", path);
  KALAM_ASSIGN_OR_RETURN(const HttpResponse response,
                         Send(action, {.method = "PUT", .path = path, .body = body}));
  return response.status == 200 ? Status::Ok() : client_.Refused(action, response);
}

// Parts are not visible before the upload is completed; a failed one is given up, so that its parts
// cost nothing.
Status S3Storage::PutParts(const std::string& path, const LocalFile& file) {
  const std::string action = fmt::format("begin the upload of '{}'", path);
  KALAM_ASSIGN_OR_RETURN(
      const HttpResponse begun,
      Send(action, {.method = "POST", .path = path, .query = {{"uploads", ""}}}));
  pugi::xml_document document;
  document.load_string(begun.body.c_str());
  const std::string upload_id = Text(document.child("InitiateMultipartUploadResult"), "UploadId");
  if (begun.status != 200 || upload_id.empty()) return client_.Refused(action, begun);

  const int64_t part_bytes = PartBytes(file, kPartsMax);
  std::vector<std::string> tags;
  Status failed;
  for (int64_t offset = 0; offset < file.size() && failed.ok(); offset += part_bytes) {
    auto tag = PutPart(path, upload_id, static_cast<int64_t>(tags.size()) + 1,
                       PartOf(file, offset, part_bytes));
    if (tag.ok()) {
      tags.push_back(*std::move(tag));
    } else {
      failed = std::move(tag).status();
    }
  }
  if (failed.ok()) failed = FinishUpload(path, upload_id, tags, file.size());
  if (failed.ok()) return failed;
  (void)Send("give up an upload",
             {.method = "DELETE", .path = path, .query = {{"uploadId", upload_id}}});
  return failed;
}

Result<std::string> S3Storage::PutPart(const std::string& path, const std::string& upload_id,
                                       int64_t number, const HttpBody& body) {
  const std::string action = fmt::format("write part {} of '{}'", number, path);
  KALAM_ASSIGN_OR_RETURN(
      const HttpResponse response,
      Send(action, {.method = "PUT",
                    .path = path,
                    .query = {{"partNumber", std::to_string(number)}, {"uploadId", upload_id}},
                    .body = body}));
  if (response.status != 200 || response.header("etag").empty()) {
    return client_.Refused(action, response);
  }
  return response.header("etag");
}

Status S3Storage::FinishUpload(const std::string& path, const std::string& upload_id,
                               const std::vector<std::string>& tags, int64_t size) {
  pugi::xml_document document;
  pugi::xml_node root = document.append_child("CompleteMultipartUpload");
  for (size_t i = 0; i < tags.size(); ++i) {
    pugi::xml_node part = root.append_child("Part");
    part.append_child("PartNumber").text().set(static_cast<unsigned>(i + 1));
    part.append_child("ETag").text().set(tags[i].c_str());
  }
  struct Writer : pugi::xml_writer {
    std::string text;
    void write(const void* bytes, size_t count) override {
      text.append(static_cast<const char*>(bytes), count);
    }
  } writer;
  document.save(writer, "", pugi::format_raw);

  const std::string action = fmt::format("complete the upload of '{}'", path);
  KALAM_ASSIGN_OR_RETURN(const HttpResponse response,
                         Send(action, {.method = "POST",
                                       .path = path,
                                       .query = {{"uploadId", upload_id}},
                                       .headers = {{"Content-Type", "application/xml"}},
                                       .body = HttpBody::Of(writer.text)}));
  // The status is sent before the work is done: an error may stand in the body of a 200.
  if (response.status == 200 && ErrorCodeOf(response).empty()) return {};
  if (response.status == 404) {
    // The answer of an earlier attempt was lost.
    auto found = Stat(path);
    if (found.ok() && found->size_bytes == size) return {};
  }
  return client_.Refused(action, response);
}

Result<std::string> S3Storage::ReadRange(const std::string& path, int64_t offset, int64_t length) {
  Call call{.path = path};
  if (const std::string range = RangeText(offset, length); !range.empty())
    call.headers.emplace_back("Range", range);
  const std::string action = fmt::format("read '{}'", path);
  KALAM_ASSIGN_OR_RETURN(HttpResponse response, Send(action, call));
  if (response.status == 206) return std::move(response.body);
  if (response.status == 416) return std::string();  // begins behind the end
  if (response.status == 200) {
    // A server that does not know ranges sends everything.
    if (offset >= static_cast<int64_t>(response.body.size())) return std::string();
    return response.body.substr(static_cast<size_t>(offset),
                                length < 0 ? std::string::npos : static_cast<size_t>(length));
  }
  if (response.status == 404 && ErrorCodeOf(response) != "NoSuchBucket") {
    return client_.NoSuchObject(path);
  }
  return client_.Refused(action, response);
}

Result<ObjectEntry> S3Storage::Stat(const std::string& path) {
  KALAM_RETURN_IF_ERROR(CheckObjectPath(path));
  const std::string action = fmt::format("look at '{}'", path);
  KALAM_ASSIGN_OR_RETURN(const HttpResponse response,
                         Send(action, {.method = "HEAD", .path = path}));
  if (response.status == 404) {
    // An answer without a body does not say whether the object or the bucket is missing.
    KALAM_RETURN_IF_ERROR(Read(path, 0, 1).status());
    return client_.NoSuchObject(path);
  }
  if (response.status != 200) return client_.Refused(action, response);
  return EntryOf(path, response);
}

Status S3Storage::List(const std::string& prefix,
                       const std::function<bool(const ObjectEntry&)>& visit) {
  KALAM_RETURN_IF_ERROR(CheckObjectPrefix(prefix));
  bool go_on = true;
  std::string continuation;
  const auto visit_until_false = [&](const ObjectEntry& entry) { return go_on = visit(entry); };
  do {
    KALAM_ASSIGN_OR_RETURN(continuation, ListPage(prefix, continuation, visit_until_false));
  } while (go_on && !continuation.empty());
  return {};
}

// Returns where the next page begins; empty after the last one.
Result<std::string> S3Storage::ListPage(const std::string& prefix, const std::string& continuation,
                                        const std::function<bool(const ObjectEntry&)>& visit) {
  const std::string base = place_.prefix.empty() ? "" : place_.prefix + "/";
  Call call{.query = {{"list-type", "2"},
                      {"max-keys", std::to_string(environment_.list_page_max)},
                      {"prefix", base + prefix}}};
  if (!continuation.empty()) call.query.emplace_back("continuation-token", continuation);
  const std::string action = fmt::format("list '{}'", prefix);
  KALAM_ASSIGN_OR_RETURN(const HttpResponse response, Send(action, call));
  pugi::xml_document document;
  const bool is_xml = document.load_string(response.body.c_str());
  const pugi::xml_node root = document.child("ListBucketResult");
  if (response.status != 200 || !is_xml || !root) return client_.Refused(action, response);
  for (const pugi::xml_node& item : root.children("Contents")) {
    const std::string key = Text(item, "Key");
    // Other tools mark folders by empty objects whose names end in a slash.
    if (!key.starts_with(base) || key.ends_with('/')) continue;
    if (!visit({.path = key.substr(base.size()),
                .size_bytes = item.child("Size").text().as_llong(),
                .modified_at_us = ParseIsoTime(Text(item, "LastModified"))})) {
      return std::string();
    }
  }
  return root.child("IsTruncated").text().as_bool() ? Text(root, "NextContinuationToken") : "";
}

Status S3Storage::Delete(const std::string& path) {
  KALAM_RETURN_IF_ERROR(CheckObjectPath(path));
  const std::string action = fmt::format("delete '{}'", path);
  KALAM_ASSIGN_OR_RETURN(const HttpResponse response,
                         Send(action, {.method = "DELETE", .path = path}));
  const bool is_gone = response.status == 404 && ErrorCodeOf(response) != "NoSuchBucket";
  if (response.status == 204 || response.status == 200 || is_gone) return {};
  return client_.Refused(action, response);
}

class AwsSigner : public RequestSigner {
 public:
  explicit AwsSigner(AwsCredentials credentials) : credentials_(std::move(credentials)) {}
  Result<std::vector<std::pair<std::string, std::string>>> Sign(AwsRequest request) override {
    return SignAws(request, credentials_);
  }

 private:
  const AwsCredentials credentials_;
};

std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

std::unique_ptr<ObjectStorage> MakeS3Storage(const StorageSettings& settings,
                                             const StorageEnvironment& environment, S3Place place,
                                             std::unique_ptr<RequestSigner> signer) {
  return std::make_unique<S3Storage>(settings, environment, std::move(place), std::move(signer));
}

std::unique_ptr<RequestSigner> MakeAwsSigner(AwsCredentials credentials) {
  return std::make_unique<AwsSigner>(std::move(credentials));
}

Result<std::unique_ptr<ObjectStorage>> OpenS3Storage(const StorageSettings& settings,
                                                     const StorageEnvironment& environment) {
  KALAM_ASSIGN_OR_RETURN(
      const RemoteSettings remote,
      RemoteSettings::Parse(settings, {"region", "endpoint", "allow_http", "access_key_id",
                                       "secret_access_key", "session_token"}));
  KALAM_ASSIGN_OR_RETURN(const BucketLocation location, ParseBucketLocation(settings, {"s3://"}));
  AwsCredentials credentials{.access_key_id = remote.text("access_key_id"),
                             .secret_access_key = remote.text("secret_access_key"),
                             .session_token = remote.text("session_token")};
  if (credentials.access_key_id.empty() && credentials.secret_access_key.empty()) {
    credentials = {.access_key_id = FromEnvironment("AWS_ACCESS_KEY_ID"),
                   .secret_access_key = FromEnvironment("AWS_SECRET_ACCESS_KEY"),
                   .session_token = FromEnvironment("AWS_SESSION_TOKEN")};
  }
  if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
    return Status(ErrorKind::InvalidOperation,
                  fmt::format("Storage '{}' needs \"access_key_id\" and \"secret_access_key\" in "
                              "CREDENTIALS",
                              settings.storage_id));
  }
  S3Place place{.endpoint = {},
                .bucket = location.bucket,
                .prefix = location.prefix,
                .region = remote.text("region").empty() ? "us-east-1" : remote.text("region")};
  if (const std::string& url = remote.text("endpoint"); !url.empty()) {
    KALAM_ASSIGN_OR_RETURN(place.endpoint, ParseEndpoint(settings, remote, url));
  } else {
    // A bucket with dots does not match the certificate of *.s3.<region>.amazonaws.com.
    place.path_style = location.bucket.find('.') != std::string::npos;
    const std::string host = fmt::format("s3.{}.amazonaws.com", place.region);
    place.endpoint = {.scheme = "https",
                      .host = place.path_style ? host : location.bucket + "." + host,
                      .path = ""};
  }
  return MakeS3Storage(settings, environment, std::move(place),
                       MakeAwsSigner(std::move(credentials)));
}

}  // namespace kalam::objects
