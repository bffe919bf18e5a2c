// Splitting multipart bodies.
#include "server/multipart.h"

#include <algorithm>
#include <optional>

#include "server/http_message.h"

namespace kalam::server {

namespace {

constexpr size_t kPartsMax = 100;
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

Result<std::vector<FormPart>> ParseMultipart(std::string_view content_type, std::string_view body) {
  const std::optional<std::string> boundary = Parameter(content_type, "boundary");
  if (!boundary || boundary->empty() || boundary->size() > kBoundaryBytesMax) {
    return Malformed("no usable boundary");
  }
  const std::string delimiter = "\r\n--" + *boundary;
  std::vector<FormPart> parts;
  // The first delimiter may open the body without the line break before it.
  size_t at = 0;
  if (body.starts_with(delimiter.substr(2))) {
    at = delimiter.size() - 2;
  } else {
    at = body.find(delimiter);
    if (at == std::string_view::npos) return Malformed("the boundary does not occur");
    at += delimiter.size();
  }
  while (true) {
    if (body.substr(at).starts_with("--")) return parts;
    if (!body.substr(at).starts_with("\r\n")) return Malformed("a boundary line goes on");
    const size_t head_begin = at + 2;
    const size_t head_end = body.find("\r\n\r\n", at);
    if (head_end == std::string_view::npos) return Malformed("a part's head does not end");
    const size_t end = body.find(delimiter, head_end + 2);
    if (end == std::string_view::npos) return Malformed("a part does not end");
    if (parts.size() == kPartsMax) return Malformed("too many parts");
    FormPart part;
    if (head_end > head_begin) {
      KALAM_RETURN_IF_ERROR(ReadPartHead(body.substr(head_begin, head_end - head_begin), &part));
    } else {
      return Malformed("a part has no name");
    }
    part.content =
        end >= head_end + 4 ? body.substr(head_end + 4, end - head_end - 4) : std::string_view();
    parts.push_back(std::move(part));
    at = end + delimiter.size();
  }
}

}  // namespace kalam::server
