// Lists of segments by scope, and the search for one key.
#include "segments/segment_lookup.h"

#include <algorithm>
#include <string>
#include <utility>

#include "types/key_codec.h"

namespace kalam::segments {
namespace {

size_t ListBytes(const std::vector<SegmentRecord>& records) {
  size_t bytes = sizeof records;
  for (const SegmentRecord& record : records) {
    bytes += sizeof record + record.path.capacity() + record.min_key.capacity() +
             record.max_key.capacity() + record.min_pk.capacity() + record.max_pk.capacity() +
             record.checksum.capacity();
  }
  return bytes;
}

Result<SegmentList> FindList(storage::Store& store, SegmentCache& cache, TableId table,
                             const SegmentPlace& place, uint64_t version,
                             const storage::SnapshotPtr& snapshot) {
  // The version tells one state of the list from another; a commit that leaves it alone (the end of
  // an eviction) changes nothing that a reader looks at.
  std::string key = "l" + FolderKey(table, place);
  EncodeBigEndian64(version, &key);
  if (auto cached = cache.Find<std::vector<SegmentRecord>>(key)) return cached;
  KALAM_ASSIGN_OR_RETURN(std::vector<SegmentRecord> records,
                         ListSegments(store, table, place, snapshot));
  auto list = std::make_shared<const std::vector<SegmentRecord>>(std::move(records));
  cache.Put(std::move(key), list, ListBytes(*list));
  return SegmentList(std::move(list));
}

}  // namespace

Result<ScopeSegments> FindScopeSegments(storage::Store& store, SegmentCache& cache, TableId table,
                                        const storage::Scope& scope,
                                        const storage::SnapshotPtr& snapshot) {
  ScopeSegments segments;
  // Without a snapshot the lists could be newer than the version that they are kept under.
  const storage::SnapshotPtr view = snapshot == nullptr ? store.TakeSnapshot() : snapshot;
  KALAM_ASSIGN_OR_RETURN(TableSegmentsHead head, ReadHead(store, table, view));
  segments.version = head.version;
  if (head.version == 0) return segments;
  KALAM_ASSIGN_OR_RETURN(segments.own, FindList(store, cache, table, SegmentPlace::OfScope(scope),
                                                head.version, view));
  if (!scope.is_shared()) {
    KALAM_ASSIGN_OR_RETURN(segments.many,
                           FindList(store, cache, table, SegmentPlace::Many(), head.version, view));
  }
  return segments;
}

Result<std::optional<FoundRow>> FindNewest(SegmentReader& reader, const catalog::TablePtr& table,
                                           const ScopeSegments& segments,
                                           std::string_view segment_key, Seq above,
                                           ColumnChoice choice,
                                           const storage::SnapshotPtr& snapshot) {
  std::vector<const SegmentRecord*> candidates;
  const std::string upper = std::string(segment_key) + '\0';
  segments.ForEachIn(segment_key, upper, [&](const SegmentRecord& record) {
    if (record.max_seq > above) candidates.push_back(&record);
  });
  std::sort(candidates.begin(), candidates.end(),
            [](const auto* a, const auto* b) { return a->max_seq > b->max_seq; });
  std::optional<FoundRow> found;
  for (const SegmentRecord* record : candidates) {
    if (record->max_seq <= above) break;
    KALAM_ASSIGN_OR_RETURN(bool may_contain, reader.MayContain(*record, segment_key, snapshot));
    if (!may_contain) continue;
    if (storage::IsOnlyInMemory(snapshot)) {
      return Status(ErrorKind::NotInMemory, "the row may lie in a segment");
    }
    KALAM_ASSIGN_OR_RETURN(SegmentFilePtr file, reader.Open(table, *record, snapshot));
    const size_t group = file->GroupOf(segment_key);
    if (file->groups[group].max_seq <= above) continue;
    KALAM_ASSIGN_OR_RETURN(GroupColumns columns, reader.Read(file, group, choice, true));
    const size_t row = columns.LowerBound(segment_key);
    if (row == columns.row_count()) continue;
    std::string key;
    columns.Key(row, &key);
    if (key != segment_key || columns.seq(row) <= above) continue;
    above = columns.seq(row);
    found = FoundRow{std::move(columns), row, above};
  }
  return found;
}

}  // namespace kalam::segments
