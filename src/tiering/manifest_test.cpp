// What manifest.json says of the things beside segments.
#include "tiering/manifest.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace kalam::tiering {
namespace {

nlohmann::json Written(const FolderContents& contents) {
  catalog::TableDefinition table;
  table.namespace_id = "app";
  table.name = "docs";
  table.columns = std::make_shared<const std::vector<catalog::ColumnDefinition>>();
  return nlohmann::json::parse(ManifestJson(table, {}, {}, contents));
}

TEST(Manifest, AFolderWithSegmentsAlone) {
  const nlohmann::json manifest = Written({});
  EXPECT_TRUE(manifest.at("files").is_null());
  EXPECT_EQ(manifest.at("vector_indexes"), nlohmann::json::object());
}

TEST(Manifest, FilesAreToldByTheFolderThatIsBeingFilled) {
  FolderContents contents;
  contents.files = {.number = 3, .count = 12};
  EXPECT_EQ(Written(contents).at("files").dump(), R"({"count":12,"subfolder":3})");
}

TEST(Manifest, VectorIndexesAreToldWithTheirSnapshots) {
  FolderContents contents;
  contents.vector_indexes = {{.column = "v",
                              .metric = "l2",
                              .dimension = 12,
                              .snapshot_path = "app/docs/vec-v-snapshot-4.vix",
                              .snapshot_version = 4,
                              .last_applied = Seq{77},
                              .updated_at_us = 1'700'000'000'123'456},
                             {.column = "w",
                              .metric = "cosine",
                              .dimension = 2,
                              .snapshot_path = "",
                              .snapshot_version = 0,
                              .last_applied = Seq{},
                              .updated_at_us = 5'000}};
  const nlohmann::json indexes = Written(contents).at("vector_indexes");
  ASSERT_EQ(indexes.size(), 2u);
  EXPECT_EQ(indexes.at("v").dump(),
            R"({"column_name":"v","dimensions":12,"enabled":true,"engine":"hnsw",)"
            R"("last_applied_seq":77,"metric":"l2",)"
            R"("snapshot_path":"app/docs/vec-v-snapshot-4.vix","snapshot_version":4,)"
            R"("state":"active","updated_at":1700000000123})");
  EXPECT_TRUE(indexes.at("w").at("snapshot_path").is_null());
  EXPECT_EQ(indexes.at("w").at("state"), "syncing");
  EXPECT_EQ(indexes.at("w").at("updated_at"), 5);
}

}  // namespace
}  // namespace kalam::tiering
