// FileRefs as text and back.
#include "types/file_reference.h"

#include <gtest/gtest.h>

namespace kalam {
namespace {

TEST(FileReferenceTest, IsTheJsonThatClientsRead) {
  EXPECT_EQ(FormatFileReference({.id = 77,
                                 .sub = "f0001",
                                 .name = "a \"b\".png",
                                 .size_bytes = 5,
                                 .mime = "image/png",
                                 .sha256 = "00ff"}),
            R"({"id":"77","sub":"f0001","name":"a \"b\".png","size":5,"mime":"image/png",)"
            R"("sha256":"00ff"})");
}

TEST(FileReferenceTest, FindsTheIdOfAnyFileRef) {
  EXPECT_EQ(FileIdOf(R"({"id":"77"})"), 77);
  EXPECT_EQ(FileIdOf(R"({"sub":"f0001", "id" : "9223372036854775807", "shard":null})"), INT64_MAX);
}

TEST(FileReferenceTest, TakesNothingElseForAFileRef) {
  for (const char* text :
       {"", "x", "{", "[]", "{}", R"({"id":7})", R"({"id":"7x"})", R"({"id":""})", R"({"id":"0"})",
        R"({"id":"-7"})", R"({"id":"9223372036854775808"})", R"({"file":{"id":"7"}})"}) {
    EXPECT_EQ(FileIdOf(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace kalam
