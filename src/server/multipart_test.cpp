// Forms in pieces of every size.
#include "server/multipart.h"

#include <gtest/gtest.h>

#include <vector>

namespace kalam::server {
namespace {

struct Part {
  FormPart head;
  std::string content;
  bool ended = false;
};

class Collector : public FormReceiver {
 public:
  Status OnPart(const FormPart& part) override {
    parts.push_back({part, "", false});
    return {};
  }
  Status OnContent(std::string_view bytes) override {
    parts.back().content += bytes;
    return {};
  }
  Status OnPartEnd() override {
    parts.back().ended = true;
    return {};
  }
  std::vector<Part> parts;
};

Status Read(std::string_view body, size_t piece, Collector* collector) {
  auto reader = MultipartReader::Make("multipart/form-data; boundary=b");
  while (!body.empty()) {
    const std::string_view bytes = body.substr(0, piece);
    KALAM_RETURN_IF_ERROR(reader->Feed(bytes, *collector));
    body.remove_prefix(bytes.size());
  }
  return reader->Finish();
}

TEST(MultipartReaderTest, FindsItsPartsWhateverThePieces) {
  const std::string body =
      "--b\r\nContent-Disposition: form-data; name=\"sql\"\r\n\r\nSELECT 1\r\n--b\r\n"
      "content-disposition: form-data; name=\"file:a\"; filename=\"x \\\"y.png\"\r\nContent-Type: "
      "image/png\r\n\r\n\x01\r\n--\x02\r\n--b\r\nContent-Disposition: form-data; name=empty\r\n\r\n"
      "\r\n--b--\r\nepilogue";
  for (size_t piece = 1; piece <= body.size(); ++piece) {
    Collector collector;
    const Status status = Read(body, piece, &collector);
    ASSERT_TRUE(status.ok()) << piece << ": " << status.message();
    ASSERT_EQ(collector.parts.size(), 3u) << piece;
    EXPECT_EQ(collector.parts[0].head.name, "sql");
    EXPECT_EQ(collector.parts[0].content, "SELECT 1");
    EXPECT_EQ(collector.parts[1].head.file_name, "x \"y.png");
    EXPECT_EQ(collector.parts[1].head.content_type, "image/png");
    EXPECT_EQ(collector.parts[1].content, "\x01\r\n--\x02");
    EXPECT_EQ(collector.parts[2].content, "");
    for (const Part& part : collector.parts) EXPECT_TRUE(part.ended);
  }
}

TEST(MultipartReaderTest, RefusesWhatDoesNotEnd) {
  const std::string whole =
      "--b\r\nContent-Disposition: form-data; name=\"sql\"\r\n\r\nSELECT 1\r\n--b--\r\n";
  for (size_t size = 0; size + 4 < whole.size(); ++size) {
    Collector collector;
    EXPECT_FALSE(Read(std::string_view(whole).substr(0, size), 7, &collector).ok()) << size;
  }
}

TEST(MultipartReaderTest, RefusesMalformedForms) {
  for (const char* body :
       {"--b\r\n\r\nx\r\n--b--", "--b\r\nno colon\r\n\r\nx\r\n--b--", "--bx\r\n\r\n", "nothing",
        "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--"}) {
    Collector collector;
    EXPECT_TRUE(Read(body, 1000, &collector).Is(ErrorKind::InvalidInput)) << body;
  }
  for (const char* type : {"multipart/form-data",
                           "multipart/form-data; boundary=", "multipart/form-data; boundry=b"}) {
    EXPECT_FALSE(MultipartReader::Make(type).ok()) << type;
  }
  EXPECT_FALSE(MultipartReader::Make("multipart/form-data; boundary=" + std::string(71, 'b')).ok());
  std::string many;
  for (int i = 0; i < 101; ++i)
    many += "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\ny\r\n";
  Collector collector;
  EXPECT_FALSE(Read(many + "--b--", 4096, &collector).ok());
}

TEST(MultipartReaderTest, AHeadThatNeverEndsIsBounded) {
  Collector collector;
  const std::string head = "--b\r\nContent-Disposition: " + std::string(20'000, 'x');
  EXPECT_TRUE(Read(head, 1000, &collector).Is(ErrorKind::InvalidInput));
}

}  // namespace
}  // namespace kalam::server
