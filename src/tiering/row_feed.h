// Rows on their way into segments: where they come from, in the order of segment keys.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/memory_account.h"
#include "base/status.h"
#include "replication/group.h"
#include "storage/key_layout.h"
#include "storage/store.h"

namespace kalam::tiering {

/// Walks rows by segment key ([bucket][scope][encoded primary key]). Starts before the first row.
/// Not thread-safe.
class RowFeed {
 public:
  virtual ~RowFeed() = default;
  /// Moves to the next row; false at the end, also when asked again. Errors: StorageIo, Corruption.
  virtual Result<bool> Next() = 0;
  /// Goes on with a newer snapshot, behind what was given out; the current row may be another one.
  /// False when none is left. Errors: as Next.
  virtual Result<bool> Renew(const storage::SnapshotPtr&) { return true; }
  // The current row; views valid until Next.
  virtual const storage::Scope& scope() const = 0;
  virtual std::string_view encoded_pk() const = 0;
  virtual Seq seq() const = 0;
  virtual bool deleted() const = 0;
  virtual uint32_t schema_version() const = 0;
  virtual std::string_view row() const = 0;
};

/// Scopes by their prefix within the table: `[bucket][scope]`.
using ScopeSet = std::set<std::string, std::less<>>;

/// The hot rows of one scope, tombstones included, as `view` shows them. Rows above the view's
/// `_seq` are left out, also of newer snapshots, so that what was fed can be told from what came
/// later by `_seq` alone: what is hot and not above it has not changed since, and was fed.
/// `store` must outlive it.
std::unique_ptr<RowFeed> FeedHotScope(storage::Store& store, const replication::View& view,
                                      TableId table, const storage::Scope& scope);

/// Where a scope counts as large: then it gets segments of its own.
struct LargeScope {
  size_t row_count = 8192;
  size_t bytes = 1 << 20;
};
/// The hot rows of all scopes, or of those in `only` (which may be null), but the large ones, which
/// it adds to `large_scopes` as it meets them. Holds the rows of one scope, and
/// charges them to `memory`, which may be null. `store`, `large_scopes` and `only` must outlive it.
std::unique_ptr<RowFeed> FeedSmallHotScopes(storage::Store& store, const replication::View& view,
                                            TableId table, const LargeScope& bounds,
                                            ScopeSet* large_scopes, const ScopeSet* only = nullptr,
                                            MemoryAccount* memory = nullptr);

/// The scopes that have hot rows, at most `count_max` of them; one seek each.
Result<ScopeSet> ListHotScopes(storage::Store& store, const storage::SnapshotPtr& snapshot,
                               TableId table, size_t count_max);
/// Whether the scope of a segment key is in `scopes`.
bool HasScopeOf(const ScopeSet& scopes, std::string_view segment_key);
/// What a set of scopes holds.
int64_t MemoryOf(const ScopeSet& scopes);
/// From a member of a ScopeSet. False when it is not one.
[[nodiscard]] bool ParseScope(std::string_view prefix, storage::Scope* scope);

}  // namespace kalam::tiering
