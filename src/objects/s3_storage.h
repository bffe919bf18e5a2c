// Objects in a bucket behind the S3 protocol, which GCS speaks as well.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "objects/remote_settings.h"
#include "objects/signing.h"
#include "objects/storage_settings.h"

namespace kalam::objects {

/// Gives a request what proves who sends it. Thread-safety: any thread.
class RequestSigner {
 public:
  virtual ~RequestSigner() = default;
  /// All headers to send but those that HTTP itself needs. Errors: StorageIo (a token could not be
  /// had).
  virtual Result<std::vector<std::pair<std::string, std::string>>> Sign(AwsRequest request) = 0;
};

/// Where a bucket is.
struct S3Place {
  Endpoint endpoint;       // its host names the bucket when `path_style` is false
  bool path_style = true;  // the bucket is the first part of the path
  std::string bucket, prefix, region;
};

std::unique_ptr<ObjectStorage> MakeS3Storage(const StorageSettings& settings,
                                             const StorageEnvironment& environment, S3Place place,
                                             std::unique_ptr<RequestSigner> signer);

/// Signature Version 4 with keys.
std::unique_ptr<RequestSigner> MakeAwsSigner(AwsCredentials credentials);

/// S3 itself, or with an "endpoint" a server that speaks its protocol (then path-style). Keys are
/// taken from the settings, else from AWS_ACCESS_KEY_ID and its like in the server's environment.
/// Errors: InvalidOperation.
Result<std::unique_ptr<ObjectStorage>> OpenS3Storage(const StorageSettings& settings,
                                                     const StorageEnvironment& environment);

/// Google Cloud Storage through its S3 protocol, with HMAC keys or a service account. Errors:
/// InvalidOperation.
Result<std::unique_ptr<ObjectStorage>> OpenGcsStorage(const StorageSettings& settings,
                                                      const StorageEnvironment& environment);

}  // namespace kalam::objects
