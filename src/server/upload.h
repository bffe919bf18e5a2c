// Multipart SQL requests: the form is read while it arrives, files go to disk and never whole
// through memory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "auth/auth.h"
#include "base/status.h"
#include "server/request_reader.h"

namespace kalam::files {
class StagingArea;
}

namespace kalam::server {

class HttpRequest;
class HttpSession;

/// Whether a request's body is an upload, to be streamed (HttpLimits::streams_body).
bool IsUpload(const HttpRequest& request);

/// What a whole form holds.
struct ReceivedForm {
  SqlRequestBody body;
  std::shared_ptr<files::StagingArea> staging;
};
using FormReady = std::function<void(HttpSession& session, Result<ReceivedForm> form)>;

/// Receives the form of the session's request; `ready` is called once on the core, unless the
/// client goes away before.
void ReceiveUpload(HttpSession& session, const std::string& user_id, FormReady ready);

}  // namespace kalam::server
