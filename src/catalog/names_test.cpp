// Naming rules: what namespaces, tables, columns and users may be called.
#include <gtest/gtest.h>

#include "catalog/schema.h"
#include "catalog/users.h"

namespace kalam::catalog {
namespace {

std::string TableProblem(std::string_view name) { return ValidateTableName(name).message(); }

TEST(NamesTest, AcceptsWordsThatApplicationsUseAsColumns) {
  for (const char* name : {"timestamp", "date", "value", "key", "user", "type", "status", "name",
                           "id", "firstName", "user_id", "a", "A1_"}) {
    EXPECT_TRUE(ValidateColumnName(name).ok()) << name;
  }
}

TEST(NamesTest, RefusesEachBrokenShapeWithItsOwnText) {
  EXPECT_EQ(TableProblem(""), "Name cannot be empty");
  EXPECT_EQ(TableProblem(std::string(65, 'a')), "Name is too long (65 characters, max 64)");
  EXPECT_EQ(TableProblem("_x"), "Name cannot start with underscore (reserved for system columns)");
  EXPECT_EQ(TableProblem("1x"), "Name cannot start with a number");
  EXPECT_EQ(TableProblem("a b"), "Name cannot contain spaces");
  EXPECT_EQ(TableProblem("a-b"),
            "Name 'a-b' contains invalid characters (only alphanumeric and underscore allowed)");
  EXPECT_EQ(TableProblem("Select"), "Name 'Select' is a reserved SQL keyword and cannot be used");
  EXPECT_TRUE(ValidateTableName(std::string(64, 'a')).ok());
}

TEST(NamesTest, RefusesTheNamespacesOfTheSystemInAnyCase) {
  for (const char* name : {"system", "SYS", "root", "KalamDB", "kalam", "main", "default", "sql",
                           "admin", "internal", "information_schema", "pg_catalog", "datafusion"}) {
    EXPECT_EQ(ValidateNamespaceName(name).message(),
              "Namespace '" + std::string(name) + "' is reserved and cannot be used");
    EXPECT_TRUE(IsReservedNamespace(FoldName(name))) << name;
  }
  EXPECT_TRUE(ValidateNamespaceName("chat").ok());
}

TEST(NamesTest, KeepsTheReservedColumnsForTheSystem) {
  EXPECT_EQ(ValidateColumnName("_seq").message(),
            "Invalid column name '_seq': Column name '_seq' is reserved and cannot be used");
  EXPECT_EQ(ValidateColumnName("_mine").message(),
            "Invalid column name '_mine': Name cannot start with underscore (reserved for system "
            "columns)");
  EXPECT_TRUE(ValidateColumnName("_deleted").Is(ErrorKind::InvalidOperation));
}

TEST(NamesTest, RefusesEveryReservedWord) {
  for (const char* word : {"with", "explain", "where", "window", "for", "format", "interval",
                           "trim", "table", "index", "alter", "match_recognize", "tablespace"}) {
    EXPECT_FALSE(ValidateColumnName(word).ok()) << word;
  }
}

TEST(NamesTest, UserIdsMayHoldAnythingButPathsAndReservedWords) {
  EXPECT_EQ(UserIdProblem("ann@example.org", false), "");
  EXPECT_EQ(UserIdProblem("zoë", false), "");
  for (const char* id : {"", "a..b", "a/b", "a\\b", "system", "anonymous"}) {
    EXPECT_NE(UserIdProblem(id, false), "") << id;
  }
  EXPECT_NE(UserIdProblem(std::string_view("a\0b", 3), false), "");
  EXPECT_EQ(UserIdProblem("system", true), "");
}

TEST(NamesTest, RolesHaveAliasesAndAnOrder) {
  EXPECT_EQ(ParseRole("Analyst"), Role::kService);
  EXPECT_EQ(ParseRole("readonly"), Role::kUser);
  EXPECT_EQ(ParseRole("ADMIN"), Role::kDba);
  EXPECT_EQ(ParseRole("owner"), std::nullopt);
  EXPECT_LT(Role::kUser, Role::kService);
  EXPECT_TRUE(IsAdmin(Role::kDba));
  EXPECT_FALSE(IsAdmin(Role::kService));
}

}  // namespace
}  // namespace kalam::catalog
