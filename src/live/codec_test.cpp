// Client messages, gzip members with a shared body, and server messages in both serializations.
#include <gtest/gtest.h>
#include <zlib.h>

#include <nlohmann/json.hpp>

#include "live/gzip.h"
#include "live/live_hub.h"
#include "live/message_pack.h"
#include "live/server_message.h"

namespace kalam::live {
namespace {

using nlohmann::json;

std::string Payload(const OutgoingMessage& message) {
  return message.head + (message.body ? *message.body : "") + message.tail;
}

/// Inflates exactly one gzip member with zlib itself; fails on bytes behind it.
std::string InflateOneMember(const std::string& bytes) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  std::string out(1 << 20, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END) << (stream.msg ? stream.msg : "");
  EXPECT_EQ(stream.avail_in, 0u);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

json Decode(const OutgoingMessage& message, bool msgpack) {
  std::string bytes = Payload(message);
  if (bytes.substr(0, 2) == "\x1f\x8b") bytes = InflateOneMember(bytes);
  return msgpack ? json::from_msgpack(bytes) : json::parse(bytes);
}

catalog::TablePtr MessagesTable() {
  auto columns = std::make_shared<std::vector<catalog::ColumnDefinition>>();
  const auto add = [&columns](const char* name, DataType type, bool key = false) {
    catalog::ColumnDefinition column;
    column.column_id = static_cast<uint32_t>(columns->size() + 1);
    column.name = name;
    column.type = type;
    column.primary_key = key;
    columns->push_back(column);
  };
  add("id", DataType::Of(TypeKind::kBigInt), true);
  add("room", DataType::Of(TypeKind::kInt));
  add("body", DataType::Of(TypeKind::kText));
  add("score", DataType::Of(TypeKind::kDouble));
  add("raw", DataType::Of(TypeKind::kBytes));
  add("price", DataType::Decimal(10, 2));
  add("_seq", DataType::Of(TypeKind::kBigInt));
  add("_deleted", DataType::Of(TypeKind::kBoolean));
  auto table = std::make_shared<catalog::TableDefinition>();
  table->id = TableId{7};
  table->namespace_id = "chat";
  table->name = "messages";
  table->columns = columns;
  return table;
}

std::vector<Datum> Row(int64_t id, int room, std::string_view body) {
  return {Datum::BigInt(id),
          Datum::OfInt(TypeKind::kInt, room),
          Datum::Text(body),
          Datum::Double(1.5),
          Datum::Bytes(TypeKind::kBytes, std::string_view("\x00\xff", 2)),
          Datum::Decimal(1990, 2),
          Datum::BigInt(0),
          Datum::Boolean(false)};
}

ChangeRows UpdateOf(const catalog::TableDefinition& table, const std::vector<Datum>& new_cells,
                    const std::vector<Datum>& old_cells, const std::vector<uint32_t>& changed) {
  ChangeRows rows;
  rows.table = &table;
  rows.new_cells = new_cells;
  rows.old_cells = old_cells;
  rows.changed_columns = changed;
  rows.seq = Seq{1010};
  rows.previous_seq = Seq{1003};
  return rows;
}

TEST(ClientMessageTest, SubscribeTakesOptionsAsNumbersAndDigits) {
  const auto message = DecodeClientMessage(
      R"({"type":"subscribe","extra":1,"subscription":{"id":"s1","sql":"SELECT * FROM a.b",
          "options":{"batch_size":2,"last_rows":1,"from":"1011","unknown":{}}}})",
      false);
  ASSERT_TRUE(message.ok()) << message.status().ToString();
  EXPECT_EQ(message->type, ClientMessage::Type::kSubscribe);
  EXPECT_EQ(message->subscription_id, "s1");
  EXPECT_EQ(message->sql, "SELECT * FROM a.b");
  EXPECT_TRUE(message->options.present);
  EXPECT_EQ(message->options.batch_size, 2u);
  EXPECT_EQ(message->options.last_rows, 1u);
  EXPECT_EQ(message->options.from_seq, 1011);
}

TEST(ClientMessageTest, AMessageOfBracketsIsRefusedBeforeItBecomesATree) {
  const auto message = [](size_t count) {
    std::string text = R"({"type":"subscribe","subscription":{"id":"s","sql":"q"},"extra":[0)";
    for (size_t i = 0; i < count; ++i) text += ",[]          ";
    return text + "]}";
  };
  EXPECT_TRUE(DecodeClientMessage(message(900), false).ok());
  const auto refused = DecodeClientMessage(message(1'000), false);
  EXPECT_EQ(refused.status().message(), "Invalid message: too many values");
  const auto packed = [](size_t count) {
    return json::to_msgpack(json{{"type", "unsubscribe"},
                                 {"subscription_id", "s"},
                                 {"extra", json::array_t(count, json::array())}});
  };
  std::vector<uint8_t> bytes = packed(900);
  EXPECT_TRUE(
      DecodeClientMessage({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, true).ok());
  bytes = packed(1'000);
  EXPECT_FALSE(
      DecodeClientMessage({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, true).ok());
}

TEST(ClientMessageTest, OptionsAbsentNullAndEmptyDiffer) {
  const auto decode = [](const std::string& options) {
    return DecodeClientMessage(
        R"({"type":"subscribe","subscription":{"id":"s","sql":"q")" + options + "}}", false);
  };
  EXPECT_FALSE(decode("")->options.present);
  EXPECT_FALSE(decode(R"(,"options":null)")->options.present);
  EXPECT_TRUE(decode(R"(,"options":{})")->options.present);
  EXPECT_EQ(decode(R"(,"options":{"from_seq_id":9007199254740993})")->options.from_seq,
            9007199254740993);
}

TEST(ClientMessageTest, AuthenticateDefaultsItsProtocol) {
  const auto bare =
      DecodeClientMessage(R"({"type":"authenticate","method":"jwt","token":"t"})", false);
  ASSERT_TRUE(bare.ok());
  EXPECT_FALSE(bare->protocol.has_value());
  const auto full = DecodeClientMessage(
      R"({"type":"authenticate","method":"jwt","token":"t","protocol":{"serialization":"msgpack","compression":"none"}})",
      false);
  ASSERT_TRUE(full.ok());
  EXPECT_TRUE(full->protocol->msgpack);
  EXPECT_FALSE(full->protocol->gzip);
}

TEST(ClientMessageTest, ReadsMessagePack) {
  const json tree = {{"type", "next_batch"}, {"subscription_id", "s1"}, {"last_seq_id", 1002}};
  const std::vector<uint8_t> packed = json::to_msgpack(tree);
  const auto message =
      DecodeClientMessage({reinterpret_cast<const char*>(packed.data()), packed.size()}, true);
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->type, ClientMessage::Type::kNextBatch);
  EXPECT_EQ(message->last_seq, 1002);
}

TEST(ClientMessageTest, RefusesWhatItDoesNotKnow) {
  for (
      const char* text :
      {"", "{", "[]", "null", R"({"type":1})", R"({"type":"dance"})", R"({"type":"subscribe"})",
       R"({"type":"subscribe","subscription":{"id":7,"sql":"q"}})",
       R"({"type":"authenticate","method":"basic","token":"t"})",
       R"({"type":"next_batch","subscription_id":"s","last_seq_id":"12x"})",
       R"({"type":"subscribe","subscription":{"id":"s","sql":"q","options":{"batch_size":-1}}})"}) {
    EXPECT_TRUE(DecodeClientMessage(text, false).status().Is(ErrorKind::InvalidInput)) << text;
  }
}

TEST(MessagePackTest, AgreesWithTheLibraryOnEveryKind) {
  const json tree = {{"null", nullptr},
                     {"yes", true},
                     {"small", -5},
                     {"big", 1ull << 40},
                     {"low", -70000},
                     {"float", 2.5},
                     {"text", std::string(300, 'x')},
                     {"list", {1, 2, 3}},
                     {"map", {{"a", "b"}}}};
  const std::vector<uint8_t> packed = json::to_msgpack(tree);
  const auto decoded =
      DecodeMessagePack({reinterpret_cast<const char*>(packed.data()), packed.size()});
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, tree);
  for (size_t size = 0; size < packed.size(); ++size) {
    EXPECT_FALSE(DecodeMessagePack({reinterpret_cast<const char*>(packed.data()), size}).ok())
        << size;
  }
}

TEST(MessagePackTest, DepthAndClaimedLengthsAreBounded) {
  EXPECT_FALSE(DecodeMessagePack(std::string(1 << 20, '\x91')).ok());
  EXPECT_FALSE(DecodeMessagePack(std::string("\xdd\xff\xff\xff\xff\xc0", 6)).ok());
  EXPECT_FALSE(DecodeMessagePack(std::string("\xdb\xff\xff\xff\xff\xc0", 6)).ok());
}

TEST(GzipTest, InflatesWithinItsBound) {
  const std::string text(100'000, 'a');
  const std::string compressed = Gzip(text);
  ASSERT_FALSE(compressed.empty());
  EXPECT_EQ(InflateOneMember(compressed), text);
  EXPECT_EQ(*Gunzip(compressed, 100'000), text);
  EXPECT_TRUE(Gunzip(compressed, 99'999).status().Is(ErrorKind::TooLarge));
  EXPECT_TRUE(Gunzip(compressed.substr(0, 50), 1 << 20).status().Is(ErrorKind::InvalidInput));
  EXPECT_TRUE(Gunzip(compressed + "x", 1 << 20).status().Is(ErrorKind::InvalidInput));
  EXPECT_TRUE(Gunzip("", 10).status().Is(ErrorKind::InvalidInput));
}

TEST(GzipTest, SharedPartAndTailAreOneMember) {
  for (size_t size : {0u, 1u, 500u, 20'000u, 300'000u}) {
    std::string body;
    for (size_t i = 0; i < size; ++i) body.push_back(static_cast<char>('a' + (i * i) % 23));
    const SharedDeflate shared = DeflateShared(body);
    for (const std::string tail : {"", "\"subscription_id\":\"s1\"}", "another"}) {
      EXPECT_EQ(InflateOneMember(shared.bytes + GzipTail(shared, tail)), body + tail);
    }
  }
}

TEST(ServerMessageTest, UpdateHasTheFullRowAndTheDelta) {
  const catalog::TablePtr table = MessagesTable();
  const auto new_cells = Row(3, 7, "new");
  auto old_cells = Row(3, 6, "old");
  const std::vector<uint32_t> changed = {1, 2};
  const std::vector<uint32_t> projection = {1, 3, 5};
  for (bool msgpack : {false, true}) {
    EncodedChange encoded(msgpack, ChangeKind::kUpdate,
                          UpdateOf(*table, new_cells, old_cells, changed), projection);
    const OutgoingMessage message = encoded.For("s\"1", true);
    EXPECT_EQ(message.binary, msgpack);
    const json expected = {{"type", "change"},
                           {"subscription_id", "s\"1"},
                           {"change_type", "update"},
                           {"rows",
                            {{{"id", "3"},
                              {"room", 7},
                              {"score", 1.5},
                              {"price", "19.90"},
                              {"_seq", "1010"},
                              {"_deleted", false}}}},
                           {"old_values", {{{"id", "3"}, {"room", 6}, {"_seq", "1003"}}}}};
    EXPECT_EQ(Decode(message, msgpack), expected);
  }
}

TEST(ServerMessageTest, NullsAreExplicitAndBytesAreNumbers) {
  const catalog::TablePtr table = MessagesTable();
  auto cells = Row(1, 2, "x");
  cells[1] = Datum::Null(TypeKind::kInt);
  ChangeRows rows;
  rows.table = table.get();
  rows.new_cells = cells;
  rows.seq = Seq{5};
  const std::vector<uint32_t> projection = {0, 1, 4};
  for (bool msgpack : {false, true}) {
    EncodedChange encoded(msgpack, ChangeKind::kInsert, rows, projection);
    const json decoded = Decode(encoded.For("s", false), msgpack);
    const json expected = {
        {"id", "1"}, {"room", nullptr}, {"raw", {0, 255}}, {"_seq", "5"}, {"_deleted", false}};
    EXPECT_EQ(decoded["rows"][0], expected);
    EXPECT_FALSE(decoded.contains("old_values"));
  }
}

TEST(ServerMessageTest, LargeBodiesAreCompressedOnceForAll) {
  const catalog::TablePtr table = MessagesTable();
  const std::string text(4000, 'z');
  const auto cells = Row(1, 2, text);
  ChangeRows rows;
  rows.table = table.get();
  rows.old_cells = cells;
  rows.seq = Seq{9};
  const std::vector<uint32_t> projection = {0, 1, 2};
  for (bool msgpack : {false, true}) {
    EncodedChange encoded(msgpack, ChangeKind::kDelete, rows, projection);
    const OutgoingMessage one = encoded.For("one", true);
    const OutgoingMessage two = encoded.For("a-much-longer-id", true);
    EXPECT_TRUE(one.binary);
    EXPECT_EQ(one.body, two.body);
    EXPECT_LT(one.size(), 300u);
    const json decoded = Decode(one, msgpack);
    EXPECT_EQ(decoded["subscription_id"], "one");
    EXPECT_EQ(decoded["type"], "change");
    EXPECT_EQ(decoded["old_values"][0]["body"], text);
    EXPECT_EQ(decoded["old_values"][0]["_deleted"], true);
    EXPECT_EQ(decoded["old_values"][0]["_seq"], "9");
    EXPECT_EQ(Decode(two, msgpack)["subscription_id"], "a-much-longer-id");
    const OutgoingMessage plain = encoded.For("one", false);
    EXPECT_EQ(plain.binary, msgpack);
    EXPECT_GT(plain.size(), 4000u);
    EXPECT_EQ(Decode(plain, msgpack), decoded);
  }
}

TEST(ServerMessageTest, BatchesKeepOrderAndControl) {
  const catalog::TablePtr table = MessagesTable();
  const std::vector<uint32_t> projection = {0};
  for (bool msgpack : {false, true}) {
    BatchMessage batch({msgpack, false}, "s");
    for (int64_t id : {3, 2, 1}) batch.AddRow(*table, projection, Row(id, 1, ""), Seq{1000 + id});
    batch.Reverse();
    const BatchControl control{1, true, BatchStatus::kLoadingBatch, Seq{1003}};
    const json decoded = Decode(batch.Finish(control), msgpack);
    EXPECT_EQ(decoded["type"], "initial_data_batch");
    ASSERT_EQ(decoded["rows"].size(), 3u);
    EXPECT_EQ(decoded["rows"][0]["id"], "1");
    EXPECT_EQ(decoded["rows"][2]["_seq"], "1003");
    const json expected = {
        {"batch_num", 1}, {"has_more", true}, {"status", "loading_batch"}, {"last_seq_id", 1003}};
    EXPECT_EQ(decoded["batch_control"], expected);
  }
}

TEST(ServerMessageTest, AckHidesTheCursorAndCarriesTheSchema) {
  ResultSchema schema = {{"id", DataType::Of(TypeKind::kBigInt), true, true, true},
                         {"price", DataType::Decimal(10, 2)},
                         {"v", DataType::Embedding(3)}};
  const BatchControl control{0, true, BatchStatus::kLoading, Seq{1002}};
  for (bool msgpack : {false, true}) {
    const json decoded = Decode(EncodeAck({msgpack, true}, "s1", control, schema), msgpack);
    const json expected = {
        {"type", "subscription_ack"},
        {"subscription_id", "s1"},
        {"total_rows", 0},
        {"batch_control",
         {{"batch_num", 0}, {"has_more", true}, {"status", "loading"}, {"last_seq_id", nullptr}}},
        {"schema",
         {{{"name", "id"}, {"data_type", "BigInt"}, {"index", 0}, {"flags", {"pk", "nn", "uq"}}},
          {{"name", "price"},
           {"data_type", {{"Decimal", {{"precision", 10}, {"scale", 2}}}}},
           {"index", 1}},
          {{"name", "v"}, {"data_type", {{"Embedding", 3}}}, {"index", 2}}}}};
    EXPECT_EQ(decoded, expected);
  }
}

TEST(ServerMessageTest, AuthIsPlainJsonAndErrorsFollowTheFormat) {
  EXPECT_EQ(
      EncodeAuthSuccess("ann", "user", {true, false}),
      R"({"type":"auth_success","user":"ann","role":"user","protocol":{"serialization":"msgpack","compression":"none"}})");
  EXPECT_EQ(EncodeAuthError("no"), R"({"type":"auth_error","message":"no"})");
  const std::string long_text(2000, 'e');
  const OutgoingMessage error = EncodeError({true, true}, "s", "NOT_FOUND", long_text);
  EXPECT_TRUE(error.binary);
  EXPECT_EQ(json::from_msgpack(Payload(error))["message"], long_text);
}

TEST(SubscriptionCountsTest, CountsPerUserAndForgetsAtZero) {
  SubscriptionCounts counts;
  EXPECT_TRUE(counts.TryAdd("ann", 2));
  EXPECT_TRUE(counts.TryAdd("ann", 2));
  EXPECT_FALSE(counts.TryAdd("ann", 2));
  counts.Remove("ann");
  EXPECT_TRUE(counts.TryAdd("ann", 2));
  counts.Remove("nobody");
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(counts.TryAdd("user" + std::to_string(i), 1));
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(counts.count("user" + std::to_string(i)), 1u);
    counts.Remove("user" + std::to_string(i));
    ASSERT_EQ(counts.count("user" + std::to_string(i)), 0u);
  }
  EXPECT_EQ(counts.count("ann"), 2u);
}

}  // namespace
}  // namespace kalam::live
