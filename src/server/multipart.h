// multipart/form-data bodies (RFC 7578) as they arrive in pieces.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace kalam::server {

struct FormPart {
  std::string name;
  std::string file_name;
  std::string content_type;
};

/// Takes the parts of a form. A Status that is not ok ends the reading with it.
class FormReceiver {
 public:
  virtual ~FormReceiver() = default;
  virtual Status OnPart(const FormPart& part) = 0;
  virtual Status OnContent(std::string_view bytes) = 0;
  virtual Status OnPartEnd() = 0;
};

/// A plain object: bytes in, parts out. Holds no more than a delimiter, or the head of a part,
/// between two calls. Not thread-safe.
class MultipartReader {
 public:
  /// Errors: InvalidInput (the Content-Type names no usable boundary).
  static Result<MultipartReader> Make(std::string_view content_type);

  /// Errors: InvalidInput; what `receiver` gave.
  Status Feed(std::string_view bytes, FormReceiver& receiver);
  /// After the last byte. Errors: InvalidInput (the form does not end).
  Status Finish() const;

 private:
  enum class State : uint8_t { kPreamble, kAfterDelimiter, kHead, kContent, kDone };
  explicit MultipartReader(std::string delimiter) : delimiter_(std::move(delimiter)) {}
  Result<bool> Step(std::string_view* rest, FormReceiver& receiver);
  Result<bool> ReadHead(std::string_view* rest, FormReceiver& receiver);
  Result<bool> ReadUpToDelimiter(std::string_view* rest, FormReceiver& receiver);

  std::string delimiter_;
  State state_ = State::kPreamble;
  // The first delimiter may open the body without the line break before it.
  std::string buffer_ = "\r\n";
  size_t part_count_ = 0;
};

}  // namespace kalam::server
