// WebSocket frames (RFC 6455): messages out of a byte stream, and the heads of frames that we send.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace kalam::server {

enum class FrameOpcode : uint8_t {
  kContinuation = 0x0,
  kText = 0x1,
  kBinary = 0x2,
  kClose = 0x8,
  kPing = 0x9,
  kPong = 0xA,
};

/// Close codes of RFC 6455 section 7.4 and our own (4401: the session ended).
enum class CloseCode : uint16_t {
  kNormal = 1000,
  kGoingAway = 1001,
  kProtocolError = 1002,
  kInvalidPayload = 1007,
  kPolicy = 1008,
  kTooBig = 1009,
  kInternalError = 1011,
  kTryAgainLater = 1013,
  kSessionEnded = 4401,
};

/// The head of an unmasked, final frame; at most 10 bytes.
struct FrameHead {
  std::array<char, 10> bytes;
  uint8_t size = 0;
  std::string_view view() const { return {bytes.data(), size}; }
};
FrameHead MakeFrameHead(FrameOpcode opcode, size_t payload_size);
/// A whole close frame; the reason is cut to fit.
std::string MakeCloseFrame(CloseCode code, std::string_view reason);
/// Sec-WebSocket-Accept for a client's key (RFC 6455 section 4.2.2).
std::string WebSocketAccept(std::string_view key);
/// True for well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms).
bool IsValidUtf8(std::string_view text);

/// Reads frames from a client: unmasks in place, puts fragments together, skips what is too large.
/// A plain object. Holds no memory between messages once Release was called.
class FrameReader {
 public:
  enum class Event : uint8_t {
    kNeedMore,  // `taken` bytes were used; give more
    kMessage,   // payload() is a whole text (checked UTF-8) or binary message
    kPing,      // answer with payload() as a pong
    kPong,
    kClose,     // close_code() and payload() (the reason); the client wants to end
    kTooLarge,  // a message beyond the limit was skipped; the stream goes on
    kBroken,    // close_code() and payload() say why; the stream cannot go on
  };
  explicit FrameReader(size_t message_bytes_max) : message_bytes_max_(message_bytes_max) {}
  /// Of messages that begin from now on.
  void set_message_bytes_max(size_t bytes) { message_bytes_max_ = bytes; }

  /// Looks at the front of `bytes`; `*taken` is how many it used. payload() is valid until the next
  /// call and while `bytes` is.
  Event Read(std::span<char> bytes, size_t* taken);
  std::string_view payload() const { return payload_; }
  /// Gives up a message that was put together; payload() is not valid any more.
  void Release();
  /// Gives up what has arrived as well: nothing is read any more.
  void Abandon();
  /// Bytes of a message that has begun but is not complete.
  size_t held_bytes() const { return partial_ == nullptr ? 0 : partial_->bytes.size(); }
  bool is_text() const { return text_; }
  CloseCode close_code() const { return close_code_; }

 private:
  // A data message that has begun but is not complete.
  struct Partial {
    std::string bytes;
    uint64_t frame_remaining = 0;  // of the frame that is being read
    uint64_t skipped = 0;          // bytes thrown away once it was too large
    uint32_t mask_offset = 0;
    std::array<char, 4> mask{};
    bool final_frame = false;
    bool text = false;
    bool too_large = false;
  };
  Event Break(CloseCode code, std::string_view reason);
  Event Control(FrameOpcode opcode, std::span<char> payload);
  Event Message(std::string_view bytes, bool text);
  Event Continue(std::span<char> bytes, size_t* taken);
  Event FrameEnded();

  size_t message_bytes_max_;
  bool text_ = false;
  CloseCode close_code_ = CloseCode::kNormal;
  std::string_view payload_;
  std::unique_ptr<Partial> partial_;
  std::unique_ptr<std::string> finished_;  // owns payload_ of a message put together
};

}  // namespace kalam::server
