// How ranges of keys are joined and found.
#include "storage/key_spans.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kalam::storage {
namespace {

using testing::ElementsAre;

std::vector<std::string> Texts(const KeySpans& spans) {
  std::vector<std::string> texts;
  for (const ScanRange& span : spans.spans()) texts.push_back(span.lower + "-" + span.upper);
  return texts;
}

TEST(KeySpansTest, RangesOfOneTableAreOneAndOthersStayApart) {
  KeySpans spans;
  EXPECT_TRUE(spans.empty());
  spans.Add("tab2m", "tab2p");
  spans.Add("tab1a", "tab1c");
  spans.Add("tab1x", "tab1z");
  spans.Add("tab2b", "tab2c");
  EXPECT_THAT(Texts(spans), ElementsAre("tab1a-tab1z", "tab2b-tab2p"));
  EXPECT_FALSE(spans.Contains("tab1"));
  EXPECT_TRUE(spans.Contains("tab1a"));
  EXPECT_TRUE(spans.Contains("tab1k")) << "what lies between is taken in";
  EXPECT_FALSE(spans.Contains("tab1z")) << "the end is not inside";
  EXPECT_TRUE(spans.Contains("tab2o"));
}

TEST(KeySpansTest, RangesThatTouchAreOneWhateverTheirTables) {
  KeySpans spans;
  spans.Add("aaaa", "aaab");
  spans.Add("cccc", "cccd");
  spans.Add("aaab", "cccc");
  EXPECT_THAT(Texts(spans), ElementsAre("aaaa-cccd"));
  spans.Add("bbbb", "");
  EXPECT_THAT(Texts(spans), ElementsAre("aaaa-"));
  EXPECT_TRUE(spans.Contains("zzzz"));
}

TEST(KeySpansTest, WithoutBoundsEveryKeyIsInside) {
  KeySpans all;
  all.Add("", "");
  EXPECT_TRUE(all.Contains(""));
  EXPECT_TRUE(all.Contains("\xff\xff"));
  KeySpans met;
  met.AddOverlapping(all, {"b", "c"});
  EXPECT_THAT(Texts(met), ElementsAre("-"));
}

TEST(KeySpansTest, OnlyWhatARangeMeetsIsTaken) {
  KeySpans spans;
  spans.Add("tab1b", "tab1d");
  spans.Add("tab2b", "tab2d");
  const auto met = [&spans](ScanRange range) {
    KeySpans found;
    found.AddOverlapping(spans, range);
    return Texts(found);
  };
  EXPECT_THAT(met({"tab1d", "tab2b"}), ElementsAre());
  EXPECT_THAT(met({"tab1a", "tab1b"}), ElementsAre());
  EXPECT_THAT(met({"tab1a", "tab1c"}), ElementsAre("tab1b-tab1d"));
  EXPECT_THAT(met({"tab2c", ""}), ElementsAre("tab2b-tab2d"));
  EXPECT_THAT(met({"", ""}), ElementsAre("tab1b-tab1d", "tab2b-tab2d"));
}

TEST(KeySpansTest, SurvivesEncodingAndRefusesOtherBytes) {
  KeySpans spans;
  spans.Add(std::string("\0\0\0\x07z", 5), std::string("\0\0\0\x08", 4));
  spans.Add("tab2b", "");
  const std::string bytes = spans.Encode();
  const auto decoded = KeySpans::Decode(bytes);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(Texts(*decoded), Texts(spans));
  EXPECT_FALSE(KeySpans::Decode(bytes.substr(0, bytes.size() - 1)).has_value());
  EXPECT_FALSE(KeySpans::Decode("\x09short").has_value());
}

}  // namespace
}  // namespace kalam::storage
