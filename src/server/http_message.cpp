// The request parser: complete heads are taken in one go, bodies piece by piece.
#include "server/http_message.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "server/limits.h"
#include "types/convert.h"

namespace kalam::server {
namespace {

char LowerCase(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// RFC 9110 5.6.2.
bool IsTokenChar(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
  return c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenChar);
}

std::string_view TrimSpaces(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = LowerCase(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// A body may announce any size; room is made for at most this much before its bytes arrive.
constexpr size_t kBodyReserveBytes = 256 << 10;
// JSON is parsed in place when this much room follows it.
constexpr size_t kBodyPaddingBytes = 64;
// A request's memory is kept for the next one only when it is small.
constexpr size_t kKeptBytes = 4096;

}  // namespace

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return LowerCase(x) == LowerCase(y);
         });
}

std::string PercentDecode(std::string_view text, bool form) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 &&
        HexDigit(text[i + 2]) >= 0) {
      decoded += static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2]));
      i += 2;
    } else {
      decoded += form && text[i] == '+' ? ' ' : text[i];
    }
  }
  return decoded;
}

std::string_view HttpRequest::path() const {
  const std::string_view whole = target();
  return whole.substr(0, whole.find('?'));
}

std::optional<std::string> HttpRequest::query(std::string_view name) const {
  std::string_view rest = target();
  const size_t mark = rest.find('?');
  if (mark == std::string_view::npos) return std::nullopt;
  rest.remove_prefix(mark + 1);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const size_t equals = pair.find('=');
    if (PercentDecode(pair.substr(0, equals), true) != name) continue;
    return equals == std::string_view::npos ? std::string()
                                            : PercentDecode(pair.substr(equals + 1), true);
  }
  return std::nullopt;
}

std::optional<std::string_view> HttpRequest::header(std::string_view name) const {
  for (const Line& line : lines_) {
    if (EqualsIgnoringCase(View(line.name), name)) return View(line.value);
  }
  return std::nullopt;
}

bool HttpRequest::header_has_token(std::string_view name, std::string_view token) const {
  for (const Line& line : lines_) {
    if (!EqualsIgnoringCase(View(line.name), name)) continue;
    std::string_view rest = View(line.value);
    while (!rest.empty()) {
      const size_t comma = std::min(rest.find(','), rest.size());
      if (EqualsIgnoringCase(TrimSpaces(rest.substr(0, comma)), token)) return true;
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return false;
}

bool HttpRequestParser::Refuse(int status, std::string_view code, std::string message) {
  state_ = State::kRefused;
  refusal_ = {status, code, std::move(message), {}};
  return false;
}

bool HttpRequestParser::RefuseBody(uint64_t bytes) {
  Refuse(413, "BODY_TOO_LARGE",
         fmt::format("The request body has {} bytes or more; at most {} are allowed", bytes,
                     body_bytes_max()));
  refusal_.details = fmt::format("\"size_bytes\":{},\"max_bytes\":{}", bytes, body_bytes_max());
  return false;
}

void HttpRequestParser::Next() {
  state_ = State::kHead;
  expect_continue_ = false;
  streams_ = false;
  body_bytes_ = 0;
  remaining_ = 0;
  trailer_bytes_ = 0;
  request_.keep_alive_ = true;
  request_.http_1_0_ = false;
  request_.lines_.clear();
  request_.head_.clear();
  request_.body_.clear();
  if (request_.head_.capacity() > kKeptBytes) std::string().swap(request_.head_);
  if (request_.body_.capacity() > kKeptBytes) std::string().swap(request_.body_);
}

bool HttpRequestParser::TakeExpectContinue() {
  return std::exchange(expect_continue_, false) && state_ == State::kBody;
}

size_t HttpRequestParser::Feed(std::string_view bytes) {
  if (state_ == State::kBody) return FeedBody(bytes);
  if (state_ != State::kHead) return 0;
  size_t skipped = 0;
  // RFC 9112 2.2: empty lines before a request are ignored.
  while (bytes.substr(skipped).starts_with("\r\n")) skipped += 2;
  bytes.remove_prefix(skipped);
  if (bytes.starts_with(kHttp2Preface.substr(0, 16)) && bytes.size() >= 16) {
    state_ = State::kHttp2;
    return skipped + bytes.size();
  }
  const size_t end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos || end + 4 > limits_.head_bytes_max) {
    if (bytes.size() > limits_.head_bytes_max || end != std::string_view::npos) {
      const bool target_open =
          bytes.substr(0, limits_.head_bytes_max).find("\r\n") == std::string_view::npos;
      Refuse(target_open ? 414 : 431, target_open ? "URI_TOO_LONG" : "HEADERS_TOO_LARGE",
             fmt::format("The request's head has more than {} bytes", limits_.head_bytes_max));
    }
    return skipped;
  }
  request_.head_.assign(bytes.substr(0, end + 4));
  if (!ParseHead(end + 4)) return skipped + end + 4;
  size_t used = skipped + end + 4;
  if (state_ == State::kBody) used += FeedBody(bytes.substr(end + 4));
  return used;
}

bool HttpRequestParser::ParseHead(size_t size) {
  const std::string_view head = request_.head_;
  const size_t line_end = head.find("\r\n");
  const std::string_view line = head.substr(0, line_end);
  const size_t first = line.find(' ');
  const size_t second = first == std::string_view::npos ? first : line.find(' ', first + 1);
  if (second == std::string_view::npos || !IsToken(line.substr(0, first)) || second == first + 1) {
    return Refuse(400, "BAD_REQUEST", "The request line is malformed");
  }
  const std::string_view version = line.substr(second + 1);
  const std::string_view target = line.substr(first + 1, second - first - 1);
  if (version.size() != 8 || !version.starts_with("HTTP/")) {
    return Refuse(400, "BAD_REQUEST", "The request line is malformed");
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    return Refuse(505, "HTTP_VERSION_NOT_SUPPORTED", "Only HTTP/1.1 and HTTP/1.0 are supported");
  }
  if (target.size() > kTargetBytesMax) {
    return Refuse(414, "URI_TOO_LONG",
                  fmt::format("The request target has more than {} bytes", kTargetBytesMax));
  }
  for (const char c : target) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) {
      return Refuse(400, "BAD_REQUEST", "The request target holds a control character");
    }
  }
  request_.method_ = {0, static_cast<uint32_t>(first)};
  request_.target_ = {static_cast<uint32_t>(first + 1), static_cast<uint32_t>(target.size())};
  request_.http_1_0_ = version == "HTTP/1.0";
  size_t begin = line_end + 2;
  while (begin + 2 < size) {
    const size_t end = head.find("\r\n", begin);
    if (!ParseLine(head.substr(begin, end - begin), begin)) return false;
    begin = end + 2;
  }
  return ReadFraming();
}

bool HttpRequestParser::ParseLine(std::string_view line, size_t begin) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) {
    return Refuse(400, "BAD_REQUEST", "A header line is malformed");
  }
  const std::string_view value = TrimSpaces(line.substr(colon + 1));
  for (const char c : value) {
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) {
      return Refuse(400, "BAD_REQUEST", "A header value holds a control character");
    }
  }
  if (request_.lines_.size() == kHeaderLinesMax) {
    return Refuse(431, "HEADERS_TOO_LARGE",
                  fmt::format("The request has more than {} headers", kHeaderLinesMax));
  }
  const auto offset =
      static_cast<uint32_t>(begin + static_cast<size_t>(value.data() - line.data()));
  request_.lines_.push_back({{static_cast<uint32_t>(begin), static_cast<uint32_t>(colon)},
                             {value.empty() ? 0 : offset, static_cast<uint32_t>(value.size())}});
  return true;
}

bool HttpRequestParser::ReadFraming() {
  std::optional<uint64_t> length;
  std::string_view transfer;
  int hosts = 0;
  for (const HttpRequest::Line& line : request_.lines_) {
    const std::string_view name = request_.View(line.name);
    const std::string_view value = request_.View(line.value);
    if (EqualsIgnoringCase(name, "content-length")) {
      uint64_t number = 0;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
      if (value.empty() || error != std::errc() || end != value.data() + value.size() ||
          (length && *length != number)) {
        return Refuse(400, "BAD_REQUEST", "Content-Length is malformed");
      }
      length = number;
    } else if (EqualsIgnoringCase(name, "transfer-encoding")) {
      if (!transfer.empty()) return Refuse(400, "BAD_REQUEST", "Transfer-Encoding is given twice");
      transfer = value;
    } else if (EqualsIgnoringCase(name, "host")) {
      ++hosts;
    }
  }
  if (hosts > 1 || (hosts == 0 && !request_.http_1_0_)) {
    return Refuse(400, "BAD_REQUEST", "The request needs exactly one Host header");
  }
  request_.keep_alive_ = request_.http_1_0_ ? request_.header_has_token("connection", "keep-alive")
                                            : !request_.header_has_token("connection", "close");
  streams_ = limits_.streams_body != nullptr && limits_.streams_body(request_);
  if (!transfer.empty()) {
    if (length || request_.http_1_0_) {
      return Refuse(400, "BAD_REQUEST", "Transfer-Encoding and Content-Length exclude each other");
    }
    if (!EqualsIgnoringCase(transfer, "chunked")) {
      return Refuse(501, "NOT_IMPLEMENTED", "Only the transfer encoding 'chunked' is supported");
    }
    body_state_ = BodyState::kChunkSize;
    state_ = State::kBody;
  } else if (length.value_or(0) > 0) {
    if (*length > body_bytes_max()) return RefuseBody(*length);
    body_state_ = BodyState::kFixed;
    remaining_ = *length;
    if (!streams_)
      request_.body_.reserve(std::min<size_t>(remaining_, kBodyReserveBytes) + kBodyPaddingBytes);
    state_ = State::kBody;
  } else {
    state_ = State::kComplete;
  }
  if (const auto expect = request_.header("expect"); expect && state_ == State::kBody) {
    if (!EqualsIgnoringCase(*expect, "100-continue")) {
      return Refuse(417, "EXPECTATION_FAILED", "Only 'Expect: 100-continue' is supported");
    }
    expect_continue_ = true;
  }
  return true;
}

size_t HttpRequestParser::FeedBody(std::string_view bytes) {
  if (body_state_ != BodyState::kFixed) return FeedChunked(bytes);
  const size_t taken = static_cast<size_t>(std::min<uint64_t>(remaining_, bytes.size()));
  request_.body_.append(bytes.substr(0, taken));
  remaining_ -= taken;
  if (remaining_ == 0) state_ = State::kComplete;
  return taken;
}

size_t HttpRequestParser::FeedChunked(std::string_view bytes) {
  size_t used = 0;
  while (state_ == State::kBody && used < bytes.size()) {
    const std::string_view rest = bytes.substr(used);
    if (body_state_ == BodyState::kChunkBytes) {
      const size_t taken = static_cast<size_t>(std::min<uint64_t>(remaining_, rest.size()));
      request_.body_.append(rest.substr(0, taken));
      body_bytes_ += taken;
      remaining_ -= taken;
      used += taken;
      if (remaining_ == 0) body_state_ = BodyState::kChunkEnd;
      continue;
    }
    // The other states want whole lines.
    const size_t end = rest.find("\r\n");
    if (end == std::string_view::npos) {
      if (rest.size() > kChunkLineBytesMax)
        Refuse(400, "BAD_REQUEST", "A chunk's line is too long");
      return used;
    }
    const std::string_view line = rest.substr(0, end);
    used += end + 2;
    if (body_state_ == BodyState::kChunkEnd) {
      if (!line.empty()) Refuse(400, "BAD_REQUEST", "A chunk does not end where it should");
      body_state_ = BodyState::kChunkSize;
    } else if (body_state_ == BodyState::kTrailer) {
      trailer_bytes_ += line.size() + 2;
      if (line.empty()) {
        state_ = State::kComplete;
      } else if (trailer_bytes_ > limits_.head_bytes_max) {
        Refuse(431, "HEADERS_TOO_LARGE", "The trailers are too large");
      }
    } else {
      const std::string_view size = TrimSpaces(line.substr(0, line.find(';')));
      uint64_t number = 0;
      const auto [stop, error] =
          std::from_chars(size.data(), size.data() + size.size(), number, 16);
      if (size.empty() || error != std::errc() || stop != size.data() + size.size() ||
          end > kChunkLineBytesMax) {
        Refuse(400, "BAD_REQUEST", "A chunk's size is malformed");
      } else if (number > body_bytes_max() - body_bytes_) {
        RefuseBody(body_bytes_max() + 1);
      } else {
        remaining_ = number;
        body_state_ = number == 0 ? BodyState::kTrailer : BodyState::kChunkBytes;
      }
    }
  }
  return used;
}

std::string_view ReasonOf(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 426:
      return "Upgrade Required";
    case 428:
      return "Precondition Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

std::string ErrorBody(std::string_view code, std::string_view message) {
  std::string body = "{\"error\":";
  AppendJsonString(code, &body);
  body += ",\"message\":";
  AppendJsonString(message, &body);
  body += '}';
  return body;
}

}  // namespace kalam::server
