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

namespace {

/// The segments that may have a version above `above`, by the newest row they have.
std::vector<const SegmentRecord*> CandidatesFor(const ScopeSegments& segments,
                                                std::string_view segment_key, Seq above) {
  std::vector<const SegmentRecord*> candidates;
  const std::string upper = std::string(segment_key) + '\0';
  segments.ForEachIn(segment_key, upper, [&](const SegmentRecord& record) {
    if (record.max_seq > above) candidates.push_back(&record);
  });
  std::sort(candidates.begin(), candidates.end(),
            [](const auto* a, const auto* b) { return a->max_seq > b->max_seq; });
  return candidates;
}

}  // namespace

Result<bool> HasNewer(SegmentReader& reader, const catalog::TablePtr& table,
                      const ScopeSegments& segments, std::string_view segment_key, Seq above,
                      const storage::SnapshotPtr& snapshot) {
  for (const SegmentRecord* record : CandidatesFor(segments, segment_key, above)) {
    KALAM_ASSIGN_OR_RETURN(bool may_contain, reader.MayContain(*record, segment_key, snapshot));
    if (!may_contain) continue;
    KALAM_ASSIGN_OR_RETURN(SegmentFilePtr file, reader.Open(table, *record, snapshot));
    const size_t group = file->GroupOf(segment_key);
    if (file->groups[group].max_seq <= above) continue;
    KALAM_ASSIGN_OR_RETURN(GroupColumns columns,
                           reader.Read(file, group, ColumnChoice::kKeySeq, true));
    const std::optional<size_t> row = columns.Find(segment_key);
    if (row && columns.seq(*row) > above) return true;
  }
  return false;
}

Result<std::optional<RowCells>> FindNewest(SegmentReader& reader, const catalog::TablePtr& table,
                                           const ScopeSegments& segments,
                                           std::string_view segment_key, const CellChoice& choice,
                                           const storage::SnapshotPtr& snapshot) {
  const std::vector<const SegmentRecord*> candidates = CandidatesFor(segments, segment_key, Seq{});
  std::optional<RowCells> newest;
  Seq newest_seq;  // of its row, or a bound below it when no other segment is that new
  for (size_t i = 0; i < candidates.size(); ++i) {
    const SegmentRecord& record = *candidates[i];
    if (newest && record.max_seq <= newest_seq) break;
    KALAM_ASSIGN_OR_RETURN(bool may_contain, reader.MayContain(record, segment_key, snapshot));
    if (!may_contain) continue;
    const bool at_once = storage::IsOnlyInMemory(snapshot);
    KALAM_ASSIGN_OR_RETURN(SegmentFilePtr file, at_once ? reader.FindOpen(record)
                                                        : reader.Open(table, record, snapshot));
    if (file == nullptr) return Status(ErrorKind::NotInMemory, "the row may lie in a segment");
    const size_t group = file->GroupOf(segment_key);
    if (newest && file->groups[group].max_seq <= newest_seq) continue;
    // Mostly segments hold one stretch of time each, and the row's own `_seq` decides nothing.
    const Seq group_min_seq = file->groups[group].min_seq;
    CellChoice wanted = choice;
    wanted.at_once = at_once;
    wanted.seq |= newest.has_value() ||
                  (i + 1 < candidates.size() && candidates[i + 1]->max_seq > group_min_seq);
    KALAM_ASSIGN_OR_RETURN(auto found, reader.ReadRow(file, group, segment_key, wanted));
    if (!found) continue;
    const Seq seq = wanted.seq ? found->seq() : group_min_seq;
    if (newest && seq <= newest_seq) continue;
    newest_seq = seq;
    newest = std::move(found);
  }
  return newest;
}

}  // namespace kalam::segments
