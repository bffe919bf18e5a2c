// Columns from their specification in CREATE and ALTER TABLE, and defaults as text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "catalog/schema.h"
#include "sql/statement.h"

namespace kalam::statements {

/// What DEFAULT `text` gives a column of `type`: a literal, already converted to the type, or one
/// of the functions NOW, CURRENT_TIMESTAMP, SNOWFLAKE_ID, UUID_V7, ULID, CURRENT_USER with or
/// without `()`. Errors: InvalidSql (not a literal and no such function; a literal that the type
/// cannot hold).
Result<catalog::ColumnDefault> ParseDefault(std::string_view text, const DataType& type,
                                            std::string_view column);

/// A column without an id. NOT NULL follows from PRIMARY KEY. AUTO_INCREMENT is DEFAULT
/// SNOWFLAKE_ID(), whose values need 64 bits: SMALLINT and INT become BIGINT then. Errors:
/// InvalidSql (type, default).
Result<catalog::ColumnDefinition> ColumnFromSpec(const sql::ColumnSpec& spec);

/// `_seq` and `_deleted`, which every table has, with the ids `first_id` and `first_id + 1`.
catalog::ColumnDefinition SeqColumn(uint32_t column_id);
catalog::ColumnDefinition DeletedColumn(uint32_t column_id);

/// The default as DESCRIBE shows it: `NOW()`, `'x'`, `TRUE`, `5`; nullopt without one.
std::optional<std::string> DefaultText(const catalog::ColumnDefault& value);
/// As system.columns shows it: `NOW()`, `String("x")`, `Number(5)`.
std::optional<std::string> DefaultDebugText(const catalog::ColumnDefault& value);
/// The name of a default's function ("NOW"); empty for literals and none.
std::string_view DefaultFunctionName(const catalog::ColumnDefault& value);

}  // namespace kalam::statements
