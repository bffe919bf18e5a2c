// HTTP/1.1 requests: fixed-length and chunked replies.
#include "client/http.h"

#include <poll.h>

#include <algorithm>
#include <cctype>
#include <charconv>

namespace kalam::client {
namespace {

std::string_view HeaderValue(std::string_view head, std::string_view lower_name) {
  for (size_t at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n", at)) {
    at += 2;
    const std::string_view line = head.substr(at, head.find("\r\n", at) - at);
    const size_t colon = line.find(':');
    if (colon != lower_name.size()) continue;
    bool same = true;
    for (size_t i = 0; i < colon; ++i) {
      same = same && std::tolower(static_cast<unsigned char>(line[i])) == lower_name[i];
    }
    if (!same) continue;
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    return value;
  }
  return {};
}

// A connection that has something to read while nothing is due has been closed by the server.
bool LooksClosed(const Connection& connection) {
  pollfd probe{connection.fd(), POLLIN, 0};
  return poll(&probe, 1, 0) != 0;
}

}  // namespace

Status HttpClient::Connect() {
  if (connection_ && LooksClosed(*connection_)) connection_.reset();
  if (connection_) return {};
  buffer_.clear();
  KALAM_ASSIGN_OR_RETURN(connection_, Connection::Open(endpoint_, connect_timeout_ms_));
  return {};
}

Result<HttpReply> HttpClient::Send(std::string_view method, std::string_view path,
                                   std::string_view token, std::string_view content_type,
                                   std::span<const std::string_view> body) {
  KALAM_RETURN_IF_ERROR(Connect());
  std::string request = std::string(method) + " " + std::string(path) +
                        " HTTP/1.1\r\nHost: " + endpoint_.host + "\r\n";
  if (!token.empty()) request += "Authorization: Bearer " + std::string(token) + "\r\n";
  size_t size = 0;
  for (const std::string_view piece : body) size += piece.size();
  if (size > 0 || method == "POST") {
    request += "Content-Type: " + std::string(content_type) +
               "\r\nContent-Length: " + std::to_string(size) + "\r\n";
  }
  request += "\r\n";
  // One small body goes out with its head.
  if (body.size() == 1) request += body[0];
  Status sent = connection_->Write(request);
  for (size_t i = 0; body.size() > 1 && sent.ok() && i < body.size(); ++i) {
    sent = connection_->Write(body[i]);
  }
  if (!sent.ok()) {
    connection_.reset();
    return sent;
  }
  Result<HttpReply> reply = ReadReply();
  if (!reply.ok()) {
    connection_.reset();
    if (reply.status().Is(ErrorKind::Cancelled)) {
      return Status(ErrorKind::OutcomeUnknown,
                    "The server closed the connection before it answered; the statement may have "
                    "been applied");
    }
  }
  return reply;
}

Status HttpClient::ReadHead(std::string* head, HttpReply* reply) {
  size_t head_end;
  while ((head_end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    KALAM_RETURN_IF_ERROR(connection_->Read(&buffer_, receive_timeout_ms_));
  }
  *head = buffer_.substr(0, head_end + 2);
  buffer_.erase(0, head_end + 4);
  if (head->size() < 12 || head->compare(0, 5, "HTTP/") != 0) {
    return Status(ErrorKind::InvalidInput, "This is not an HTTP server: " + endpoint_.Url());
  }
  std::from_chars(head->data() + 9, head->data() + 12, reply->status);
  return {};
}

Result<HttpReply> HttpClient::ReadReply() {
  std::string head;
  HttpReply reply;
  KALAM_RETURN_IF_ERROR(ReadHead(&head, &reply));
  if (HeaderValue(head, "transfer-encoding") == "chunked") {
    while (true) {
      size_t line_end;
      while ((line_end = buffer_.find("\r\n")) == std::string::npos) {
        KALAM_RETURN_IF_ERROR(connection_->Read(&buffer_, receive_timeout_ms_));
      }
      size_t size = 0;
      std::from_chars(buffer_.data(), buffer_.data() + line_end, size, 16);
      while (buffer_.size() < line_end + 2 + size + 2) {
        KALAM_RETURN_IF_ERROR(connection_->Read(&buffer_, receive_timeout_ms_));
      }
      reply.body.append(buffer_, line_end + 2, size);
      buffer_.erase(0, line_end + 2 + size + 2);
      if (size == 0) break;
    }
  } else {
    size_t size = 0;
    const std::string_view length = HeaderValue(head, "content-length");
    std::from_chars(length.data(), length.data() + length.size(), size);
    while (buffer_.size() < size)
      KALAM_RETURN_IF_ERROR(connection_->Read(&buffer_, receive_timeout_ms_));
    reply.body = buffer_.substr(0, size);
    buffer_.erase(0, size);
  }
  if (HeaderValue(head, "connection") == "close") connection_.reset();
  return reply;
}

Result<HttpReply> HttpClient::Download(std::string_view path, std::string_view token,
                                       std::FILE* file) {
  // A connection of its own: what is left of a download that fails is not read as an answer.
  connection_.reset();
  KALAM_RETURN_IF_ERROR(Connect());
  KALAM_RETURN_IF_ERROR(connection_->Write(
      "GET " + std::string(path) + " HTTP/1.1\r\nHost: " + endpoint_.host +
      "\r\nAuthorization: Bearer " + std::string(token) + "\r\nConnection: close\r\n\r\n"));
  const auto download = [&]() -> Result<HttpReply> {
    std::string head;
    HttpReply reply;
    KALAM_RETURN_IF_ERROR(ReadHead(&head, &reply));
    size_t left = 0;
    const std::string_view length = HeaderValue(head, "content-length");
    std::from_chars(length.data(), length.data() + length.size(), left);
    while (left > 0) {
      if (buffer_.empty()) KALAM_RETURN_IF_ERROR(connection_->Read(&buffer_, receive_timeout_ms_));
      const size_t count = std::min(left, buffer_.size());
      if (reply.status != 200) {
        reply.body.append(buffer_, 0, count);
      } else if (std::fwrite(buffer_.data(), 1, count, file) != count) {
        return Status(ErrorKind::StorageIo, "Cannot write the download; the disk may be full");
      }
      buffer_.erase(0, count);
      left -= count;
    }
    return reply;
  };
  Result<HttpReply> reply = download();
  connection_.reset();
  return reply;
}

}  // namespace kalam::client
