// Splitting multipart bodies.
#include "server/multipart.h"

#include <algorithm>
#include <optional>

#include "server/http_message.h"

namespace kalam::server {

namespace {

constexpr size_t kPartsMax = 100;
constexpr size_t kHeadBytesMax = 16 << 10;
constexpr size_t kBoundaryBytesMax = 70;  // RFC 2046 5.1.1

Status Malformed(std::string_view what) {
  return Status(ErrorKind::InvalidInput, "The multipart body is malformed: " + std::string(what));
}

// A parameter of a header value: `name="value"` or `name=value` after a semicolon.
std::optional<std::string> Parameter(std::string_view value, std::string_view name) {
  size_t at = value.find(';');
  while (at != std::string_view::npos && at < value.size()) {
    ++at;
    while (at < value.size() && value[at] == ' ') ++at;
    const size_t equals = value.find('=', at);
    if (equals == std::string_view::npos) return std::nullopt;
    const std::string_view found = value.substr(at, equals - at);
    std::string text;
    at = equals + 1;
    if (at < value.size() && value[at] == '"') {
      for (++at; at < value.size() && value[at] != '"'; ++at) {
        if (value[at] == '\\' && at + 1 < value.size()) ++at;
        text += value[at];
      }
      at = value.find(';', at);
    } else {
      const size_t end = std::min(value.find(';', at), value.size());
      text = value.substr(at, end - at);
      while (text.ends_with(' ')) text.pop_back();
      at = end;
    }
    if (EqualsIgnoringCase(found, name)) return text;
  }
  return std::nullopt;
}

Status ReadPartHead(std::string_view head, FormPart* part) {
  while (!head.empty()) {
    const size_t end = std::min(head.find("\r\n"), head.size());
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(std::min(end + 2, head.size()));
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return Malformed("a part's header has no colon");
    std::string_view value = line.substr(colon + 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    if (EqualsIgnoringCase(line.substr(0, colon), "content-disposition")) {
      part->name = Parameter(value, "name").value_or("");
      part->file_name = Parameter(value, "filename").value_or("");
    } else if (EqualsIgnoringCase(line.substr(0, colon), "content-type")) {
      part->content_type = value;
    }
  }
  return part->name.empty() ? Malformed("a part has no name") : Status::Ok();
}

}  // namespace

Result<MultipartReader> MultipartReader::Make(std::string_view content_type) {
  const std::optional<std::string> boundary = Parameter(content_type, "boundary");
  if (!boundary || boundary->empty() || boundary->size() > kBoundaryBytesMax) {
    return Malformed("no usable boundary");
  }
  return MultipartReader("\r\n--" + *boundary);
}

Status MultipartReader::Feed(std::string_view bytes, FormReceiver& receiver) {
  buffer_ += bytes;
  std::string_view rest = buffer_;
  while (true) {
    KALAM_ASSIGN_OR_RETURN(const bool more, Step(&rest, receiver));
    if (!more) break;
  }
  buffer_.erase(0, buffer_.size() - rest.size());
  return {};
}

Status MultipartReader::Finish() const {
  if (state_ == State::kDone) return {};
  return Malformed(state_ == State::kPreamble ? "the boundary does not occur"
                                              : "a part does not end");
}

// Takes what it can from the front of `rest`; false when it needs more bytes.
Result<bool> MultipartReader::Step(std::string_view* rest, FormReceiver& receiver) {
  switch (state_) {
    case State::kPreamble:
    case State::kContent:
      return ReadUpToDelimiter(rest, receiver);
    case State::kAfterDelimiter:
      if (rest->size() < 2) return false;
      if (rest->starts_with("--")) {
        state_ = State::kDone;
      } else if (rest->starts_with("\r\n")) {
        // The line break stays: it may be the first half of the empty line that ends the head.
        state_ = State::kHead;
      } else {
        return Malformed("a boundary line goes on");
      }
      return true;
    case State::kHead:
      return ReadHead(rest, receiver);
    case State::kDone:
      *rest = {};
      return false;
  }
  return false;
}

Result<bool> MultipartReader::ReadHead(std::string_view* rest, FormReceiver& receiver) {
  const size_t end = rest->find("\r\n\r\n");
  if (end == std::string_view::npos || end > kHeadBytesMax) {
    if (rest->size() > kHeadBytesMax) return Malformed("a part's head does not end");
    return false;
  }
  if (end < 2) return Malformed("a part has no name");
  if (++part_count_ > kPartsMax) return Malformed("too many parts");
  FormPart part;
  KALAM_RETURN_IF_ERROR(ReadPartHead(rest->substr(2, end - 2), &part));
  KALAM_RETURN_IF_ERROR(receiver.OnPart(part));
  rest->remove_prefix(end + 4);
  state_ = State::kContent;
  return true;
}

Result<bool> MultipartReader::ReadUpToDelimiter(std::string_view* rest, FormReceiver& receiver) {
  const bool content = state_ == State::kContent;
  const size_t end = rest->find(delimiter_);
  const bool found = end != std::string_view::npos;
  // Without one, the last bytes may be the beginning of one.
  const size_t kept = std::min(rest->size(), delimiter_.size() - 1);
  const size_t taken = found ? end : rest->size() - kept;
  if (content && taken > 0) KALAM_RETURN_IF_ERROR(receiver.OnContent(rest->substr(0, taken)));
  rest->remove_prefix(taken);
  if (!found) return false;
  if (content) KALAM_RETURN_IF_ERROR(receiver.OnPartEnd());
  rest->remove_prefix(delimiter_.size());
  state_ = State::kAfterDelimiter;
  return true;
}

}  // namespace kalam::server
