// Media types: told by bytes, then by names, hardly ever by the client.
#include "files/mime_type.h"

#include <gtest/gtest.h>

#include <vector>

namespace kalam::files {
namespace {

TEST(MimeTypeTest, BytesWin) {
  EXPECT_EQ(MimeTypeOf("\x89PNG\r\n\x1a\n....", "page.html", "text/html"), "image/png");
  EXPECT_EQ(MimeTypeOf("\xff\xd8\xff\xe0", "a", ""), "image/jpeg");
  EXPECT_EQ(MimeTypeOf("GIF89a..", "a.txt", ""), "image/gif");
  EXPECT_EQ(MimeTypeOf("%PDF-1.7", "", ""), "application/pdf");
  EXPECT_EQ(MimeTypeOf("PK\x03\x04....", "a.bin", ""), "application/zip");
  EXPECT_EQ(MimeTypeOf("RIFF....WEBPVP8 ", "a", ""), "image/webp");
  EXPECT_EQ(MimeTypeOf("RIFF....WAVEfmt ", "a.wav", ""), "audio/wav");
}

TEST(MimeTypeTest, NamesComeNext) {
  EXPECT_EQ(MimeTypeOf("hello", "notes.TXT", "image/png"), "text/plain");
  EXPECT_EQ(MimeTypeOf("<svg>", "a.svg", ""), "image/svg+xml");
  EXPECT_EQ(MimeTypeOf("PK\x03\x04", "a.docx", ""),
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document");
}

TEST(MimeTypeTest, ANameCannotClaimWhatBytesWouldShow) {
  EXPECT_EQ(MimeTypeOf("MZ\x90", "virus.png", "image/png"), "application/octet-stream");
}

TEST(MimeTypeTest, TheClientIsBelievedWhereItDoesNoHarm) {
  EXPECT_EQ(MimeTypeOf("x", "data", "Application/X-Chess-PGN; charset=utf-8"),
            "application/x-chess-pgn");
  EXPECT_EQ(MimeTypeOf("x", "data", "text/html"), "application/octet-stream");
  EXPECT_EQ(MimeTypeOf("x", "data", "image/svg+xml"), "application/octet-stream");
  EXPECT_EQ(MimeTypeOf("x", "data", "image/png"), "application/octet-stream");
  EXPECT_EQ(MimeTypeOf("x", "data", "nonsense"), "application/octet-stream");
  EXPECT_EQ(MimeTypeOf("x", "data", "a/b\r\nX: y"), "application/octet-stream");
}

TEST(MimeTypeTest, AllowListsHaveExactTypesAndFamilies) {
  const std::vector<std::string> list = {"image/*", "Application/PDF"};
  EXPECT_TRUE(IsAllowedMimeType({}, "text/html"));
  EXPECT_TRUE(IsAllowedMimeType(list, "image/png"));
  EXPECT_TRUE(IsAllowedMimeType(list, "application/pdf"));
  EXPECT_FALSE(IsAllowedMimeType(list, "application/zip"));
  EXPECT_FALSE(IsAllowedMimeType(list, "imagex/png"));
}

TEST(MimeTypeTest, OnlyWhatRunsNothingIsShownInPlace) {
  for (const char* mime : {"image/png", "video/mp4", "audio/ogg", "text/plain", "application/pdf"})
    EXPECT_TRUE(MayShowInline(mime)) << mime;
  for (const char* mime : {"text/html", "image/svg+xml", "application/xml", "text/xml",
                           "application/xhtml+xml", "text/javascript", "application/octet-stream"})
    EXPECT_FALSE(MayShowInline(mime)) << mime;
}

}  // namespace
}  // namespace kalam::files
