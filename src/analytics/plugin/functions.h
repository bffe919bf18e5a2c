// The scalar functions that give PostgreSQL's meaning where the engine has another one, and those
// that only we have.
#pragma once

#include <cstdint>
#include <functional>

namespace duckdb {
class ExtensionLoader;
}

namespace kalam::analytics {

/// kalam_divide, kalam_modulo: integers truncate, zero is an error. kalam_bigint: a 128-bit sum as
/// BIGINT or an error.
void RegisterArithmetic(duckdb::ExtensionLoader& loader);
/// kalam_snowflake_id(), kalam_uuid_v7(), kalam_ulid(): one value per row.
void RegisterIds(duckdb::ExtensionLoader& loader, std::function<int64_t()> next_snowflake_id);

}  // namespace kalam::analytics
