// Frame parsing, strict as RFC 6455 asks of a server.
#include "server/websocket_frame.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstring>

#include "server/limits.h"

namespace kalam::server {
namespace {

constexpr size_t kControlPayloadMax = 125;

void Unmask(std::span<char> bytes, const std::array<char, 4>& mask, uint32_t offset) {
  // Eight bytes at a time: large messages would otherwise cost a byte loop.
  std::array<char, 8> wide;
  for (size_t i = 0; i < 8; ++i) wide[i] = mask[(offset + i) % 4];
  uint64_t mask64;
  std::memcpy(&mask64, wide.data(), 8);
  size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + at, 8);
    word ^= mask64;
    std::memcpy(bytes.data() + at, &word, 8);
  }
  for (; at < bytes.size(); ++at)
    bytes[at] = static_cast<char>(bytes[at] ^ mask[(offset + at) % 4]);
}

bool IsValidCloseCode(unsigned code) {
  if (code >= 3000 && code <= 4999) return true;
  return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

}  // namespace

FrameHead MakeFrameHead(FrameOpcode opcode, size_t payload_size) {
  FrameHead head;
  const auto put = [&head](uint64_t byte) {
    head.bytes[head.size++] = static_cast<char>(byte & 0xff);
  };
  put(0x80u | static_cast<uint8_t>(opcode));
  if (payload_size < 126) {
    put(payload_size);
  } else if (payload_size <= 0xffff) {
    put(126);
    put(payload_size >> 8);
    put(payload_size);
  } else {
    put(127);
    for (int shift = 56; shift >= 0; shift -= 8) put(static_cast<uint64_t>(payload_size) >> shift);
  }
  return head;
}

std::string MakeCloseFrame(CloseCode code, std::string_view reason) {
  reason = reason.substr(0, kControlPayloadMax - 2);
  while (!IsValidUtf8(reason)) reason.remove_suffix(1);
  std::string frame(MakeFrameHead(FrameOpcode::kClose, reason.size() + 2).view());
  frame += static_cast<char>(static_cast<uint16_t>(code) >> 8);
  frame += static_cast<char>(static_cast<uint16_t>(code) & 0xff);
  frame += reason;
  return frame;
}

std::string WebSocketAccept(std::string_view key) {
  const std::string salted = std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  unsigned char digest[SHA_DIGEST_LENGTH];
  SHA1(reinterpret_cast<const unsigned char*>(salted.data()), salted.size(), digest);
  unsigned char encoded[40];
  const int size = EVP_EncodeBlock(encoded, digest, sizeof digest);
  return {reinterpret_cast<const char*>(encoded), static_cast<size_t>(size)};
}

bool IsValidUtf8(std::string_view text) {
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  const unsigned char* const end = at + text.size();
  while (at < end) {
    if (end - at >= 8) {
      uint64_t word;
      std::memcpy(&word, at, 8);
      if ((word & 0x8080808080808080u) == 0) {
        at += 8;
        continue;
      }
    }
    const unsigned char lead = *at++;
    if (lead < 0x80) continue;
    int more = 0;
    unsigned low = 0x80, high = 0xbf;  // bounds of the first continuation byte
    if (lead >= 0xc2 && lead <= 0xdf) {
      more = 1;
    } else if (lead >= 0xe0 && lead <= 0xef) {
      more = 2;
      if (lead == 0xe0) low = 0xa0;
      if (lead == 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      more = 3;
      if (lead == 0xf0) low = 0x90;
      if (lead == 0xf4) high = 0x8f;
    } else {
      return false;
    }
    for (; more > 0; --more) {
      if (at == end || *at < low || *at > high) return false;
      low = 0x80;
      high = 0xbf;
      ++at;
    }
  }
  return true;
}

FrameReader::Event FrameReader::Break(CloseCode code, std::string_view reason) {
  close_code_ = code;
  payload_ = reason;
  partial_.reset();
  return Event::kBroken;
}

void FrameReader::Abandon() {
  Release();
  partial_.reset();
}

void FrameReader::Release() {
  payload_ = {};
  finished_.reset();
}

FrameReader::Event FrameReader::Read(std::span<char> bytes, size_t* taken) {
  *taken = 0;
  // A view of the last message must not outlive it.
  payload_ = {};
  finished_.reset();
  if (partial_ != nullptr && partial_->frame_remaining > 0) return Continue(bytes, taken);
  if (bytes.size() < 2) return Event::kNeedMore;
  const auto first = static_cast<uint8_t>(bytes[0]);
  const auto second = static_cast<uint8_t>(bytes[1]);
  const bool final_frame = (first & 0x80) != 0;
  const auto opcode = static_cast<FrameOpcode>(first & 0x0f);
  if ((first & 0x70) != 0) return Break(CloseCode::kProtocolError, "Reserved bits are set");
  if ((second & 0x80) == 0)
    return Break(CloseCode::kProtocolError, "A client's frames must be masked");
  const bool control = (first & 0x08) != 0;
  uint64_t size = second & 0x7f;
  if (control) {
    if (!final_frame || size > kControlPayloadMax) {
      return Break(CloseCode::kProtocolError, "A control frame is fragmented or too long");
    }
    if (opcode > FrameOpcode::kPong) return Break(CloseCode::kProtocolError, "Unknown opcode");
  } else if (opcode > FrameOpcode::kBinary) {
    return Break(CloseCode::kProtocolError, "Unknown opcode");
  } else if ((opcode == FrameOpcode::kContinuation) != (partial_ != nullptr)) {
    return Break(CloseCode::kProtocolError, "A fragment is out of place");
  }
  const size_t length_bytes = size == 126 ? 2 : size == 127 ? 8 : 0;
  const size_t head_size = 2 + length_bytes + 4;
  if (bytes.size() < head_size) return Event::kNeedMore;
  if (length_bytes > 0) {
    size = 0;
    for (size_t i = 0; i < length_bytes; ++i) size = size << 8 | static_cast<uint8_t>(bytes[2 + i]);
    if (size < 126 || (length_bytes == 8 && (size <= 0xffff || size >> 63 != 0))) {
      return Break(CloseCode::kProtocolError, "A frame's length is malformed");
    }
  }
  std::array<char, 4> mask;
  std::memcpy(mask.data(), bytes.data() + head_size - 4, 4);
  const std::span<char> rest = bytes.subspan(head_size);
  if (control) {
    if (rest.size() < size) return Event::kNeedMore;
    *taken = head_size + size;
    Unmask(rest.first(size), mask, 0);
    return Control(opcode, rest.first(size));
  }
  // The common case needs no memory: one frame, complete.
  if (final_frame && partial_ == nullptr && rest.size() >= size && size <= message_bytes_max_) {
    *taken = head_size + size;
    Unmask(rest.first(size), mask, 0);
    return Message({rest.data(), size}, opcode == FrameOpcode::kText);
  }
  if (partial_ == nullptr) {
    partial_ = std::make_unique<Partial>();
    partial_->text = opcode == FrameOpcode::kText;
  }
  partial_->frame_remaining = size;
  partial_->final_frame = final_frame;
  partial_->mask = mask;
  partial_->mask_offset = 0;
  if (size > message_bytes_max_ - std::min<uint64_t>(message_bytes_max_, partial_->bytes.size())) {
    partial_->too_large = true;
    std::string().swap(partial_->bytes);
  }
  if (size > message_bytes_max_ * kSkippedMessageFactor) {
    return Break(CloseCode::kTooBig, "The message is far too large");
  }
  size_t used = 0;
  const Event event = size == 0 ? FrameEnded() : Continue(rest, &used);
  *taken = head_size + used;
  return event;
}

FrameReader::Event FrameReader::Continue(std::span<char> bytes, size_t* taken) {
  Partial& partial = *partial_;
  const auto used = static_cast<size_t>(std::min<uint64_t>(partial.frame_remaining, bytes.size()));
  *taken = used;
  if (partial.too_large) {
    partial.skipped += used;
    if (partial.skipped > message_bytes_max_ * kSkippedMessageFactor) {
      return Break(CloseCode::kTooBig, "The message is far too large");
    }
  } else {
    Unmask(bytes.first(used), partial.mask, partial.mask_offset);
    partial.mask_offset = static_cast<uint32_t>((partial.mask_offset + used) % 4);
    partial.bytes.append(bytes.data(), used);
  }
  partial.frame_remaining -= used;
  return partial.frame_remaining == 0 ? FrameEnded() : Event::kNeedMore;
}

FrameReader::Event FrameReader::FrameEnded() {
  if (!partial_->final_frame) return Event::kNeedMore;
  const std::unique_ptr<Partial> partial = std::move(partial_);
  if (partial->too_large) return Event::kTooLarge;
  finished_ = std::make_unique<std::string>(std::move(partial->bytes));
  return Message(*finished_, partial->text);
}

FrameReader::Event FrameReader::Message(std::string_view bytes, bool text) {
  if (text && !IsValidUtf8(bytes))
    return Break(CloseCode::kInvalidPayload, "A text message is not UTF-8");
  text_ = text;
  payload_ = bytes;
  return Event::kMessage;
}

FrameReader::Event FrameReader::Control(FrameOpcode opcode, std::span<char> payload) {
  payload_ = {payload.data(), payload.size()};
  if (opcode == FrameOpcode::kPing) return Event::kPing;
  if (opcode == FrameOpcode::kPong) return Event::kPong;
  if (payload.empty()) {
    close_code_ = CloseCode::kNormal;
    return Event::kClose;
  }
  if (payload.size() == 1) return Break(CloseCode::kProtocolError, "A close code is cut off");
  const unsigned code = static_cast<unsigned>(static_cast<uint8_t>(payload[0])) << 8 |
                        static_cast<uint8_t>(payload[1]);
  if (!IsValidCloseCode(code))
    return Break(CloseCode::kProtocolError, "A close code is not allowed");
  payload_.remove_prefix(2);
  if (!IsValidUtf8(payload_))
    return Break(CloseCode::kInvalidPayload, "A close reason is not UTF-8");
  close_code_ = static_cast<CloseCode>(code);
  return Event::kClose;
}

}  // namespace kalam::server
