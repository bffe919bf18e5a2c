// Tests of the frame reader: masking, fragments, control frames, limits, UTF-8, and a fuzz smoke.
#include "server/websocket_frame.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace kalam::server {
namespace {

using Event = FrameReader::Event;

std::string ClientFrame(int opcode, std::string_view payload, bool final_frame = true) {
  std::string frame;
  frame += static_cast<char>((final_frame ? 0x80 : 0) | opcode);
  if (payload.size() < 126) {
    frame += static_cast<char>(0x80 | payload.size());
  } else {
    frame += static_cast<char>(0x80 | 126);
    frame += static_cast<char>(payload.size() >> 8);
    frame += static_cast<char>(payload.size() & 0xff);
  }
  const char mask[4] = {0x11, 0x22, 0x33, 0x44};
  frame.append(mask, 4);
  for (size_t i = 0; i < payload.size(); ++i) frame += static_cast<char>(payload[i] ^ mask[i % 4]);
  return frame;
}

struct Seen {
  Event event;
  std::string payload;
  bool operator==(const Seen&) const = default;
};

// Reads everything in pieces of `step`; what was not taken is given again.
std::vector<Seen> ReadAll(FrameReader* reader, std::string bytes, size_t step) {
  std::vector<Seen> seen;
  std::string kept;
  for (size_t at = 0; at < bytes.size();) {
    const size_t size = std::min(step, bytes.size() - at);
    kept += bytes.substr(at, size);
    at += size;
    while (!kept.empty()) {
      size_t taken = 0;
      const Event event = reader->Read(kept, &taken);
      EXPECT_LE(taken, kept.size());
      if (event != Event::kNeedMore) seen.push_back({event, std::string(reader->payload())});
      if (event == Event::kBroken || event == Event::kClose) return seen;
      kept.erase(0, taken);
      if (taken == 0) break;
    }
  }
  return seen;
}

std::vector<Seen> ReadOne(std::string bytes, size_t limit = 1000) {
  FrameReader reader(limit);
  return ReadAll(&reader, std::move(bytes), 100'000);
}

TEST(FrameReader, ReadsMessagesInAnyPieces) {
  const std::string bytes = ClientFrame(1, "hello") + ClientFrame(1, "frag", false) +
                            ClientFrame(9, "p") + ClientFrame(0, "men", false) +
                            ClientFrame(0, "ted") + ClientFrame(2, std::string(300, 'b')) +
                            ClientFrame(1, "");
  const std::vector<Seen> expected = {{Event::kMessage, "hello"},
                                      {Event::kPing, "p"},
                                      {Event::kMessage, "fragmented"},
                                      {Event::kMessage, std::string(300, 'b')},
                                      {Event::kMessage, ""}};
  for (size_t step = 1; step < bytes.size() + 1; ++step) {
    FrameReader reader(1000);
    EXPECT_EQ(ReadAll(&reader, bytes, step), expected) << step;
  }
}

TEST(FrameReader, SkipsAMessageThatIsTooLargeAndGoesOn) {
  const std::string bytes = ClientFrame(1, std::string(400, 'x')) +
                            ClientFrame(1, std::string(60, 'y'), false) +
                            ClientFrame(0, std::string(60, 'z')) + ClientFrame(1, "ok");
  const std::vector<Seen> expected = {
      {Event::kTooLarge, ""}, {Event::kTooLarge, ""}, {Event::kMessage, "ok"}};
  for (const size_t step : {1u, 7u, 64u, 1000u}) {
    FrameReader reader(100);
    std::vector<Seen> seen = ReadAll(&reader, bytes, step);
    for (Seen& entry : seen) {
      if (entry.event == Event::kTooLarge) entry.payload.clear();
    }
    EXPECT_EQ(seen, expected) << step;
  }
  // A frame that announces far more than that ends the connection at once.
  std::string huge = {'\x82', '\xff', 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4};
  FrameReader reader(100);
  size_t taken = 0;
  EXPECT_EQ(reader.Read(huge, &taken), Event::kBroken);
  EXPECT_EQ(reader.close_code(), CloseCode::kTooBig);
}

TEST(FrameReader, RefusesWhatTheProtocolForbids) {
  const auto broken = [](std::string bytes, CloseCode code) {
    FrameReader reader(1000);
    size_t taken = 0;
    Event event = reader.Read(bytes, &taken);
    if (event == Event::kNeedMore && taken > 0) {
      bytes.erase(0, taken);
      event = reader.Read(bytes, &taken);
    }
    return event == Event::kBroken && reader.close_code() == code;
  };
  EXPECT_TRUE(broken(std::string("\x81\x05hello", 7), CloseCode::kProtocolError));  // not masked
  EXPECT_TRUE(
      broken("\xc1" + ClientFrame(1, "x").substr(1), CloseCode::kProtocolError));  // reserved bit
  EXPECT_TRUE(broken(ClientFrame(3, "x"), CloseCode::kProtocolError));             // unknown opcode
  EXPECT_TRUE(broken(ClientFrame(11, "x"), CloseCode::kProtocolError));
  EXPECT_TRUE(broken(ClientFrame(9, "x", false), CloseCode::kProtocolError));  // fragmented ping
  EXPECT_TRUE(
      broken(ClientFrame(9, std::string(126, 'x')), CloseCode::kProtocolError));  // long ping
  EXPECT_TRUE(broken(ClientFrame(0, "x"), CloseCode::kProtocolError));  // nothing to continue
  EXPECT_TRUE(broken(ClientFrame(1, "x", false) + ClientFrame(1, "y"), CloseCode::kProtocolError));
  EXPECT_TRUE(broken(ClientFrame(1, "\xc3("), CloseCode::kInvalidPayload));
  EXPECT_TRUE(broken(ClientFrame(8, std::string("\x03\xed", 2)),
                     CloseCode::kProtocolError));  // 1005 on the wire
  EXPECT_TRUE(broken(ClientFrame(8, "\x03"), CloseCode::kProtocolError));
  EXPECT_TRUE(broken(std::string("\x82\xfe\x00\x05", 4) + "maskhello",
                     CloseCode::kProtocolError));  // long form of 5
}

TEST(FrameReader, UnderstandsClose) {
  EXPECT_EQ(ReadOne(ClientFrame(8, "")), (std::vector<Seen>{{Event::kClose, ""}}));
  FrameReader reader(100);
  std::string bytes = ClientFrame(8, std::string("\x0f\xa1", 2) + "bye");
  size_t taken = 0;
  EXPECT_EQ(reader.Read(bytes, &taken), Event::kClose);
  EXPECT_EQ(static_cast<int>(reader.close_code()), 4001);
  EXPECT_EQ(reader.payload(), "bye");
}

TEST(FrameHeads, HaveTheShortestLength) {
  EXPECT_EQ(MakeFrameHead(FrameOpcode::kText, 125).view(), std::string_view("\x81\x7d", 2));
  EXPECT_EQ(MakeFrameHead(FrameOpcode::kBinary, 126).view(),
            std::string_view("\x82\x7e\x00\x7e", 4));
  EXPECT_EQ(MakeFrameHead(FrameOpcode::kText, 65536).view(),
            std::string_view("\x81\x7f\0\0\0\0\0\1\0\0", 10));
  EXPECT_EQ(MakeCloseFrame(CloseCode::kGoingAway, "x"), std::string("\x88\x03\x03\xe9x", 5));
  EXPECT_EQ(MakeCloseFrame(CloseCode::kNormal, std::string(200, 'r')).size(), 2u + 125u);
}

TEST(WebSocketAccept, IsTheExampleOfTheStandard) {
  EXPECT_EQ(WebSocketAccept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST(IsValidUtf8, FollowsRfc3629) {
  EXPECT_TRUE(IsValidUtf8("plain ascii, long enough for words"));
  EXPECT_TRUE(IsValidUtf8("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80 and more text after it"));
  EXPECT_FALSE(IsValidUtf8("\xc0\xaf"));          // overlong
  EXPECT_FALSE(IsValidUtf8("\xed\xa0\x80"));      // surrogate
  EXPECT_FALSE(IsValidUtf8("\xf4\x90\x80\x80"));  // beyond U+10FFFF
  EXPECT_FALSE(IsValidUtf8("12345678\xe2\x82"));  // cut off
  EXPECT_FALSE(IsValidUtf8("\x80"));
}

// Strategy: random and mutated frames in random pieces. Invariants: no crash, never more taken than
// given, messages within the limit, progress (a reader that takes nothing wants more).
TEST(FrameReader, FuzzSmoke) {
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes;
    for (uint32_t count = 1 + random() % 4; count > 0; --count) {
      std::string payload(random() % 200, 'a');
      bytes += ClientFrame(static_cast<int>(random() % 3 == 0 ? random() % 16 : random() % 3),
                           payload, random() % 3 != 0);
    }
    for (uint32_t change = random() % 3; change > 0; --change)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    FrameReader reader(150);
    for (const Seen& seen : ReadAll(&reader, bytes, 1 + random() % 64)) {
      ASSERT_TRUE(seen.event != Event::kMessage || seen.payload.size() <= 150u);
    }
  }
}

}  // namespace
}  // namespace kalam::server
