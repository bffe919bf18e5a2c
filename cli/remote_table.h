// What a server tells of its tables.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "parquet_rows.h"
#include "session.h"

namespace kalam::cli {

/// The rows of an answer as the server wrote them.
struct RemoteRows {
  std::vector<std::string> names;
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();

  size_t Index(std::string_view name) const;
};
/// Errors: those of the request; InvalidInput when the server refuses it.
Result<RemoteRows> Ask(Session& session, const std::string& sql);

struct RemoteColumn {
  std::string name, type, default_text;
  bool is_nullable = true, is_primary_key = false;
};
/// The columns of a table but the server's own. Errors: as Ask.
Result<std::vector<RemoteColumn>> DescribeTable(Session& session, const std::string& qualified);
/// Their types. Errors: InvalidInput (a type of a newer server).
Result<std::vector<NamedType>> TypesOf(const std::vector<RemoteColumn>& columns);

/// Rows of one scope as INSERT statements of a bounded size.
struct InsertTarget {
  std::string qualified;  // the table, in quotes
  std::string user;       // EXECUTE AS; empty: as ourselves
  std::vector<NamedType> columns;
  /// A cell of a FILE column as an expression; without one: the text that is stored.
  std::function<Result<std::string>(std::string_view cell)> file_expression = {};
};
/// Calls `visit` with every statement, without a `;`. Errors: InvalidInput, those of `visit`.
Status ForEachInsert(const std::string& parquet_path, const InsertTarget& target,
                     const std::function<Status(const std::string& statement)>& visit);

}  // namespace kalam::cli
