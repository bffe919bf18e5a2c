// Counting hot rows from commits, and the policies that look at the counts.
#include "tiering/hot_row_counts.h"

#include <algorithm>
#include <string>
#include <unordered_set>

#include "base/log.h"
#include "storage/key_layout.h"
#include "tiering/hot_rows.h"
#include "types/key_codec.h"

namespace kalam::tiering {
namespace {

constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kPauseAfterFailureUs = 60 * kSecondUs;
// Users of one flush: those of the record of its job.
constexpr size_t kDueScopesMax = 500;
constexpr size_t kDueUserIdBytesMax = 64 << 10;
// Users that wait for the next look, over all tables; beyond it their tables are walked over.
constexpr size_t kToldBytesMax = 128 << 10;
// Rows that a walk looks at when the table has no bound.
constexpr int64_t kWalkedRowsMin = 1 << 20;

/// Whether the row was not hot before.
bool BecomesHot(const replication::RowMutation& row) {
  return !row.is_stream && !row.forgets_version && (row.read_seq.value == 0 || row.read_was_cold);
}

/// How long ago a change was made, by its `_seq`.
int64_t AgeUs(Seq seq, int64_t now_us) {
  const int64_t made_us = ((seq.value >> kSeqCounterBits) + kSeqEpochMs) * 1000;
  return seq.value == 0 ? 0 : std::max<int64_t>(now_us - made_us, 0);
}

size_t BytesOf(const storage::Scope& scope) {
  return sizeof(storage::Scope) + scope.user_id().size();
}

}  // namespace

struct HotRowCounts::FlushUnderWay {
  Seq up_to;
  std::unordered_set<storage::Scope> scopes;  // empty: all
  int64_t row_count = 0;                      // of a flush of all: what was hot when it began
  int64_t hot_since_us = 0;
  bool counted_meanwhile = false;  // the table's rows, no matter which of them go

  bool Takes(const storage::Scope& scope) const { return scopes.empty() || scopes.contains(scope); }
};

/// Changes of one table, one behind the other.
struct HotRowCounts::Run {
  TableId table;
  Entry* entry = nullptr;  // null: not known yet
  int64_t row_count = 0;
  const storage::Scope* scope = nullptr;  // of the last of them, when scopes are counted
  uint32_t scope_row_count = 0;
};

HotRowCounts::HotRowCounts(storage::Store& store, const catalog::Catalog& catalog,
                           const Clock& clock, const FlushDefaults& defaults,
                           MemoryAccount* account)
    : store_(store), catalog_(catalog), clock_(clock), defaults_(defaults), scopes_(account) {
  if (account != nullptr) told_charge_ = MemoryCharge(*account, 0);
}
HotRowCounts::~HotRowCounts() = default;

Status HotRowCounts::Load() {
  auto iterator = store_.NewIterator(storage::Family::kRows, {});
  iterator->SeekToFirst();
  while (iterator->Valid()) {
    storage::ParsedKey key;
    if (!storage::ParseKey(iterator->key(), &key))
      return Status(ErrorKind::Corruption, "a key of a row cannot be read");
    KALAM_RETURN_IF_ERROR(Count(key.table, *iterator));
    iterator->Seek(PrefixEnd(storage::TablePrefix(key.table)));
  }
  return iterator->status();
}

Status HotRowCounts::CountAnew(TableId table) {
  const std::string prefix = storage::TablePrefix(table);
  auto iterator = store_.NewIterator(storage::Family::kRows, {prefix, PrefixEnd(prefix)});
  iterator->SeekToFirst();
  return Count(table, *iterator);
}

/// `iterator` is on the first row of the table, if there is one.
Status HotRowCounts::Count(TableId table, storage::Iterator& iterator) {
  KALAM_ASSIGN_OR_RETURN(const HotRows found, EstimateHotRows(store_, table, iterator));
  // What commits have told so far is among what was found.
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[table.value];
  entry.row_count = 0;
  entry.wants_walk = true;
  if (entry.flush != nullptr) entry.flush->counted_meanwhile = true;
  Add(table, &entry, found.row_count, clock_.SteadyUs() - AgeUs(found.oldest, clock_.NowUs()));
  return Status::Ok();
}

void HotRowCounts::OnCommitted(const replication::CommittedBatch& batch) {
  if (batch.changes.empty() && batch.dropped_tables.empty()) return;
  const int64_t now_us = clock_.SteadyUs();
  const std::lock_guard lock(mutex_);
  Run run;
  for (const replication::CommittedChange& change : batch.changes) {
    const replication::RowMutation& row = *change.mutation;
    if (row.table != run.table) {
      EndRun(run, now_us);
      run = {.table = row.table, .entry = Find(row.table)};
    }
    if (!Counts(change, run.entry)) continue;
    ++run.row_count;
    if (run.entry == nullptr || run.entry->scope_row_limit == 0) continue;
    if (run.scope == nullptr || *run.scope != row.scope) {
      if (run.scope != nullptr) AddToScope(run.table, *run.scope, run.scope_row_count, run.entry);
      run.scope = &row.scope;
      run.scope_row_count = 0;
    }
    ++run.scope_row_count;
  }
  EndRun(run, now_us);
  for (const TableId dropped : batch.dropped_tables) Forget(dropped);
}

HotRowCounts::Entry* HotRowCounts::Find(TableId table) {
  auto found = entries_.find(table.value);
  return found == entries_.end() ? nullptr : &found->second;
}

/// Whether a row is hot that was not, or that was taken by the flush under way.
bool HotRowCounts::Counts(const replication::CommittedChange& change, Entry* entry) {
  const replication::RowMutation& row = *change.mutation;
  const bool becomes_hot = BecomesHot(row);
  if (entry == nullptr || entry->flush == nullptr || !entry->flush->Takes(row.scope))
    return becomes_hot;
  FlushUnderWay& flush = *entry->flush;
  if (change.seq > flush.up_to) {
    const bool stays_hot = !row.is_stream && !row.forgets_version && row.read_seq <= flush.up_to;
    return becomes_hot || stays_hot;
  }
  // It was published before the flush began, and goes with it.
  if (becomes_hot) ++(flush.scopes.empty() ? flush.row_count : entry->row_count);
  return false;
}

void HotRowCounts::EndRun(const Run& run, int64_t now_us) {
  if (run.row_count == 0) return;
  Entry* const entry = run.entry != nullptr ? run.entry : &entries_[run.table.value];
  if (run.scope != nullptr) AddToScope(run.table, *run.scope, run.scope_row_count, entry);
  Add(run.table, entry, run.row_count, now_us);
}

void HotRowCounts::AddToScope(TableId table, const storage::Scope& scope, uint32_t row_count,
                              Entry* entry) {
  if (scopes_.Add(table, scope, row_count, entry->scope_row_limit)) Remember(scope, entry);
}

/// Until the next look at the table.
void HotRowCounts::Remember(const storage::Scope& scope, Entry* entry) {
  if (told_bytes_ + BytesOf(scope) > kToldBytesMax) {
    entry->wants_walk = true;
    return;
  }
  entry->told.push_back(scope);
  told_bytes_ += BytesOf(scope);
  told_charge_.Resize(static_cast<int64_t>(told_bytes_));
}

std::vector<storage::Scope> HotRowCounts::TakeTold(Entry* entry) {
  std::vector<storage::Scope> told = std::exchange(entry->told, {});
  for (const storage::Scope& scope : told) told_bytes_ -= BytesOf(scope);
  if (!told.empty()) told_charge_.Resize(static_cast<int64_t>(told_bytes_));
  return told;
}

void HotRowCounts::Add(TableId table, Entry* entry, int64_t row_count, int64_t now_us) {
  if (entry->row_count == 0) entry->hot_since_us = now_us;
  entry->row_count += row_count;
  Touch(table, entry);
}

void HotRowCounts::Touch(TableId table, Entry* entry) {
  if (std::exchange(entry->touched, true)) return;
  touched_.push_back(table);
}

void HotRowCounts::Forget(TableId table) {
  auto found = entries_.find(table.value);
  if (found == entries_.end()) return;
  SetDeadline(table, &found->second, 0);
  Follow(table, 0, &found->second);
  entries_.erase(found);
}

/// Counts the table's scopes from now on; 0: no longer.
void HotRowCounts::Follow(TableId table, uint32_t scope_row_limit, Entry* entry) {
  TakeTold(entry);
  entry->scope_row_limit = scope_row_limit;
  if (scope_row_limit == 0) {
    scopes_.Forget(table);
    return;
  }
  if (entry->row_count >= scope_row_limit) entry->wants_walk = true;
  scopes_.Follow(table,
                 entry->wants_walk ? scope_row_limit - 1 : static_cast<uint32_t>(entry->row_count));
}

void HotRowCounts::SetDeadline(TableId table, Entry* entry, int64_t deadline_us) {
  if (entry->deadline_us == deadline_us) return;
  if (entry->deadline_us != 0) deadlines_.erase({entry->deadline_us, table.value});
  entry->deadline_us = deadline_us;
  if (deadline_us != 0) deadlines_.emplace(deadline_us, table.value);
}

/// nullopt when the table is gone or has no rows that could be flushed.
std::optional<HotRowCounts::Policy> HotRowCounts::PolicyOf(TableId table) const {
  const Result<catalog::TablePtr> found = catalog_.FindTable(table);
  if (!found.ok() || *found == nullptr) return std::nullopt;
  const catalog::TableDefinition& definition = **found;
  const bool is_of_users = definition.type == catalog::TableType::kUser;
  if (!is_of_users && definition.type != catalog::TableType::kShared) return std::nullopt;
  const catalog::FlushPolicy& named = definition.options.flush_policy;
  const bool is_default = named == catalog::FlushPolicy{};
  const uint32_t row_limit = is_default ? defaults_.row_limit : named.row_limit;
  Policy policy{
      .row_limit = row_limit,
      .interval_seconds = is_default ? defaults_.interval_seconds : named.interval_seconds};
  const uint32_t bound = defaults_.table_row_limit;
  if (is_of_users && row_limit != 0 && (bound == 0 || row_limit < bound)) {
    policy.row_limit = bound;
    policy.scope_row_limit = row_limit;
  }
  return policy;
}

std::vector<DueFlush> HotRowCounts::TakeDue(const std::function<bool(TableId)>& is_busy) {
  std::vector<DueFlush> due;
  for (const TableId table : TakeTouched()) {
    if (is_busy && is_busy(table)) {
      PutOff(table);
      continue;
    }
    const std::optional<Questions> questions = LookAt(table, clock_.SteadyUs());
    if (!questions) continue;
    bool is_due = questions->is_due;
    std::vector<storage::Scope> scopes;
    if (!is_due) {
      Result<std::vector<storage::Scope>> answer = questions->walks
                                                       ? AnswerByWalk(table, *questions, &is_due)
                                                       : AnswerByCounts(table, *questions);
      if (!answer.ok()) {
        Log(LogLevel::kWarn, "tiering", "the hot rows of users could not be counted",
            {{"table", table.value}, {"error", answer.status().ToString()}});
        FlushFailed(table);
        continue;
      }
      scopes = *std::move(answer);
    }
    if (is_due || !scopes.empty()) due.push_back({table, std::move(scopes)});
  }
  return due;
}

/// The tables to look at, by id.
std::vector<TableId> HotRowCounts::TakeTouched() {
  std::vector<TableId> tables;
  const std::lock_guard lock(mutex_);
  if (touched_.empty() && deadlines_.empty()) return tables;
  const int64_t now_us = clock_.SteadyUs();
  tables.swap(touched_);
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_us) {
    const TableId table{deadlines_.begin()->second};
    SetDeadline(table, &entries_[table.value], 0);
    tables.push_back(table);
  }
  std::sort(tables.begin(), tables.end(), [](TableId a, TableId b) { return a.value < b.value; });
  tables.erase(std::unique(tables.begin(), tables.end()), tables.end());
  return tables;
}

void HotRowCounts::PutOff(TableId table) {
  const std::lock_guard lock(mutex_);
  Entry* const entry = Find(table);
  if (entry == nullptr) return;
  entry->touched = true;
  touched_.push_back(table);
}

/// nullopt: there is nothing to do about the table now.
std::optional<HotRowCounts::Questions> HotRowCounts::LookAt(TableId table, int64_t now_us) {
  const std::optional<Policy> policy = PolicyOf(table);
  const std::lock_guard lock(mutex_);
  Entry* const entry = Find(table);
  if (entry == nullptr) return std::nullopt;
  entry->touched = false;
  if (!policy || entry->row_count <= 0) {
    if (entry->flush == nullptr) Forget(table);
    return std::nullopt;
  }
  if (policy->scope_row_limit != entry->scope_row_limit)
    Follow(table, policy->scope_row_limit, entry);
  const int64_t interval_at_us =
      policy->interval_seconds == 0
          ? 0
          : std::max<int64_t>(entry->hot_since_us + int64_t{policy->interval_seconds} * kSecondUs,
                              1);
  const bool by_time = interval_at_us != 0 && interval_at_us <= now_us;
  const bool by_rows = policy->row_limit != 0 && entry->row_count >= policy->row_limit;
  Questions questions{.row_count = entry->row_count, .policy = *policy};
  questions.is_due = by_time || (by_rows && policy->scope_row_limit == 0);
  questions.walks =
      !questions.is_due && policy->scope_row_limit != 0 && (by_rows || entry->wants_walk);
  if (!questions.is_due && !questions.walks && entry->told.empty()) {
    SetDeadline(table, entry,
                interval_at_us == 0 ? 0 : std::max(interval_at_us, entry->paused_until_us));
    return std::nullopt;
  }
  if (entry->paused_until_us > now_us) {
    SetDeadline(table, entry, entry->paused_until_us);
    return std::nullopt;
  }
  SetDeadline(table, entry, questions.is_due ? 0 : interval_at_us);
  if (questions.is_due) return questions;
  std::vector<storage::Scope> told = TakeTold(entry);
  if (questions.walks) {
    entry->wants_walk = false;
    scopes_.BeginWalk(table);
    return questions;
  }
  for (storage::Scope& scope : told) {
    const uint32_t count = scopes_.Count(table, scope);
    questions.scopes.emplace_back(std::move(scope), count);
  }
  return questions;
}

/// The scopes that are due, or that all of the table is: when those that are not due have as many
/// rows as the table may have.
Result<std::vector<storage::Scope>> HotRowCounts::AnswerByWalk(TableId table,
                                                               const Questions& questions,
                                                               bool* is_due) {
  const Policy& policy = questions.policy;
  KALAM_ASSIGN_OR_RETURN(
      LargeScopes found,
      FindLargeScopes(store_, table,
                      {.row_count_min = policy.scope_row_limit,
                       .scopes_max = kDueScopesMax,
                       .user_id_bytes_max = kDueUserIdBytesMax,
                       .other_row_count_max = policy.row_limit,
                       .looked_at_max = std::max(kWalkedRowsMin, 2 * policy.row_limit)}));
  const std::lock_guard lock(mutex_);
  Entry* const entry = Find(table);
  if (entry == nullptr) return std::vector<storage::Scope>();
  *is_due = policy.row_limit != 0 && found.other_row_count >= policy.row_limit;
  const bool is_calm = found.complete && found.scopes.empty();
  scopes_.EndWalk(table, is_calm ? found.other_largest : policy.scope_row_limit - 1);
  if (is_calm && !*is_due) {
    const int64_t row_count = entry->row_count + found.other_row_count - questions.row_count;
    entry->row_count = std::max<int64_t>(row_count, 0);
  }
  // Scopes that it had no room for are found when these are flushed.
  if (!found.scopes.empty()) entry->wants_walk = true;
  if (*is_due) found.scopes.clear();
  return std::move(found.scopes);
}

Result<std::vector<storage::Scope>> HotRowCounts::AnswerByCounts(TableId table,
                                                                 const Questions& questions) {
  std::vector<storage::Scope> due, put_off;
  std::vector<std::pair<const storage::Scope*, uint32_t>> too_high;
  size_t user_id_bytes = 0;
  std::unordered_set<storage::Scope> seen;
  for (const auto& [scope, counted] : questions.scopes) {
    // One that has lost its counter meanwhile was told twice.
    if (!seen.insert(scope).second) continue;
    if (due.size() >= kDueScopesMax || user_id_bytes >= kDueUserIdBytesMax) {
      put_off.push_back(scope);
      continue;
    }
    KALAM_ASSIGN_OR_RETURN(const uint32_t count,
                           CountHotRows(store_, table, scope, questions.policy.scope_row_limit));
    if (count >= questions.policy.scope_row_limit) {
      user_id_bytes += scope.user_id().size();
      due.push_back(scope);
    } else if (counted > count) {
      too_high.emplace_back(&scope, counted - count);
    }
  }
  const std::lock_guard lock(mutex_);
  Entry* const entry = Find(table);
  if (entry == nullptr) return std::vector<storage::Scope>();
  for (const auto& [scope, by] : too_high) scopes_.Lower(table, *scope, by);
  for (const storage::Scope& scope : put_off) Remember(scope, entry);
  return due;
}

void HotRowCounts::FlushBegins(TableId table, const std::vector<storage::Scope>& scopes,
                               Seq up_to) {
  auto flush = std::make_unique<FlushUnderWay>();
  flush->up_to = up_to;
  flush->scopes.insert(scopes.begin(), scopes.end());
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[table.value];
  if (scopes.empty()) {
    flush->row_count = std::exchange(entry.row_count, 0);
    flush->hot_since_us = entry.hot_since_us;
    entry.wants_walk = false;
    if (entry.scope_row_limit != 0) Follow(table, entry.scope_row_limit, &entry);
  } else {
    for (const storage::Scope& scope : scopes) scopes_.Reset(table, scope);
  }
  entry.flush = std::move(flush);
}

void HotRowCounts::FlushEnded(TableId table, std::optional<int64_t> row_count) {
  bool counts_anew = false;
  {
    const std::lock_guard lock(mutex_);
    Entry* const entry = Find(table);
    if (entry == nullptr || entry->flush == nullptr) return;
    const std::unique_ptr<FlushUnderWay> flush = std::move(entry->flush);
    counts_anew = flush->counted_meanwhile;
    if (!row_count) {
      if (flush->row_count > 0) entry->hot_since_us = flush->hot_since_us;
      entry->row_count += flush->row_count;
      entry->wants_walk = true;
    } else {
      entry->paused_until_us = 0;
      if (!flush->scopes.empty())
        entry->row_count = std::max<int64_t>(entry->row_count - *row_count, 0);
      // Rows that came without commits may be newer than what is published: they are still there.
      counts_anew |= *row_count < flush->row_count;
    }
    if (entry->row_count > 0) {
      Touch(table, entry);
    } else if (!entry->touched) {
      Forget(table);
    }
  }
  if (!counts_anew) return;
  const Status counted = CountAnew(table);
  if (counted.ok()) return;
  Log(LogLevel::kWarn, "tiering", "the hot rows of a table could not be counted",
      {{"table", table.value}, {"error", counted.ToString()}});
}

void HotRowCounts::FlushFailed(TableId table) {
  const std::lock_guard lock(mutex_);
  Entry* const entry = Find(table);
  if (entry == nullptr) return;
  entry->paused_until_us = clock_.SteadyUs() + kPauseAfterFailureUs;
  entry->wants_walk = true;
  Touch(table, entry);
}

int64_t HotRowCounts::row_count(TableId table) const {
  const std::lock_guard lock(mutex_);
  auto found = entries_.find(table.value);
  return found == entries_.end() ? 0 : found->second.row_count;
}

std::vector<std::pair<TableId, int64_t>> HotRowCounts::Largest(size_t count_max) const {
  std::vector<std::pair<TableId, int64_t>> tables;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, entry] : entries_) {
      if (entry.row_count > 0) tables.emplace_back(TableId{id}, entry.row_count);
    }
  }
  const size_t kept = std::min(count_max, tables.size());
  std::partial_sort(tables.begin(), tables.begin() + static_cast<ptrdiff_t>(kept), tables.end(),
                    [](const auto& a, const auto& b) { return a.second > b.second; });
  tables.resize(kept);
  return tables;
}

}  // namespace kalam::tiering
