// Table definitions: columns, options, versions. Immutable once published.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "catalog/role.h"
#include "types/row_codec.h"
#include "types/value.h"

namespace kalam::catalog {

/// Values are on disk: never renumber.
enum class TableType : uint8_t { kUser = 1, kShared = 2, kStream = 3, kSystem = 4, kView = 5 };
/// "user", "shared", "stream", "system", "view".
std::string_view TableTypeName(TableType type);

/// What an omitted column gets.
struct ColumnDefault {
  enum class Kind : uint8_t { kNone, kLiteral, kNow, kSnowflakeId, kUuidV7, kUlid, kCurrentUser };
  Kind kind = Kind::kNone;
  Value literal;  // kLiteral
  bool operator==(const ColumnDefault&) const = default;
};

struct ColumnDefinition {
  uint32_t column_id = 0;  // 1.., never reused within a table
  std::string name;        // lower case
  DataType type;
  bool nullable = true;
  bool primary_key = false;
  ColumnDefault default_value;
  std::string comment;
  bool operator==(const ColumnDefinition&) const = default;
};

inline constexpr std::string_view kSeqColumn = "_seq";
inline constexpr std::string_view kDeletedColumn = "_deleted";

/// FLUSH_POLICY; zero means not given.
struct FlushPolicy {
  uint32_t row_limit = 0;
  uint32_t interval_seconds = 0;
  bool operator==(const FlushPolicy&) const = default;
};

struct TableOptions {
  std::string storage_id = "local";
  bool use_user_storage = false;
  FlushPolicy flush_policy;
  AccessLevel access_level = AccessLevel::kPrivate;  // SHARED only
  uint64_t ttl_seconds = 0;                          // STREAM only
  uint32_t max_buffer = 0;  // STREAM only: rows of one user, the newest; 0: as many as live
  uint32_t deleted_retention_hours = 168;
  bool operator==(const TableOptions&) const = default;
};

/// One version of one table. Published as shared_ptr<const TableDefinition>; identical shapes of
/// different tables share the column vectors (schema registry).
struct TableDefinition {
  TableId id;
  std::string namespace_id;
  std::string name;
  TableType type = TableType::kShared;
  uint32_t schema_version = 1;
  uint32_t next_column_id = 1;
  /// In ordinal order, `_seq` and `_deleted` among them (columns added later stand behind these).
  std::shared_ptr<const std::vector<ColumnDefinition>> columns;
  /// Layout of the stored cells of every schema version, index = version - 1. System columns are
  /// not stored in the row.
  std::shared_ptr<const std::vector<RowLayout>> layouts;
  TableOptions options;
  std::string comment;
  int64_t created_at_us = 0;
  int64_t updated_at_us = 0;

  const RowLayout& layout() const { return (*layouts)[schema_version - 1]; }
  std::string QualifiedName() const { return namespace_id + "." + name; }
  bool is_scoped_by_user() const { return type == TableType::kUser || type == TableType::kStream; }
  /// Index into `columns`, or nullopt. `lower_name` must be folded.
  std::optional<size_t> FindColumn(std::string_view lower_name) const;
  /// Index of the primary key in `columns`; nullopt for a STREAM table without one.
  std::optional<size_t> PrimaryKey() const;
  /// Position of `columns[index]` in layout(), or nullopt for a system column.
  std::optional<size_t> StoragePosition(size_t index) const;
};
using TablePtr = std::shared_ptr<const TableDefinition>;

/// The layout for these columns: every column but the system ones, by ascending column id.
RowLayout LayoutOf(const std::vector<ColumnDefinition>& columns);

/// A stored view: its text runs with the invoker's scope.
struct ViewDefinition {
  std::string namespace_id;
  std::string name;
  std::string query;  // the SELECT's text
  std::vector<std::string> column_names;
  std::string default_namespace;  // of the creator, for unqualified names
  int64_t created_at_us = 0;
};

struct NamespaceDefinition {
  std::string id;
  std::string options_json;  // empty or an object
  int64_t created_at_us = 0;
};

/// Checks of sql.md 2.1; errors are InvalidOperation with the spec's texts. `name` as written;
/// callers store it folded.
Status ValidateNamespaceName(std::string_view name);
Status ValidateTableName(std::string_view name);
Status ValidateColumnName(std::string_view name);
bool IsReservedNamespace(std::string_view lower_name);
/// ASCII lower case.
std::string FoldName(std::string_view name);

}  // namespace kalam::catalog
