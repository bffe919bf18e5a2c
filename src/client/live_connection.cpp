// The WebSocket client: RFC 6455 framing over a Connection.
#include "client/live_connection.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <zlib.h>

#include <array>

#include "types/convert.h"

namespace kalam::client {
namespace {

enum Op { kContinuation = 0x0, kText = 0x1, kBinary = 0x2, kClose = 0x8, kPing = 0x9, kPong = 0xA };
constexpr size_t kMessageBytesMax = 64u << 20;

struct FrameHead {
  bool final = false;
  int op = 0;
  size_t head_size = 0;
  uint64_t payload_size = 0;
};

// False when the head is not complete yet.
bool ParseHead(const std::string& buffer, FrameHead* frame) {
  if (buffer.size() < 2) return false;
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(buffer[i]); };
  frame->final = (byte(0) & 0x80) != 0;
  frame->op = byte(0) & 0x0f;
  const uint8_t length = byte(1) & 0x7f;
  const size_t extra = length == 126 ? 2 : length == 127 ? 8 : 0;
  if (buffer.size() < 2 + extra) return false;
  frame->payload_size = extra == 0 ? length : 0;
  for (size_t i = 0; i < extra; ++i) frame->payload_size = frame->payload_size << 8 | byte(2 + i);
  frame->head_size = 2 + extra;
  return true;
}

std::string JsonText(std::string_view text) {
  std::string json;
  AppendJsonString(text, &json);
  return json;
}

}  // namespace

Result<std::string> InflateGzip(std::string_view bytes) {
  z_stream stream{};
  // 16 asks zlib for the gzip format.
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)
    return Status(ErrorKind::Internal, "zlib is not usable");
  std::string text;
  std::array<char, 32 << 10> chunk{};
  stream.next_in =
      reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));  // NOLINT: zlib's interface
  stream.avail_in = static_cast<uInt>(bytes.size());
  int state = Z_OK;
  while (state == Z_OK && text.size() <= kMessageBytesMax) {
    stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream.avail_out = chunk.size();
    state = inflate(&stream, Z_NO_FLUSH);
    text.append(chunk.data(), chunk.size() - stream.avail_out);
    if (state == Z_BUF_ERROR) break;
  }
  inflateEnd(&stream);
  if (text.size() > kMessageBytesMax)
    return Status(ErrorKind::TooLarge, "The server sent a message over 64 MiB");
  if (state != Z_STREAM_END)
    return Status(ErrorKind::InvalidInput, "The server sent a broken gzip message");
  return text;
}

Result<std::unique_ptr<LiveConnection>> LiveConnection::Open(const Endpoint& endpoint,
                                                             std::string_view token,
                                                             int timeout_ms) {
  KALAM_ASSIGN_OR_RETURN(std::unique_ptr<Connection> stream,
                         Connection::Open(endpoint, timeout_ms));
  std::unique_ptr<LiveConnection> live(
      new LiveConnection(std::move(stream)));  // NOLINT: the constructor is private
  KALAM_RETURN_IF_ERROR(live->Upgrade(endpoint, token, timeout_ms));
  KALAM_ASSIGN_OR_RETURN(const std::string hello, live->Next(timeout_ms));
  if (hello.find("\"auth_success\"") == std::string::npos) {
    return Status(ErrorKind::Unauthorized, "The server refused the token: " + hello);
  }
  return live;
}

LiveConnection::~LiveConnection() {
  if (connection_) (void)SendFrame(kClose, std::string_view("\x03\xe8", 2));
}

Status LiveConnection::Upgrade(const Endpoint& endpoint, std::string_view token, int timeout_ms) {
  std::array<unsigned char, 16> nonce{};
  RAND_bytes(nonce.data(), nonce.size());
  std::array<unsigned char, 25> key{};
  EVP_EncodeBlock(key.data(), nonce.data(), nonce.size());
  KALAM_RETURN_IF_ERROR(connection_->Write(
      "GET /v1/ws HTTP/1.1\r\nHost: " + endpoint.host + ":" + std::to_string(endpoint.port) +
      "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "
      "13\r\nSec-WebSocket-Key: " +
      std::string(reinterpret_cast<const char*>(key.data()), 24) + "\r\nAuthorization: Bearer " +
      std::string(token) + "\r\n\r\n"));
  size_t head_end;
  while ((head_end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    KALAM_RETURN_IF_ERROR(connection_->Read(&buffer_, timeout_ms));
  }
  if (buffer_.find(" 101 ") > head_end) {
    return Status(ErrorKind::StorageIo,
                  "The server refused the WebSocket: " + buffer_.substr(0, buffer_.find("\r\n")));
  }
  buffer_.erase(0, head_end + 4);
  return {};
}

Status LiveConnection::SendFrame(int op, std::string_view payload) {
  std::string frame(1, static_cast<char>(0x80 | op));
  if (payload.size() < 126) {
    frame.push_back(static_cast<char>(0x80 | payload.size()));
  } else {
    const int bytes = payload.size() < 65536 ? 2 : 8;
    frame.push_back(static_cast<char>(0x80 | (bytes == 2 ? 126 : 127)));
    for (int i = bytes - 1; i >= 0; --i)
      frame.push_back(static_cast<char>(uint64_t{payload.size()} >> (8 * i)));
  }
  std::array<unsigned char, 4> mask{};
  RAND_bytes(mask.data(), mask.size());
  frame.append(reinterpret_cast<const char*>(mask.data()), mask.size());
  for (size_t i = 0; i < payload.size(); ++i)
    frame.push_back(static_cast<char>(payload[i] ^ mask[i % 4]));
  return connection_->Write(frame);
}

Result<std::string> LiveConnection::Next(int timeout_ms) {
  std::string message;
  bool binary = false;
  while (true) {
    FrameHead frame;
    while (!ParseHead(buffer_, &frame) || buffer_.size() < frame.head_size + frame.payload_size) {
      if (frame.payload_size > kMessageBytesMax)
        return Status(ErrorKind::TooLarge, "The server sent a frame over 64 MiB");
      KALAM_RETURN_IF_ERROR(connection_->Read(&buffer_, timeout_ms));
    }
    std::string payload = buffer_.substr(frame.head_size, frame.payload_size);
    buffer_.erase(0, frame.head_size + frame.payload_size);
    if (frame.op == kPing) {
      KALAM_RETURN_IF_ERROR(SendFrame(kPong, payload));
    } else if (frame.op == kClose) {
      const std::string reason = payload.size() > 2 ? ": " + payload.substr(2) : std::string();
      return Status(ErrorKind::Cancelled, "The server closed the WebSocket" + reason);
    } else if (frame.op == kText || frame.op == kBinary || frame.op == kContinuation) {
      if (frame.op != kContinuation) binary = frame.op == kBinary;
      message += payload;
      if (!frame.final) continue;
      return binary ? InflateGzip(message) : Result<std::string>(std::move(message));
    }
  }
}

Status LiveConnection::Subscribe(std::string_view id, std::string_view sql,
                                 std::string_view options_json) {
  std::string message =
      R"({"type":"subscribe","subscription":{"id":)" + JsonText(id) + ",\"sql\":" + JsonText(sql);
  if (!options_json.empty()) message += ",\"options\":" + std::string(options_json);
  return SendFrame(kText, message + "}}");
}

Status LiveConnection::NextBatch(std::string_view id, std::string_view last_seq) {
  return SendFrame(kText, R"({"type":"next_batch","subscription_id":)" + JsonText(id) +
                              ",\"last_seq_id\":" + std::string(last_seq) + "}");
}

Status LiveConnection::Unsubscribe(std::string_view id) {
  return SendFrame(kText, R"({"type":"unsubscribe","subscription_id":)" + JsonText(id) + "}");
}

Status LiveConnection::Ping() { return SendFrame(kText, R"({"type":"ping"})"); }

}  // namespace kalam::client
