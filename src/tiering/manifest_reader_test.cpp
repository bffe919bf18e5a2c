// Manifests that are whole, and every way in which one is not.
#include "tiering/manifest_reader.h"

#include <gtest/gtest.h>

#include "tiering/manifest.h"

namespace kalam::tiering {
namespace {

segments::SegmentRecord Segment(uint64_t batch) {
  segments::SegmentRecord segment;
  segment.path = segments::BatchPath("app/notes", batch);
  segment.row_count = 7;
  segment.size_bytes = 1234;
  segment.checksum = std::string("\x00\x01\xfe\xff", 4) + std::string(12, '\x20');
  return segment;
}

std::string NotesManifest(const std::vector<segments::SegmentRecord>& segments) {
  catalog::TableDefinition table;
  table.namespace_id = "app";
  table.name = "notes";
  table.columns = std::make_shared<const std::vector<catalog::ColumnDefinition>>();
  segments::FolderRecord folder;
  folder.folder = "app/notes";
  folder.place = segments::SegmentPlace::OfScope(storage::Scope::OfUser("ann"));
  folder.manifest_version = 5;
  folder.next_batch = 9;
  return ManifestJson(table, folder, segments, {});
}

std::string Reason(std::string_view text) {
  const auto manifest = ParseManifest(text);
  if (manifest.ok()) return "";
  EXPECT_TRUE(manifest.status().Is(ErrorKind::Corruption)) << manifest.status().ToString();
  return manifest.status().message();
}

TEST(ManifestReader, WhatWasWrittenIsRead) {
  const auto manifest = ParseManifest(SealManifest(NotesManifest({Segment(3), Segment(8)})));
  ASSERT_TRUE(manifest.ok()) << manifest.status().ToString();
  EXPECT_EQ(manifest->table_name, "app.notes");
  EXPECT_EQ(manifest->user_id, "ann");
  EXPECT_EQ(manifest->version, 5u);
  EXPECT_EQ(manifest->last_batch, 8u);
  const ListedSegment expected{"batch-3.parquet", 3, 7, 1234, Segment(3).checksum};
  ASSERT_EQ(manifest->segments.size(), 2u);
  EXPECT_EQ(manifest->segments.front(), expected);
  ASSERT_NE(manifest->Find(8), nullptr);
  EXPECT_EQ(manifest->Find(8)->file_name, "batch-8.parquet");
  EXPECT_EQ(manifest->Find(4), nullptr);
}

TEST(ManifestReader, TheSealIsTheHashOfTheTextBefore) {
  // xxh3-128 of {"a":1} in its canonical form.
  EXPECT_EQ(SealManifest(R"({"a":1})"),
            R"({"a":1,"checksum":"xxh3-128:3c8c141663acf5a1b6b7137162fa70fb"})");
}

TEST(ManifestReader, EveryDamagedByteAndEveryCutIsSeen) {
  const std::string sound = SealManifest(NotesManifest({Segment(3)}));
  ASSERT_EQ(Reason(sound), "");
  for (size_t at = 0; at < sound.size(); ++at) {
    for (const char bit : {'\x01', '\x10', '\x40'}) {
      std::string damaged = sound;
      damaged[at] = static_cast<char>(damaged[at] ^ bit);
      EXPECT_NE(Reason(damaged), "") << at;
    }
    EXPECT_NE(Reason(std::string_view(sound).substr(0, at)), "") << at;
  }
  EXPECT_NE(Reason(sound + "\n"), "");
  EXPECT_NE(Reason(NotesManifest({Segment(3)})), "") << "of an older version, without a checksum";
}

TEST(ManifestReader, SealedTextsThatAreNoManifests) {
  const auto reason = [](const std::string& json) { return Reason(SealManifest(json)); };
  const std::string head =
      R"({"table_id":"app.t","user_id":null,"version":1,"last_sequence_number":0,"segments":)";
  const std::string checksum(32, 'a');
  const auto segment = [&](const std::string& path, const std::string& count,
                           const std::string& sum) {
    return head + R"([{"path":")" + path + R"(","row_count":)" + count +
           R"(,"size_bytes":1,"checksum":")" + sum + R"("}]})";
  };
  EXPECT_EQ(reason(head + "[]}"), "");
  EXPECT_EQ(reason(segment("batch-0.parquet", "1", "xxh3-128:" + checksum)), "");
  EXPECT_EQ(reason("[1}"), "is no JSON object");
  EXPECT_EQ(reason("{}"), "lacks a field");
  EXPECT_EQ(reason(head + "{}}"), "lacks a field");
  EXPECT_EQ(reason(R"({"table_id":7,"user_id":null,"version":1,"last_sequence_number":0,)"
                   R"("segments":[]})"),
            "lacks a field");
  EXPECT_EQ(reason(R"({"table_id":"a.b","user_id":3,"version":1,"last_sequence_number":0,)"
                   R"("segments":[]})"),
            "lacks a field");
  EXPECT_EQ(reason(head + "[7]}"), "lacks a field of a segment");
  EXPECT_EQ(reason(segment("batch-0.parquet", "-1", "xxh3-128:" + checksum)),
            "lacks a field of a segment");
  EXPECT_EQ(reason(segment("batch-0.parquet", "1.5", "xxh3-128:" + checksum)),
            "lacks a field of a segment");
  for (const char* const path : {"../batch-0.parquet", "batch-.parquet", "batch-0x.parquet",
                                 "manifest.json", "batch-99999999999999999999.parquet"}) {
    EXPECT_EQ(reason(segment(path, "1", "xxh3-128:" + checksum)),
              "names a file that is none of a segment")
        << path;
  }
  for (const std::string& sum :
       {std::string("xxh3-128:"), "md5:" + checksum, "xxh3-128:" + checksum + "aa",
        "xxh3-128:" + std::string(32, 'g')}) {
    EXPECT_EQ(reason(segment("batch-0.parquet", "1", sum)),
              "has a checksum that is none for batch-0.parquet")
        << sum;
  }
  const std::string each = R"({"path":"batch-1.parquet","row_count":1,"size_bytes":1,)"
                           R"("checksum":"xxh3-128:)" +
                           checksum + R"("})";
  EXPECT_EQ(reason(head + "[" + each + "," + each + "]}"), "lists batch-1.parquet twice");
}

}  // namespace
}  // namespace kalam::tiering
