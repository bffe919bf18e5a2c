// What is merged, how, and what may be dropped on the way.
#include "tiering/compaction.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "base/log.h"
#include "base/optional_charge.h"
#include "tables/retention.h"
#include "tiering/folders.h"
#include "tiering/leftovers.h"
#include "tiering/old_tombstones.h"
#include "tiering/row_feed.h"
#include "types/key_codec.h"

namespace kalam::tiering {
namespace {

using Segments = std::vector<segments::SegmentRecord>;

// Each segment of a merge holds a row group in memory.
constexpr size_t kMergedSegmentsMax = 12;

/// Half a full segment; smaller ones are merged.
bool IsSmall(const segments::SegmentRecord& segment) {
  return segment.row_count < segments::kSegmentRowsMax / 2;
}

/// Cuts a group into merges of bounded size, oldest segments first; what is left over waits for the
/// next compaction.
void AddMerges(Segments group, std::vector<Segments>* merges) {
  std::sort(group.begin(), group.end(),
            [](const auto& a, const auto& b) { return a.segment_id < b.segment_id; });
  for (size_t begin = 0; begin < group.size(); begin += kMergedSegmentsMax) {
    const size_t end = std::min(begin + kMergedSegmentsMax, group.size());
    if (begin > 0 && end - begin == 1) break;
    merges->emplace_back(std::make_move_iterator(group.begin() + static_cast<ptrdiff_t>(begin)),
                         std::make_move_iterator(group.begin() + static_cast<ptrdiff_t>(end)));
  }
}

bool Overlaps(const segments::SegmentRecord& a, const segments::SegmentRecord& b) {
  return a.min_key <= b.max_key && b.min_key <= a.max_key;
}

/// Whether segments outside of a merge may hold a version of a key that is older than `seq`. Ranges
/// are all that is asked.
class OutsideKeys {
 public:
  explicit OutsideKeys(Segments outside) : outside_(std::move(outside)) {}
  bool MayHoldOlder(std::string_view key, Seq seq) const {
    return std::any_of(outside_.begin(), outside_.end(), [&](const auto& segment) {
      return segment.min_seq < seq && segment.min_key <= key && key <= segment.max_key;
    });
  }

 private:
  const Segments outside_;
};

/// Segments whose keys overlap, and neighbours with at most `rows_joined_max` rows together.
std::vector<Segments> GroupsOf(Segments segments, int64_t rows_joined_max) {
  std::sort(segments.begin(), segments.end(),
            [](const auto& a, const auto& b) { return a.min_key < b.min_key; });
  std::vector<Segments> groups;
  std::string reach;  // greatest key of the last group
  int64_t rows = 0;
  for (segments::SegmentRecord& segment : segments) {
    const bool overlaps = !groups.empty() && segment.min_key <= reach;
    const bool fits = rows + segment.row_count <= rows_joined_max;
    if (groups.empty() || (!overlaps && !fits)) {
      groups.emplace_back();
      reach.clear();
      rows = 0;
    }
    reach = std::max(reach, segment.max_key);
    rows += segment.row_count;
    groups.back().push_back(std::move(segment));
  }
  return groups;
}

/// Where a group is too large for one merge: each segment that is full of old tombstones, with
/// those that may hold what they hide.
void AddWithWhatTheyHide(Segments group, Seq droppable, std::vector<Segments>* merges) {
  std::vector<bool> taken(group.size(), false);
  for (size_t i = 0; i < group.size(); ++i) {
    if (taken[i] || !HasManyOldTombstones({group[i]}, droppable)) continue;
    std::vector<size_t> members;
    for (size_t j = 0; j < group.size(); ++j) {
      const bool may_be_hidden =
          group[j].min_seq < group[i].max_seq && Overlaps(group[i], group[j]);
      if (j == i || may_be_hidden) members.push_back(j);
    }
    Segments merge;
    for (const size_t j : members) merge.push_back(group[j]);
    const bool is_free =
        std::none_of(members.begin(), members.end(), [&](size_t j) { return taken[j]; });
    if (!is_free || merge.size() > kMergedSegmentsMax || !HasManyOldTombstones(merge, droppable))
      continue;
    for (const size_t j : members) taken[j] = true;
    merges->push_back(std::move(merge));
  }
}

void AddWithOldTombstones(Segments group, Seq droppable, std::vector<Segments>* merges) {
  if (group.size() > kMergedSegmentsMax) {
    AddWithWhatTheyHide(std::move(group), droppable, merges);
  } else if (HasManyOldTombstones(group, droppable)) {
    AddMerges(std::move(group), merges);
  }
}

/// The rows of a merge without the tombstones that hide nothing any more.
class MergeFeed final : public RowFeed {
 public:
  MergeFeed(std::unique_ptr<segments::SegmentMerge> merge, const OutsideKeys& outside,
            Seq tombstones_up_to)
      : merge_(std::move(merge)), outside_(outside), tombstones_up_to_(tombstones_up_to) {}

  Result<bool> Next() override {
    for (;;) {
      KALAM_ASSIGN_OR_RETURN(const bool more, merge_->Next());
      if (!more) return false;
      if (!merge_->deleted() || merge_->seq() > tombstones_up_to_) break;
      if (outside_.MayHoldOlder(segments::SegmentKey(merge_->scope(), merge_->encoded_pk()),
                                merge_->seq()))
        break;
      Seq& newest = dropped_[segments::SegmentKeyPrefix(merge_->scope())];
      newest = std::max(newest, merge_->seq());
    }
    ++row_count_;
    return true;
  }
  const storage::Scope& scope() const override { return merge_->scope(); }
  std::string_view encoded_pk() const override { return merge_->encoded_pk(); }
  Seq seq() const override { return merge_->seq(); }
  bool deleted() const override { return merge_->deleted(); }
  uint32_t schema_version() const override { return merge_->schema_version(); }
  std::string_view row() const override { return merge_->row(); }

  int64_t row_count() const { return row_count_; }
  /// The newest tombstone dropped, by scope prefix.
  const std::map<std::string, Seq>& dropped() const { return dropped_; }

 private:
  const std::unique_ptr<segments::SegmentMerge> merge_;
  const OutsideKeys& outside_;
  const Seq tombstones_up_to_;
  int64_t row_count_ = 0;
  std::map<std::string, Seq> dropped_;
};

class TableCompaction {
 public:
  TableCompaction(const TieringServices& services, const WorkedTable& worked, Seq tombstones_up_to)
      : services_(services), worked_(worked), tombstones_up_to_(tombstones_up_to) {}

  Result<CompactionOutcome> Run(const CompactionChoice& choice) {
    const TableId id = worked_.table->id;
    KALAM_ASSIGN_OR_RETURN(const Segments all, segments::ListSegments(services_.store, id));
    outcome_.segments_before = static_cast<int64_t>(all.size());
    for (const Segments& group : ChooseMergesOfTable(all, choice, tombstones_up_to_))
      KALAM_RETURN_IF_ERROR(Merge(group));
    KALAM_ASSIGN_OR_RETURN(const Segments left, segments::ListSegments(services_.store, id));
    outcome_.segments_after = static_cast<int64_t>(left.size());
    return outcome_;
  }

 private:
  Status Merge(const Segments& group) {
    const segments::SegmentPlace& place = group.front().place;
    KALAM_ASSIGN_OR_RETURN(const OutsideKeys outside, Outside(group));
    KALAM_ASSIGN_OR_RETURN(auto merge, services_.segments.OpenMerge(
                                           worked_.table, group, services_.store.TakeSnapshot()));
    MergeFeed feed(std::move(merge), outside, tombstones_up_to_);
    FeedCursor cursor(feed, worked_.work.memory);
    KALAM_RETURN_IF_ERROR(cursor.Start());
    KALAM_ASSIGN_OR_RETURN(
        auto change,
        segments::SegmentChange::Begin(services_.store, worked_.table->id, worked_.work.memory));
    const SegmentTarget target = worked_.TargetAt(place, "compact");
    while (!cursor.at_end()) {
      KALAM_RETURN_IF_ERROR(WriteSegment(services_.engine, target, cursor, /*evicting=*/false,
                                         services_.clock.NowUs(), &change));
    }
    int64_t rows_before = 0;
    for (const segments::SegmentRecord& segment : group) {
      KALAM_RETURN_IF_ERROR(change.Retire(segment, services_.clock.NowUs()));
      rows_before += segment.row_count;
    }
    const size_t written_count = change.added().size();
    Status committed = RaisePurged(feed.dropped());
    if (committed.ok()) committed = CommitSegments(services_, worked_, &change);
    if (committed.Is(ErrorKind::NotFound)) RemoveWritten(worked_, change);
    KALAM_RETURN_IF_ERROR(committed);
    worked_.Reached("compact.committed");
    outcome_.dropped_row_count += rows_before - feed.row_count();
    const Status written =
        WriteManifest(services_, *worked_.table, place, *worked_.storage, worked_.work.memory);
    if (!written.ok()) {
      Log(LogLevel::kWarn, "tiering", "a manifest could not be written",
          {{"table", worked_.table->QualifiedName()}, {"error", written.ToString()}});
    }
    worked_.Reached("compact.manifest");
    if (worked_.work.report)
      worked_.work.report(fmt::format("{} segments merged into {}", group.size(), written_count));
    return Status::Ok();
  }

  /// The segments that may hold keys of the group's scopes and are not of the group.
  Result<OutsideKeys> Outside(const Segments& group) {
    KALAM_ASSIGN_OR_RETURN(Segments all,
                           segments::ListSegments(services_.store, worked_.table->id));
    std::erase_if(all, [&](const segments::SegmentRecord& segment) {
      return std::any_of(group.begin(), group.end(), [&](const auto& member) {
        return member.segment_id == segment.segment_id;
      });
    });
    return OutsideKeys(std::move(all));
  }

  /// Before the tombstones go: a resume from state must know what it cannot tell any more.
  Status RaisePurged(const std::map<std::string, Seq>& dropped) {
    auto command = std::make_shared<replication::Command>();
    for (const auto& [prefix, newest] : dropped) {
      storage::Scope scope;
      if (!ParseScope(prefix, &scope)) continue;
      KALAM_ASSIGN_OR_RETURN(auto writes, tables::RaisePurgedTombstone(
                                              services_.store, worked_.table->id, scope, newest));
      for (catalog::RecordWrite& write : writes) command->records.push_back(std::move(write));
    }
    if (command->records.empty()) return Status::Ok();
    return replication::ProposeAndWait(services_.group, std::move(command)).status;
  }

  const TieringServices& services_;
  const WorkedTable& worked_;
  const Seq tombstones_up_to_;
  CompactionOutcome outcome_;
};

}  // namespace

std::vector<Segments> ChooseMerges(Segments segments, const CompactionChoice& choice,
                                   Seq droppable) {
  std::vector<Segments> merges;
  switch (choice.scope) {
    case CompactionScope::kSmallSegments:
      std::erase_if(segments, [](const auto& segment) { return !IsSmall(segment); });
      if (segments.size() >= std::max<size_t>(choice.small_segments_max, 2))
        AddMerges(std::move(segments), &merges);
      break;
    case CompactionScope::kOldTombstones:
      for (Segments& group : GroupsOf(std::move(segments), /*rows_joined_max=*/0))
        AddWithOldTombstones(std::move(group), droppable, &merges);
      break;
    case CompactionScope::kAll:
      for (Segments& group : GroupsOf(std::move(segments), segments::kSegmentRowsMax)) {
        const bool has_old_tombstones =
            std::any_of(group.begin(), group.end(), [&](const auto& segment) {
              return segment.tombstone_count > 0 && segment.min_seq <= droppable;
            });
        if (group.size() > 1 || has_old_tombstones) AddMerges(std::move(group), &merges);
      }
      break;
  }
  return merges;
}

std::vector<Segments> ChooseMergesOfTable(const Segments& segments, const CompactionChoice& choice,
                                          Seq droppable) {
  std::vector<Segments> merges;
  for (auto begin = segments.begin(); begin != segments.end();) {
    const auto end = std::find_if(begin, segments.end(), [&](const auto& segment) {
      return !(segment.place == begin->place);
    });
    for (Segments& merge : ChooseMerges({begin, end}, choice, droppable))
      merges.push_back(std::move(merge));
    begin = end;
  }
  return merges;
}

Result<bool> WantsCompaction(storage::Store& store, TableId table, size_t small_segments_max) {
  KALAM_ASSIGN_OR_RETURN(const Segments all, segments::ListSegments(store, table));
  size_t small = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    if (i > 0 && !(all[i].place == all[i - 1].place)) small = 0;
    small += IsSmall(all[i]) ? 1 : 0;
    if (small >= std::max<size_t>(small_segments_max, 2)) return true;
  }
  return false;
}

Result<CompactionOutcome> CompactTable(const TieringServices& services, const WorkedTable& worked,
                                       const CompactionChoice& choice, Seq tombstones_up_to) {
  return TableCompaction(services, worked, tombstones_up_to).Run(choice);
}

}  // namespace kalam::tiering
