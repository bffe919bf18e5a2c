// A subscription's SELECT, compiled: which rows match, and what of them is sent. The same
// expressions as SELECT's.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/catalog.h"
#include "types/row_stream.h"

namespace kalam::query {

/// `column = constant` in the filter's top-level AND, if there is one: what the fan-out index looks
/// subscriptions up by.
struct EqualityKey {
  uint32_t column = 0;  // index into the table's columns
  Value value;
};

/// Immutable and shared by all subscriptions of the same text and caller. Thread-safety: Matches
/// may run on any thread.
class LiveQuery {
 public:
  virtual ~LiveQuery() = default;
  virtual const catalog::TablePtr& table() const = 0;
  /// The columns of the ack: for `*` every column in ordinal order, system columns included; else
  /// the named ones.
  virtual const ResultSchema& schema() const = 0;
  /// Column indexes sent in rows, in order, without `_seq`, `_deleted` (those are always added).
  virtual const std::vector<uint32_t>& projection() const = 0;
  /// Columns that the filter reads.
  virtual const std::vector<uint32_t>& filter_columns() const = 0;
  virtual bool has_filter() const = 0;
  virtual const std::optional<EqualityKey>& equality_key() const = 0;
  /// `cells` by column index (filter columns decoded). Three-valued: NULL is no match. Errors of
  /// evaluation (division by zero, ...) are no match.
  virtual bool Matches(std::span<const Datum> cells) const = 0;
  /// The canonical text of projection and table: subscriptions with the same one share encoded
  /// bodies.
  virtual const std::string& projection_key() const = 0;
  /// The canonical text of the whole query with the constant of `equality_key()` taken out (other
  /// constants and the values of NOW() and CURRENT_USER() stand in it). The hub keeps one compiled
  /// query for all subscriptions with the same shape and only the constant for each of them. Empty:
  /// not to be shared.
  virtual const std::string& shape_key() const;
  /// The filter without the conjunct of `equality_key()`:
  /// Matches(cells) is "cells[key.column] = key.value is true, and MatchesRest(cells)". Without a
  /// key, or without a shape: Matches.
  virtual bool MatchesRest(std::span<const Datum> cells) const { return Matches(cells); }
  virtual size_t byte_size() const = 0;
};

/// Compiles and checks a subscription's SQL for `caller`. Errors: InvalidSql (the shapes of
/// sql.md 1.13 that are refused, with its texts), TableNotFound, PermissionDenied, NotAvailable
/// (something only the engine evaluates); MemoryPressure: `memory` has no room for reading so large
/// a text.
Result<std::shared_ptr<const LiveQuery>> CompileLiveQuery(std::string_view text,
                                                          const catalog::Catalog& catalog,
                                                          const catalog::Caller& caller,
                                                          int64_t now_us, MemoryAccount& memory);

inline const std::string& LiveQuery::shape_key() const {
  static const std::string kNotShared;
  return kNotShared;
}

}  // namespace kalam::query
