// HTTP/1.1 requests as they arrive in pieces, and the heads of our answers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kalam::server {

/// A complete request. Header names are compared without case.
class HttpRequest {
 public:
  std::string_view method() const { return View(method_); }
  /// The target as sent: path and query.
  std::string_view target() const { return View(target_); }
  /// The target up to '?'.
  std::string_view path() const;
  /// A query parameter's value, percent-decoded; nullopt when absent.
  std::optional<std::string> query(std::string_view name) const;
  /// The first header of that name.
  std::optional<std::string_view> header(std::string_view name) const;
  /// True when a comma-separated header contains `token`, without case.
  bool header_has_token(std::string_view name, std::string_view token) const;
  const std::string& body() const { return body_; }
  std::string take_body() { return std::move(body_); }
  bool keep_alive() const { return keep_alive_; }
  bool http_1_0() const { return http_1_0_; }

 private:
  friend class HttpRequestParser;
  struct Piece {
    uint32_t begin = 0, size = 0;
  };
  struct Line {
    Piece name, value;
  };
  std::string_view View(Piece piece) const {
    return std::string_view(head_).substr(piece.begin, piece.size);
  }

  std::string head_;
  Piece method_, target_;
  std::vector<Line> lines_;
  std::string body_;
  bool keep_alive_ = true;
  bool http_1_0_ = false;
};

/// Why a request was refused: the HTTP status and one sentence.
struct HttpRefusal {
  int status = 400;
  std::string_view code;
  std::string message;
  std::string details;  // further members of the JSON body
};

struct HttpLimits {
  size_t head_bytes_max = 16 << 10;
  size_t body_bytes_max = 10 << 20;
  /// Requests whose body is taken piece by piece while it arrives, and its bound; null: none.
  bool (*streams_body)(const HttpRequest& request) = nullptr;
  size_t streamed_bytes_max = 0;
};

/// Parses one request after the other from a byte stream. A plain object: no socket, no clock.
/// Strict where leniency lets requests be smuggled (RFC 9112 sections 2.2, 6.3, 7.1): no bare CR,
/// no folding, no space before the colon, no Transfer-Encoding together with Content-Length, one
/// Content-Length.
class HttpRequestParser {
 public:
  enum class State : uint8_t {
    kHead,      // waits for a complete head
    kBody,      // waits for the rest of the body
    kComplete,  // request() is whole; call Next for another
    kRefused,   // refusal() says why; the connection must be closed after the answer
    kHttp2,     // the client speaks HTTP/2 without asking
  };
  explicit HttpRequestParser(const HttpLimits& limits) : limits_(limits) {}

  /// Takes bytes from the front of `bytes` and returns how many. Stops at the end of a request.
  /// Bytes that it does not take (an incomplete head) must be given again together with what
  /// follows them.
  size_t Feed(std::string_view bytes);
  State state() const { return state_; }
  HttpRequest& request() { return request_; }
  const HttpRefusal& refusal() const { return refusal_; }
  /// Once the head is there: the body is for TakeBody after every Feed, and never whole.
  bool streams_body() const { return streams_; }
  /// What has come of a streamed body since the last call.
  std::string TakeBody() { return std::exchange(request_.body_, std::string()); }
  /// True once after a head with "Expect: 100-continue" whose body is awaited.
  bool TakeExpectContinue();
  /// Forgets the request at hand and waits for the next head.
  void Next();
  /// The connection ends with this request's answer.
  void RefuseKeepAlive() { request_.keep_alive_ = false; }

 private:
  enum class BodyState : uint8_t { kFixed, kChunkSize, kChunkBytes, kChunkEnd, kTrailer };
  bool ParseHead(size_t size);
  bool ParseLine(std::string_view line, size_t begin);
  bool ReadFraming();
  size_t FeedBody(std::string_view bytes);
  size_t FeedChunked(std::string_view bytes);
  bool Refuse(int status, std::string_view code, std::string message);
  bool RefuseBody(uint64_t bytes);
  size_t body_bytes_max() const {
    return streams_ ? limits_.streamed_bytes_max : limits_.body_bytes_max;
  }

  HttpLimits limits_;
  State state_ = State::kHead;
  BodyState body_state_ = BodyState::kFixed;
  bool expect_continue_ = false;
  bool streams_ = false;
  uint64_t body_bytes_ = 0;  // of a chunked body so far
  uint64_t remaining_ = 0;   // of the fixed body or the current chunk
  size_t trailer_bytes_ = 0;
  HttpRequest request_;
  HttpRefusal refusal_;
};

/// The reason phrase of a status.
std::string_view ReasonOf(int status);

/// The JSON body {"error":code,"message":message}.
std::string ErrorBody(std::string_view code, std::string_view message);

/// Percent-decodes; invalid escapes stay as they are. '+' becomes a space when `form`.
std::string PercentDecode(std::string_view text, bool form);
/// Compares without regard to ASCII case.
bool EqualsIgnoringCase(std::string_view a, std::string_view b);

}  // namespace kalam::server
