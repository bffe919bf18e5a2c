// A small WebSocket client for load generators.
#include "load/websocket_client.h"

#include <sys/socket.h>

#include <array>

#include "load/http_client.h"

namespace kalam::load {
namespace {

constexpr uint8_t kOpText = 0x1, kOpClose = 0x8, kOpPing = 0x9, kOpPong = 0xA;
constexpr int kOpenTimeoutMs = 15'000;

std::string Frame(uint8_t op, std::string_view payload) {
  std::string frame;
  frame.push_back(static_cast<char>(0x80 | op));
  if (payload.size() < 126) {
    frame.push_back(static_cast<char>(0x80 | payload.size()));
  } else if (payload.size() < 65536) {
    frame.push_back(static_cast<char>(0x80 | 126));
    frame.push_back(static_cast<char>(payload.size() >> 8));
    frame.push_back(static_cast<char>(payload.size()));
  } else {
    frame.push_back(static_cast<char>(0x80 | 127));
    for (int shift = 56; shift >= 0; shift -= 8)
      frame.push_back(static_cast<char>(payload.size() >> shift));
  }
  // A fixed mask is allowed on loopback tests: masking guards proxies, and there is none.
  const std::array<char, 4> mask = {0x12, 0x34, 0x56, 0x78};
  frame.append(mask.data(), mask.size());
  for (size_t i = 0; i < payload.size(); ++i)
    frame.push_back(static_cast<char>(payload[i] ^ mask[i % 4]));
  return frame;
}

}  // namespace

Result<WebSocketClient> WebSocketClient::Begin(const Endpoint& endpoint, std::string_view token) {
  WebSocketClient client;
  KALAM_ASSIGN_OR_RETURN(client.socket_, Socket::Connect(endpoint));
  KALAM_RETURN_IF_ERROR(client.socket_.SendAll(
      "GET /v1/ws?compress=false HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: "
      "Upgrade\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nAuthorization: "
      "Bearer " +
      std::string(token) + "\r\n\r\n"));
  return client;
}

Result<bool> WebSocketClient::FinishUpgrade() {
  KALAM_RETURN_IF_ERROR(socket_.Receive(&buffer_, kOpenTimeoutMs));
  const size_t head_end = buffer_.find("\r\n\r\n");
  if (head_end == std::string::npos) return false;
  if (buffer_.compare(0, 12, "HTTP/1.1 101") != 0) {
    return Status(ErrorKind::Execution, "upgrade refused: " + buffer_.substr(0, 300));
  }
  buffer_.erase(0, head_end + 4);
  return true;
}

Status WebSocketClient::TakeBuffered(std::vector<std::string>* messages) {
  std::string message;
  bool closed = false;
  while (TakeMessage(&message, &closed)) messages->push_back(std::move(message));
  return closed ? Status(ErrorKind::Cancelled, "the server closed the WebSocket") : Status();
}

Result<WebSocketClient> WebSocketClient::Open(const Endpoint& endpoint, std::string_view token) {
  KALAM_ASSIGN_OR_RETURN(WebSocketClient client, Begin(endpoint, token));
  while (true) {
    KALAM_ASSIGN_OR_RETURN(const bool upgraded, client.FinishUpgrade());
    if (upgraded) break;
  }
  KALAM_ASSIGN_OR_RETURN(const std::string hello, client.Receive(kOpenTimeoutMs));
  if (hello.find("\"auth_success\"") == std::string::npos)
    return Status(ErrorKind::Unauthorized, hello);
  return client;
}

Status WebSocketClient::Send(std::string_view text) {
  return socket_.SendAll(Frame(kOpText, text));
}

bool WebSocketClient::TakeMessage(std::string* message, bool* closed) {
  while (buffer_.size() >= 2) {
    const auto byte = [this](size_t i) { return static_cast<uint8_t>(buffer_[i]); };
    const uint8_t op = byte(0) & 0x0f;
    uint64_t size = byte(1) & 0x7f;
    size_t head = 2;
    if (size == 126) {
      if (buffer_.size() < 4) return false;
      size = uint64_t{byte(2)} << 8 | byte(3);
      head = 4;
    } else if (size == 127) {
      if (buffer_.size() < 10) return false;
      size = 0;
      for (size_t i = 2; i < 10; ++i) size = size << 8 | byte(i);
      head = 10;
    }
    if (buffer_.size() < head + size) return false;
    std::string payload = buffer_.substr(head, size);
    buffer_.erase(0, head + size);
    if (op == kOpPing) {
      (void)socket_.SendAll(Frame(kOpPong, payload));
    } else if (op == kOpClose) {
      *closed = true;
      return false;
    } else if (op != kOpPong) {
      *message = std::move(payload);
      return true;
    }
  }
  return false;
}

Result<std::string> WebSocketClient::Receive(int timeout_ms) {
  std::string message;
  bool closed = false;
  while (!TakeMessage(&message, &closed)) {
    if (closed) return Status(ErrorKind::Cancelled, "the server closed the WebSocket");
    KALAM_RETURN_IF_ERROR(socket_.Receive(&buffer_, timeout_ms));
  }
  return message;
}

Status WebSocketClient::ReadAvailable(std::vector<std::string>* messages) {
  KALAM_RETURN_IF_ERROR(socket_.Receive(&buffer_, -1));
  return TakeBuffered(messages);
}

Status WebSocketClient::Subscribe(std::string_view id, std::string_view sql,
                                  std::string_view options_json) {
  std::string message = "{\"type\":\"subscribe\",\"subscription\":{\"id\":" + JsonString(id) +
                        ",\"sql\":" + JsonString(sql);
  if (!options_json.empty()) message += ",\"options\":" + std::string(options_json);
  return Send(message + "}}");
}

std::optional<std::string_view> FieldText(std::string_view json, std::string_view name) {
  const std::string key = "\"" + std::string(name) + "\":";
  size_t at = json.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  at += key.size();
  while (at < json.size() && json[at] == ' ') ++at;
  if (at < json.size() && json[at] == '"') {
    size_t end = ++at;
    while (end < json.size() && json[end] != '"') end += json[end] == '\\' ? 2 : 1;
    return json.substr(at, end - at);
  }
  size_t end = at;
  while (end < json.size() && json[end] != ',' && json[end] != '}' && json[end] != ']') ++end;
  return json.substr(at, end - at);
}

}  // namespace kalam::load
