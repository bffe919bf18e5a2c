// Folder templates: what must be in them, in which order.
#include "catalog/storage_templates.h"

#include <gtest/gtest.h>

namespace kalam::catalog {
namespace {

TEST(StorageTemplatesTest, Valid) {
  for (const char* text : {"{namespace}/{tableName}", "{namespace_id}/x/{table_name}",
                           "ns_{namespace}/user_{tableName}", "cold/{namespace}-{tableName}"}) {
    EXPECT_TRUE(ValidateSharedTemplate(text).ok()) << text;
  }
  for (const char* text :
       {"{namespace}/{tableName}/{userId}", "{namespace}/{tableName}/{shard}/{user-id}",
        "ns_{namespace}/user_{tableName}/user_{userId}"}) {
    EXPECT_TRUE(ValidateUserTemplate(text).ok()) << text;
  }
}

TEST(StorageTemplatesTest, Invalid) {
  const std::string prefix = "Invalid operation: Invalid storage template: ";
  const auto shared = [](std::string_view text) { return ValidateSharedTemplate(text).ToString(); };
  const auto user = [](std::string_view text) { return ValidateUserTemplate(text).ToString(); };
  EXPECT_EQ(shared("{tableName}/{namespace}"),
            prefix + "Shared table template: {namespace} must appear before {tableName}");
  EXPECT_EQ(shared("{namespace}"), prefix + "Shared table template: {tableName} is required");
  EXPECT_EQ(shared("x"), prefix + "Shared table template: {namespace} is required");
  EXPECT_EQ(shared("{namespace}/{tableName}/{userId}"),
            prefix + "Shared table template: {userId} is not allowed");
  EXPECT_EQ(user("{namespace}/{tableName}"), prefix + "User table template: {userId} is required");
  EXPECT_EQ(user("{userId}/{namespace}/{tableName}"),
            prefix + "User table template: {namespace} must appear before {userId}");
  EXPECT_EQ(user("{namespace}/{tableName}/{userId}/{shard}"),
            prefix + "User table template: {shard} must appear before {userId}");
  EXPECT_EQ(shared("{namespace}/{table}"), prefix + "unknown placeholder '{table}'");
  EXPECT_EQ(shared("{namespace}/{tableName"), prefix + "unknown placeholder '{tableName'");
  EXPECT_EQ(shared("{namespace}/{namespace}/{tableName}"),
            prefix + "{namespace} stands there twice");
  for (const char* text :
       {"/{namespace}/{tableName}", "{namespace}/{tableName}/", "{namespace}//{tableName}",
        "../{namespace}/{tableName}", "{namespace}/./{tableName}", "{namespace}\\{tableName}",
        "{namespace}\n{tableName}"}) {
    EXPECT_TRUE(ValidateSharedTemplate(text).Is(ErrorKind::InvalidOperation)) << text;
  }
}

}  // namespace
}  // namespace kalam::catalog
