// Which names namespaces, tables and columns may have.
#include <algorithm>
#include <array>

#include "catalog/schema.h"

namespace kalam::catalog {
namespace {

constexpr size_t kNameBytesMax = 64;

// All lists are sorted: they are searched by halving.
constexpr std::array<std::string_view, 13> kReservedNamespaces = {
    "admin", "datafusion", "default", "information_schema", "internal",
    "kalam", "kalamdb",    "main",    "pg_catalog",         "root",
    "sql",   "sys",        "system"};

constexpr std::array<std::string_view, 11> kReservedColumns = {
    "_created", "_deleted", "_hash",      "_id",      "_key",    "_row_id",
    "_rowid",   "_seq",     "_timestamp", "_updated", "_version"};

constexpr std::array<std::string_view, 73> kReservedWords = {"alter",
                                                             "analyze",
                                                             "anti",
                                                             "asof",
                                                             "cluster",
                                                             "connect",
                                                             "create",
                                                             "cross",
                                                             "database",
                                                             "delete",
                                                             "distribute",
                                                             "drop",
                                                             "end",
                                                             "except",
                                                             "exclude",
                                                             "exists",
                                                             "explain",
                                                             "fetch",
                                                             "for",
                                                             "format",
                                                             "from",
                                                             "full",
                                                             "global",
                                                             "group",
                                                             "having",
                                                             "index",
                                                             "inner",
                                                             "insert",
                                                             "intersect",
                                                             "interval",
                                                             "into",
                                                             "join",
                                                             "lateral",
                                                             "left",
                                                             "limit",
                                                             "match_condition",
                                                             "match_recognize",
                                                             "minus",
                                                             "natural",
                                                             "offset",
                                                             "on",
                                                             "open",
                                                             "order",
                                                             "outer",
                                                             "partition",
                                                             "pivot",
                                                             "prewhere",
                                                             "qualify",
                                                             "returning",
                                                             "right",
                                                             "sample",
                                                             "schema",
                                                             "select",
                                                             "semi",
                                                             "set",
                                                             "settings",
                                                             "sort",
                                                             "start",
                                                             "struct",
                                                             "table",
                                                             "tables",
                                                             "tablesample",
                                                             "tablespace",
                                                             "top",
                                                             "trim",
                                                             "union",
                                                             "unpivot",
                                                             "update",
                                                             "using",
                                                             "view",
                                                             "where",
                                                             "window",
                                                             "with"};

static_assert(std::is_sorted(kReservedNamespaces.begin(), kReservedNamespaces.end()));
static_assert(std::is_sorted(kReservedColumns.begin(), kReservedColumns.end()));
static_assert(std::is_sorted(kReservedWords.begin(), kReservedWords.end()));

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

Status Refuse(std::string message) {
  return Status(ErrorKind::InvalidOperation, std::move(message));
}

Status CheckCharacters(std::string_view name) {
  if (name.empty()) return Refuse("Name cannot be empty");
  if (name.size() > kNameBytesMax) {
    return Refuse("Name is too long (" + std::to_string(name.size()) + " characters, max 64)");
  }
  if (name.front() == '_') {
    return Refuse("Name cannot start with underscore (reserved for system columns)");
  }
  if (IsDigit(name.front())) return Refuse("Name cannot start with a number");
  if (name.find(' ') != name.npos) return Refuse("Name cannot contain spaces");
  for (char c : name) {
    if (!IsLetter(c) && !IsDigit(c) && c != '_') {
      return Refuse("Name '" + std::string(name) +
                    "' contains invalid characters (only alphanumeric and underscore allowed)");
    }
  }
  return Status::Ok();
}

Status CheckReservedWord(std::string_view name, std::string_view lower_name) {
  if (std::binary_search(kReservedWords.begin(), kReservedWords.end(), lower_name)) {
    return Refuse("Name '" + std::string(name) + "' is a reserved SQL keyword and cannot be used");
  }
  return Status::Ok();
}

}  // namespace

std::string FoldName(std::string_view name) {
  std::string folded(name);
  for (char& c : folded) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return folded;
}

bool IsReservedNamespace(std::string_view lower_name) {
  return std::binary_search(kReservedNamespaces.begin(), kReservedNamespaces.end(), lower_name);
}

Status ValidateNamespaceName(std::string_view name) {
  KALAM_RETURN_IF_ERROR(CheckCharacters(name));
  const std::string lower_name = FoldName(name);
  if (IsReservedNamespace(lower_name)) {
    return Refuse("Namespace '" + std::string(name) + "' is reserved and cannot be used");
  }
  return CheckReservedWord(name, lower_name);
}

Status ValidateTableName(std::string_view name) {
  KALAM_RETURN_IF_ERROR(CheckCharacters(name));
  return CheckReservedWord(name, FoldName(name));
}

Status ValidateColumnName(std::string_view name) {
  const std::string lower_name = FoldName(name);
  Status status;
  if (std::binary_search(kReservedColumns.begin(), kReservedColumns.end(), lower_name)) {
    status = Refuse("Column name '" + std::string(name) + "' is reserved and cannot be used");
  }
  if (status.ok()) status = CheckCharacters(name);
  if (status.ok()) status = CheckReservedWord(name, lower_name);
  if (status.ok()) return status;
  return std::move(status).WithContext("Invalid column name '" + std::string(name) + "'");
}

}  // namespace kalam::catalog
