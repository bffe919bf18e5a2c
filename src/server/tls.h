// TLS on the listener: one context for the server, one stream for a connection, no sockets in here.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace kalam::server {

/// One connection's TLS state; bytes go in and out. Not thread-safe.
class TlsStream {
 public:
  virtual ~TlsStream() = default;
  /// Takes bytes from the socket; appends what they say to `plain` and what must be sent back to
  /// `answer`. False when the connection must be closed (after `answer`).
  virtual bool Receive(std::string_view sealed, std::string* plain, std::string* answer) = 0;
  /// Appends `plain` in its sealed form. False when the stream is broken.
  virtual bool Send(std::string_view plain, std::string* sealed) = 0;
};

/// Certificate and key. Thread-safety: NewStream from any thread.
class TlsContext {
 public:
  /// Errors: Config (cannot read the files, key and certificate do not belong together).
  static Result<std::unique_ptr<TlsContext>> Load(const std::string& certificate_path,
                                                  const std::string& key_path);
  virtual ~TlsContext() = default;
  virtual std::unique_ptr<TlsStream> NewStream() = 0;
};

}  // namespace kalam::server
