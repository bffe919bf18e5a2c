// URLs and gzip of the client library.
#include <gtest/gtest.h>
#include <zlib.h>

#include "client/connection.h"
#include "client/live_connection.h"

namespace kalam::client {
namespace {

TEST(ParseUrl, ReadsWhatUsersWrite) {
  const Result<Endpoint> plain = ParseUrl("http://localhost:8080");
  ASSERT_TRUE(plain.ok());
  EXPECT_FALSE(plain->tls);
  EXPECT_EQ(plain->host, "localhost");
  EXPECT_EQ(plain->port, 8080);
  EXPECT_EQ(ParseUrl("https://db.example.com/")->port, 443);
  EXPECT_TRUE(ParseUrl("https://db.example.com")->tls);
  EXPECT_EQ(ParseUrl("http://[::1]:9000")->host, "::1");
  EXPECT_EQ(ParseUrl("http://[::1]:9000")->Url(), "http://[::1]:9000");
}

TEST(ParseUrl, RefusesTheRest) {
  for (const char* url : {"", "localhost:8080", "ftp://x", "http://", "http://user:pw@host",
                          "http://host?x=1", "http://host#a", "http://host:0", "http://host:70000",
                          "http://host:80a", "http://host/path"}) {
    EXPECT_TRUE(ParseUrl(url).status().Is(ErrorKind::InvalidInput)) << url;
  }
}

TEST(InflateGzip, UndoesGzipAndRefusesTheRest) {
  const std::string text(100'000, 'a');
  std::string packed(1000, '\0');
  z_stream stream{};
  ASSERT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  ASSERT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(packed.size() - stream.avail_out);
  deflateEnd(&stream);
  EXPECT_EQ(*InflateGzip(packed), text);
  EXPECT_FALSE(InflateGzip("no gzip").ok());
  EXPECT_FALSE(InflateGzip(packed.substr(0, packed.size() / 2)).ok());
  EXPECT_FALSE(InflateGzip("").ok());
}

}  // namespace
}  // namespace kalam::client
