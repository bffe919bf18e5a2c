// The WITH (...) options of CREATE TABLE.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "catalog/schema.h"

namespace kalam::statements {

/// Options as given, each checked on its own.
struct GivenTableOptions {
  std::optional<catalog::TableType> type;
  catalog::TableOptions options;
  bool has_ttl = false;
  bool has_max_buffer = false;
  bool has_access_level = false;
};

/// `options`: keys in upper case, values without quotes. Errors: InvalidSql ("Unknown table option
/// 'X'", ...).
Result<GivenTableOptions> ParseTableOptions(
    const std::vector<std::pair<std::string, std::string>>& options);
/// Whether they fit the table's type. Errors: InvalidSql.
Status CheckTableOptions(const GivenTableOptions& given, catalog::TableType type);
/// Rows of MAX_BUFFER. Errors: InvalidSql.
Result<uint32_t> ParseMaxBuffer(std::string_view text);
/// "USER", "SHARED", "STREAM" in any case.
std::optional<catalog::TableType> ParseTableType(std::string_view text);
/// "PUBLIC", "PRIVATE", "RESTRICTED", "DBA" in any case.
std::optional<catalog::AccessLevel> ParseAccessLevel(std::string_view text);

}  // namespace kalam::statements
