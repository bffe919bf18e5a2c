// Templates of folders: what they give, and when a folder is a table's own.
#include "tiering/folders.h"

#include <gtest/gtest.h>

namespace kalam::tiering {
namespace {

catalog::TableDefinition Table(catalog::TableType type) {
  catalog::TableDefinition table;
  table.namespace_id = "app";
  table.name = "notes";
  table.type = type;
  return table;
}

catalog::StorageRecord Storage(std::string shared, std::string user) {
  catalog::StorageRecord storage;
  storage.shared_tables_template = std::move(shared);
  storage.user_tables_template = std::move(user);
  return storage;
}

segments::SegmentPlace OfUser(std::string_view user) {
  return segments::SegmentPlace::OfScope(storage::Scope::OfUser(user));
}

TEST(Folders, DefaultsStandForEmptyTemplates) {
  const catalog::StorageRecord storage = Storage("", "");
  const auto shared = Table(catalog::TableType::kShared);
  EXPECT_EQ(FolderOf(shared, segments::SegmentPlace::OfScope(storage::Scope::Shared()), storage),
            "app/notes");
  EXPECT_EQ(TableFolderPrefix(shared, storage), "app/notes/");
  EXPECT_FALSE(MayShareSegments(shared, storage));
  const auto user = Table(catalog::TableType::kUser);
  EXPECT_EQ(FolderOf(user, OfUser("ann"), storage), "app/notes/ann");
  EXPECT_EQ(FolderOf(user, segments::SegmentPlace::Many(), storage), "app/notes/_many");
  EXPECT_EQ(TableFolderPrefix(user, storage), "app/notes/");
  EXPECT_TRUE(MayShareSegments(user, storage));
}

TEST(Folders, OwnTemplatesAreKeptToTheLetter) {
  const catalog::StorageRecord storage =
      Storage("", "ns_{namespace}/user_{tableName}/user_{user-id}");
  const auto user = Table(catalog::TableType::kUser);
  EXPECT_EQ(FolderOf(user, OfUser("ann"), storage), "ns_app/user_notes/user_ann");
  EXPECT_EQ(TableFolderPrefix(user, storage), "")
      << "the namespace ns_app may have a shared table user_notes";
  EXPECT_EQ(TableFolderPrefix(user, Storage("ns_{namespace}/user_{tableName}",
                                            "ns_{namespace}/user_{tableName}/user_{user-id}")),
            "ns_app/user_notes/");
  EXPECT_FALSE(MayShareSegments(user, storage)) << "whoever sets a template gets its folders";
}

TEST(Folders, UserIdsCannotLeaveTheirFolder) {
  const catalog::StorageRecord storage = Storage("", "");
  const auto user = Table(catalog::TableType::kUser);
  EXPECT_EQ(FolderOf(user, OfUser("../x"), storage), "app/notes/%2E.%2Fx");
  EXPECT_EQ(FolderOf(user, OfUser(".."), storage), "app/notes/%2E.");
  EXPECT_EQ(FolderOf(user, OfUser("_many"), storage), "app/notes/%5Fmany");
  EXPECT_EQ(FolderOf(user, OfUser("a%2Fb"), storage), "app/notes/a%252Fb");
  EXPECT_EQ(FolderOf(user, OfUser("m\xC3\xBCller"), storage), "app/notes/m%C3%BCller");
}

TEST(Folders, AFolderThatTablesShareIsNobodysOwn) {
  const auto user = Table(catalog::TableType::kUser);
  EXPECT_EQ(TableFolderPrefix(user, Storage("", "x/{namespace}/{tableName}_{userId}")), "");
  EXPECT_EQ(TableFolderPrefix(user, Storage("", "{namespace}_{tableName}/{userId}")), "")
      << "a_b + c is a + b_c";
  EXPECT_EQ(TableFolderPrefix(user, Storage("", "{namespace}/{userId}")), "");
}

TEST(Folders, TablesThatATemplateDoesNotKeepApartHaveFoldersOfTheirOwn) {
  auto user = Table(catalog::TableType::kUser);
  user.id = TableId{17};
  EXPECT_EQ(FolderOf(user, OfUser("ann"), Storage("", "{namespace}/{userId}")), "app/ann/_t17");
  EXPECT_EQ(FolderOf(user, OfUser("ann"), Storage("", "{namespace}_{tableName}/{userId}")),
            "app_notes/ann/_t17");
  auto shared = Table(catalog::TableType::kShared);
  shared.id = TableId{18};
  const auto everybody = segments::SegmentPlace::OfScope(storage::Scope::Shared());
  EXPECT_EQ(FolderOf(shared, everybody, Storage("{namespace}_{tableName}", "")), "app_notes/_t18");
  EXPECT_EQ(FolderOf(shared, everybody, Storage("all", "")), "all/_t18");
}

TEST(Folders, APlaceIsFoundByItsFolder) {
  const catalog::StorageRecord standard = Storage("", "");
  const auto user = Table(catalog::TableType::kUser);
  EXPECT_EQ(FolderSearchPrefix(user, standard), "app/notes/");
  for (const char* id : {"ann", "../x", "_many", "a%2Fb", "m\xC3\xBCller"}) {
    const auto place = PlaceOfFolder(user, FolderOf(user, OfUser(id), standard), standard);
    ASSERT_TRUE(place) << id;
    EXPECT_EQ(*place, OfUser(id)) << id;
  }
  EXPECT_EQ(PlaceOfFolder(user, "app/notes/_many", standard), segments::SegmentPlace::Many());
  for (const char* folder : {"app/notes", "app/notes/", "app/notes/a/b", "app/others/ann",
                             "app/notes/%2", "app/notes/%zz", "app/notes/%61nn", ""}) {
    EXPECT_FALSE(PlaceOfFolder(user, folder, standard)) << folder;
  }
  const catalog::StorageRecord own = Storage("", "n_{namespace}/t_{tableName}/u_{userId}_x");
  EXPECT_EQ(PlaceOfFolder(user, "n_app/t_notes/u_ann_x", own), OfUser("ann"));
  EXPECT_EQ(FolderSearchPrefix(user, own), "n_app/t_notes/");
  const auto shared = Table(catalog::TableType::kShared);
  EXPECT_EQ(PlaceOfFolder(shared, "app/notes", standard),
            segments::SegmentPlace::OfScope(storage::Scope::Shared()));
  EXPECT_FALSE(PlaceOfFolder(shared, "app/notes/x", standard));
}

}  // namespace
}  // namespace kalam::tiering
