// FILE('name') found where it is one, and left alone elsewhere.
#include "sql/file_placeholders.h"

#include <gtest/gtest.h>

namespace kalam::sql {
namespace {

std::vector<std::string> Names(std::string_view text) {
  std::vector<std::string> names;
  for (const FilePlaceholder& placeholder : FindFilePlaceholders(text))
    names.push_back(placeholder.name);
  return names;
}

TEST(FilePlaceholdersTest, FindsBothQuotesAndAnyCase) {
  EXPECT_EQ(Names("INSERT INTO t VALUES (1, FILE('a'), file(\"b\"), File ( 'it''s' ))"),
            (std::vector<std::string>{"a", "b", "it's"}));
  EXPECT_EQ(Names("UPDATE t SET f = FILE /* here */ ('a') WHERE id = 1"),
            (std::vector<std::string>{"a"}));
}

TEST(FilePlaceholdersTest, LeavesEverythingElseAlone) {
  for (const char* text : {"SELECT 1", "INSERT INTO t (file) VALUES ('x')", "SELECT 'FILE(''a'')'",
                           "SELECT 1 -- FILE('a')", "SELECT /* FILE('a') */ (1)", "SELECT file(1)",
                           "SELECT FILE('a', 2)", "SELECT app.file('a')", "SELECT profile('a')",
                           "SELECT FILE(", "SELECT FILE('a", ""}) {
    EXPECT_TRUE(Names(text).empty()) << text;
  }
}

TEST(FilePlaceholdersTest, GoesOnAfterSomethingAlike) {
  EXPECT_EQ(Names("VALUES (file, FILE(FILE('a')), FILE('b')"),
            (std::vector<std::string>{"a", "b"}));
}

TEST(FilePlaceholdersTest, ShellsTakeAMediaTypeAsWell) {
  const auto files = FindLocalFiles("VALUES (file('/a b.png'), FILE('c', 'text/plain'), file(x))");
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[0].name, "/a b.png");
  EXPECT_EQ(files[0].media_type, "");
  EXPECT_EQ(files[1].name, "c");
  EXPECT_EQ(files[1].media_type, "text/plain");
}

TEST(FilePlaceholdersTest, ReplacesWithLiterals) {
  const std::string text = "INSERT INTO t VALUES (1, FILE('a'), 2, FILE('b'));";
  EXPECT_EQ(ReplaceFilePlaceholders(text, FindFilePlaceholders(text), {"{\"n\":\"it's\"}", "y"}),
            "INSERT INTO t VALUES (1, '{\"n\":\"it''s\"}', 2, 'y');");
}

}  // namespace
}  // namespace kalam::sql
