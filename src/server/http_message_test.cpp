// Tests of the request parser: bytes in any pieces, strictness, limits, and a fuzz smoke.
#include "server/http_message.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace kalam::server {
namespace {

using State = HttpRequestParser::State;

constexpr HttpLimits kLimits{.head_bytes_max = 512, .body_bytes_max = 100};

// Feeds `bytes` in pieces of `step` the way a connection does: what was not taken is given again.
State FeedInPieces(HttpRequestParser* parser, std::string_view bytes, size_t step,
                   std::string* rest = nullptr) {
  std::string kept;
  for (size_t at = 0; at < bytes.size() || !kept.empty();) {
    const size_t size = std::min(step, bytes.size() - at);
    kept.append(bytes.substr(at, size));
    at += size;
    const size_t used = parser->Feed(kept);
    kept.erase(0, used);
    if (parser->state() == State::kComplete || parser->state() == State::kRefused) break;
    if (size == 0 && used == 0) break;
    if (rest != nullptr) *rest = std::string(bytes.substr(at));
  }
  if (rest != nullptr) rest->insert(0, kept);
  return parser->state();
}

int RefusedWith(std::string_view bytes) {
  HttpRequestParser parser(kLimits);
  parser.Feed(bytes);
  return parser.state() == State::kRefused ? parser.refusal().status : 0;
}

TEST(HttpRequestParser, TakesARequestInAnyPieces) {
  const std::string_view bytes =
      "POST /v1/api/sql?a=1&b=x%20y HTTP/1.1\r\nHost: h\r\nContent-Type: application/json "
      "\r\nContent-Length: 5\r\n\r\nhello";
  for (size_t step = 1; step <= bytes.size(); ++step) {
    HttpRequestParser parser(kLimits);
    ASSERT_EQ(FeedInPieces(&parser, bytes, step), State::kComplete) << step;
    HttpRequest& request = parser.request();
    EXPECT_EQ(request.method(), "POST");
    EXPECT_EQ(request.path(), "/v1/api/sql");
    EXPECT_EQ(request.query("b"), "x y");
    EXPECT_EQ(request.query("c"), std::nullopt);
    EXPECT_EQ(request.header("content-TYPE"), "application/json");
    EXPECT_EQ(request.body(), "hello");
    EXPECT_TRUE(request.keep_alive());
  }
}

TEST(HttpRequestParser, TakesChunkedBodiesInAnyPieces) {
  const std::string_view bytes =
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
      "4;x=y\r\nabcd\r\n3\r\nefg\r\n0\r\nTrailer: t\r\n\r\n";
  for (size_t step = 1; step <= bytes.size(); ++step) {
    HttpRequestParser parser(kLimits);
    ASSERT_EQ(FeedInPieces(&parser, bytes, step), State::kComplete) << step;
    EXPECT_EQ(parser.request().body(), "abcdefg");
  }
}

TEST(HttpRequestParser, LeavesThePipelinedRequestAlone) {
  HttpRequestParser parser(kLimits);
  const std::string bytes =
      "GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
  const size_t first = parser.Feed(bytes);
  ASSERT_EQ(parser.state(), State::kComplete);
  EXPECT_EQ(parser.request().path(), "/a");
  parser.Next();
  EXPECT_EQ(parser.Feed(std::string_view(bytes).substr(first)), bytes.size() - first);
  EXPECT_EQ(parser.request().path(), "/b");
  EXPECT_FALSE(parser.request().keep_alive());
}

TEST(HttpRequestParser, RefusesWhatIsAmbiguousOrMalformed) {
  EXPECT_EQ(RefusedWith("GET / HTTP/1.1\r\n\r\n"), 400);                        // no Host
  EXPECT_EQ(RefusedWith("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);  // two Hosts
  EXPECT_EQ(RefusedWith("GET /\r\n\r\n"), 400);                                 // no version
  EXPECT_EQ(RefusedWith("GET / HTTP/3.0\r\nHost: h\r\n\r\n"), 505);
  EXPECT_EQ(RefusedWith("G(T / HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(RefusedWith("GET / HTTP/1.1\r\nHost : h\r\n\r\n"), 400);  // space before the colon
  EXPECT_EQ(RefusedWith("GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n"), 400);     // folding
  EXPECT_EQ(RefusedWith("GET / HTTP/1.1\r\nHost: h\r\nA: b\nC: d\r\n\r\n"), 400);  // bare LF
  EXPECT_EQ(
      RefusedWith("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
      400);
  EXPECT_EQ(RefusedWith("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n"), 400);
  EXPECT_EQ(
      RefusedWith(
          "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
      400);
  EXPECT_EQ(RefusedWith("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n"), 501);
  EXPECT_EQ(RefusedWith("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            400);
  EXPECT_EQ(
      RefusedWith("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n"),
      400);
  EXPECT_EQ(RefusedWith("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: more\r\n\r\n"),
            417);
}

TEST(HttpRequestParser, KeepsItsLimits) {
  EXPECT_EQ(RefusedWith("GET / HTTP/1.1\r\nHost: h\r\nA: " + std::string(600, 'a') + "\r\n\r\n"),
            431);
  EXPECT_EQ(RefusedWith("GET / HTTP/1.1\r\nHost: h\r\nA: " + std::string(600, 'a')), 431);
  EXPECT_EQ(RefusedWith("GET /" + std::string(600, 'a')), 414);
  EXPECT_EQ(RefusedWith("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n"), 413);
  EXPECT_EQ(RefusedWith("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n"),
            413);
  // Chunks that are small each but too much together.
  std::string many = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 11; ++i) many += "a\r\n0123456789\r\n";
  EXPECT_EQ(RefusedWith(many), 413);
}

TEST(HttpRequestParser, TellsExpectContinueOnce) {
  HttpRequestParser parser(kLimits);
  parser.Feed("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_TRUE(parser.TakeExpectContinue());
  EXPECT_FALSE(parser.TakeExpectContinue());
  parser.Feed("ok");
  EXPECT_EQ(parser.state(), State::kComplete);
}

TEST(HttpRequestParser, RecognisesTheHttp2Preface) {
  HttpRequestParser parser(kLimits);
  parser.Feed("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  EXPECT_EQ(parser.state(), State::kHttp2);
}

// Strategy: mutate valid requests and feed them in random pieces. Invariants: no crash, never more
// bytes taken than given, the body never beyond its limit, and the same result for any cut.
TEST(HttpRequestParser, FuzzSmoke) {
  std::mt19937 random(20260101);
  const std::vector<std::string> seeds = {
      "GET /health HTTP/1.1\r\nHost: h\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\nabcdefg",
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nX: "
      "y\r\n\r\n"};
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = seeds[random() % seeds.size()];
    for (uint32_t change = random() % 4; change > 0; --change) {
      const size_t at = random() % bytes.size();
      switch (random() % 3) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes.insert(at, 1, "\r\n: 0;,f"[random() % 8]);
          break;
        default:
          bytes.erase(at, 1 + random() % 3);
          break;
      }
      if (bytes.empty()) bytes = "x";
    }
    HttpRequestParser whole(kLimits), pieces(kLimits);
    const State state = FeedInPieces(&whole, bytes, bytes.size());
    FeedInPieces(&pieces, bytes, 1 + random() % 7);
    ASSERT_LE(whole.request().body().size(), kLimits.body_bytes_max);
    if (state == State::kComplete) {
      ASSERT_EQ(pieces.state(), State::kComplete) << bytes;
      ASSERT_EQ(pieces.request().body(), whole.request().body());
    } else {
      ASSERT_NE(pieces.state(), State::kComplete) << bytes;
    }
  }
}

}  // namespace
}  // namespace kalam::server
