// Targets of what clients send and what an operator writes: the worst answer is an error.
#include <fmt/core.h>
#include <zlib.h>

#include "auth/token.h"
#include "base/memory_account.h"
#include "harness.h"
#include "live/live_hub.h"
#include "query/json_path.h"
#include "server/http_message.h"
#include "server/multipart.h"
#include "server/request_reader.h"
#include "server/settings.h"
#include "server/websocket_frame.h"

namespace kalam::fuzz {
namespace {

std::string RunSqlRequest(std::string_view input) {
  MemoryAccount account("bodies", nullptr);
  server::RequestReader reader(account);
  const auto body = reader.ReadSql(std::string(input));
  if (!body.ok()) return {};
  if (body->sql.size() > input.size()) return "the SQL is longer than the request";
  return account.used_bytes() == 0 ? "" : "the account did not return to zero";
}

std::string RunParameters(std::string_view input) {
  MemoryAccount account("bodies", nullptr);
  server::RequestReader reader(account);
  const auto parameters = reader.ReadParameters(std::string(input));
  return parameters.ok() && parameters->size() > input.size() ? "more parameters than bytes" : "";
}

std::string RunSignInBody(std::string_view input) {
  static constexpr std::string_view kNames[] = {"user", "password"};
  MemoryAccount account("bodies", nullptr);
  server::RequestReader reader(account);
  const auto texts = reader.ReadTexts(std::string(input), kNames);
  return texts.ok() && texts->size() > 2 ? "an unknown member was accepted" : "";
}

std::string RunJsonMember(std::string_view input) {
  const std::vector<Datum> path = {Datum::Text("a"), Datum::BigInt(1)};
  for (size_t depth = 0; depth <= path.size(); ++depth) {
    const auto member = query::FindJsonMember(input, std::span(path).first(depth), depth % 2 == 0);
    if (member.has_value() && member->length > static_cast<int64_t>(input.size()))
      return "a member is longer than its document";
  }
  return {};
}

std::string CheckMessage(const Result<live::ClientMessage>& message, size_t bytes) {
  if (!message.ok()) return {};
  const bool fits = message->sql.size() <= bytes && message->subscription_id.size() <= bytes &&
                    message->token.size() <= bytes;
  return fits ? "" : "a field is longer than its message";
}

std::string RunClientMessage(std::string_view input) {
  return CheckMessage(live::DecodeClientMessage(input, false), input.size());
}

std::string RunClientMessagePack(std::string_view input) {
  return CheckMessage(live::DecodeClientMessage(input, true), input.size());
}

std::string RunGunzip(std::string_view input) {
  constexpr size_t kBytesMax = 10'000;
  const auto bytes = live::Gunzip(input, kBytesMax);
  return bytes.ok() && bytes->size() > kBytesMax ? "the limit does not hold" : "";
}

/// What a reader makes of a stream that comes in pieces of `piece` bytes.
std::string ReadFrames(std::string_view input, size_t piece, std::string* problem) {
  constexpr size_t kMessageBytesMax = 1000;
  using Event = server::FrameReader::Event;
  server::FrameReader reader(kMessageBytesMax);
  std::string seen, waiting;
  bool ended = false;
  for (size_t begin = 0; begin < input.size() && !ended; begin += piece) {
    waiting += input.substr(begin, piece);
    for (bool more = true; more && !ended;) {
      size_t taken = 0;
      const Event event = reader.Read({waiting.data(), waiting.size()}, &taken);
      if (taken > waiting.size()) *problem = "more was taken than there is";
      if (reader.payload().size() > kMessageBytesMax && event == Event::kMessage)
        *problem = "a message is larger than allowed";
      if (event != Event::kNeedMore)
        seen += fmt::format("{}:{};", static_cast<int>(event), reader.payload());
      ended = event == Event::kBroken || event == Event::kClose || !problem->empty();
      more = event != Event::kNeedMore || (taken > 0 && taken < waiting.size());
      waiting.erase(0, taken);
      if (waiting.empty()) more = false;
    }
  }
  return seen;
}

std::string RunFrames(std::string_view input) {
  std::string problem;
  const std::string whole = ReadFrames(input, input.size() + 1, &problem);
  const std::string pieces = ReadFrames(input, 3, &problem);
  if (problem.empty() && whole != pieces) return "the cut of the stream changes what it says";
  return problem;
}

std::string RunHttpRequest(std::string_view input) {
  using State = server::HttpRequestParser::State;
  server::HttpLimits limits;
  limits.head_bytes_max = 2000;
  limits.body_bytes_max = 1000;
  server::HttpRequestParser parser(limits);
  size_t at = 0;
  for (int requests = 0; at < input.size() && requests < 100; ++requests) {
    size_t taken = 0;
    do {
      taken = parser.Feed(input.substr(at));
      at += taken;
      if (at > input.size()) return "more was taken than there is";
    } while (taken > 0 && at < input.size() &&
             (parser.state() == State::kHead || parser.state() == State::kBody));
    if (parser.request().body().size() > limits.body_bytes_max) return "the limit does not hold";
    if (parser.state() != State::kComplete) return {};
    parser.Next();
  }
  return {};
}

/// Writes down what comes.
class FormRecorder final : public server::FormReceiver {
 public:
  Status OnPart(const server::FormPart& part) override {
    seen += fmt::format("[{}|{}|{}]", part.name, part.file_name, part.content_type);
    return {};
  }
  Status OnContent(std::string_view bytes) override {
    seen += bytes;
    content_bytes += bytes.size();
    return {};
  }
  Status OnPartEnd() override {
    seen += "[end]";
    return {};
  }

  std::string seen;
  size_t content_bytes = 0;
};

/// What the form says when it comes in pieces of `piece` bytes; empty when it is refused.
std::string ReadForm(std::string_view input, size_t piece, std::string* problem) {
  auto reader = server::MultipartReader::Make("multipart/form-data; boundary=edge");
  FormRecorder recorder;
  Status status = reader.ok() ? Status() : reader.status();
  for (size_t at = 0; at < input.size() && status.ok(); at += piece)
    status = reader->Feed(input.substr(at, piece), recorder);
  if (status.ok()) status = reader->Finish();
  if (recorder.content_bytes > input.size()) *problem = "the parts are larger than the form";
  return status.ok() ? recorder.seen : std::string();
}

std::string RunMultipart(std::string_view input) {
  std::string problem;
  const std::string whole = ReadForm(input, input.size() + 1, &problem);
  const std::string pieces = ReadForm(input, 3, &problem);
  if (problem.empty() && whole != pieces) return "the cut of the form changes what it says";
  return problem;
}

constexpr std::string_view kSecret = "a-secret-of-at-least-32-characters";

auth::TokenClaims Claims() {
  auth::TokenClaims claims;
  claims.subject = "ann";
  claims.issuer = auth::kIssuer;
  claims.role = "user";
  claims.token_type = "access";
  claims.expires_at_s = 2'000'000'000;
  return claims;
}

// Whatever is accepted must say what was signed.
std::string RunToken(std::string_view input) {
  const auto claims = auth::ReadToken(kSecret, input);
  if (!claims.ok()) return {};
  const bool same = claims->subject == "ann" && claims->role == "user" &&
                    claims->token_type == "access" && claims->expires_at_s == 2'000'000'000;
  return same ? "" : "a token that nobody signed was accepted";
}

std::string RunSettings(std::string_view input) {
  const auto settings = server::ParseSettings(input, "fuzzed.toml");
  if (settings.ok()) return {};
  return settings.status().message().empty() ? "an error without a message" : "";
}

std::string Masked(uint8_t head, std::string_view payload) {
  std::string frame;
  frame += static_cast<char>(head);
  if (payload.size() < 126) {
    frame += static_cast<char>(0x80 | payload.size());
  } else {
    frame += static_cast<char>(0x80 | 126);
    frame += static_cast<char>(payload.size() >> 8);
    frame += static_cast<char>(payload.size() & 0xff);
  }
  constexpr std::string_view kMask = "\x11\x22\x33\x44";
  frame += kMask;
  for (size_t i = 0; i < payload.size(); ++i) frame += static_cast<char>(payload[i] ^ kMask[i % 4]);
  return frame;
}

std::string Zipped(const std::string& text) {
  std::string out(text.size() + 100, '\0');
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

const std::vector<std::string>& JsonMessages() {
  static const std::vector<std::string> kMessages = {
      R"({"type":"authenticate","method":"jwt","token":"a.b.c","protocol":{"serialization":"json","compression":"gzip"}})",
      R"({"type":"subscribe","subscription":{"id":"s","sql":"SELECT * FROM a.b","options":{"batch_size":5,"last_rows":2,"from":"17"}}})",
      R"({"type":"next_batch","subscription_id":"s","last_seq_id":17})",
      R"({"type":"unsubscribe","subscription_id":"s"})", R"({"type":"ping"})"};
  return kMessages;
}

// {"type": "subscribe", "subscription": {"id": "s", "sql": "q", "options": {"from": 300}}}
std::string PackedSubscribe() {
  return "\x82\xa4type\xa9subscribe\xacsubscription\x83\xa2id\xa1s\xa3sql\xa1q\xa7options\x81\xa4"
         "from\xcd\x01\x2c";
}

}  // namespace

std::vector<Target> WireTargets() {
  const std::vector<std::string> sql = {
      R"({"sql":"SELECT $1","params":[1,-2.5,"x",null,true,9223372036854775807],"namespace_id":"a"})",
      R"({"sql":"\u00e9\ud83d\ude00\n"})"};
  return {
      {"sql_request", sql, RunSqlRequest},
      {"parameters", {R"([1,-2.5,"x",null,true])", "[]"}, RunParameters},
      {"sign_in_body", {R"({"user":"ann","password":"secret"})"}, RunSignInBody},
      {"json_member", {R"({"a":[1,{"b":"c"},-2.5e3],"d":null})", R"(["x","y"])"}, RunJsonMember},
      {"client_message", JsonMessages(), RunClientMessage},
      {"client_message_pack",
       {PackedSubscribe(), std::string("\x81\xa4type\xa4ping")},
       RunClientMessagePack},
      {"gunzip", {Zipped("hello"), Zipped(std::string(100'000, 'x')), Zipped("")}, RunGunzip},
      {"frames",
       {Masked(0x81, "hello"), Masked(0x82, std::string(300, '\x01')),
        Masked(0x01, "one") + Masked(0x89, "ping") + Masked(0x80, "two"), Masked(0x88, "\x03\xe8"),
        Masked(0x81, std::string(1500, 'y')) + Masked(0x81, "after")},
       RunFrames},
      {"http_request",
       {"GET /health HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /v1/api/sql HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"},
       RunHttpRequest},
      {"multipart",
       {"--edge\r\nContent-Disposition: form-data; name=\"sql\"\r\n\r\nSELECT 1\r\n--edge\r\n"
        "Content-Disposition: form-data; name=\"file:a\"; filename=\"b.png\"\r\nContent-Type: "
        "image/png\r\n\r\n\x89PNG\r\n--edge--\r\n"},
       RunMultipart},
      {"token", {auth::SignToken(kSecret, Claims())}, RunToken},
      {"settings",
       {"[server]\nport = 8080\nhost = \"::1\"\n[security.cors]\nallowed_origins = [\"a\", "
        "\"b\"]\n",
        "[logging]\nlevel = \"debug\"\ntargets = { \"a.b\" = \"info\" }\n"},
       RunSettings}};
}

}  // namespace kalam::fuzz
