// Functions that give a new id for every row.
#include <duckdb/common/types/data_chunk.hpp>
#include <duckdb/function/scalar_function.hpp>
#include <duckdb/main/extension/extension_loader.hpp>

#include "analytics/plugin/functions.h"
#include "base/clock.h"
#include "base/id_generators.h"

namespace kalam::analytics {
namespace {

using duckdb::LogicalType;

void Register(duckdb::ExtensionLoader& loader, const char* name, const LogicalType& type,
              duckdb::scalar_function_t function) {
  duckdb::ScalarFunction scalar(name, {}, type, std::move(function));
  scalar.stability = duckdb::FunctionStability::VOLATILE;
  loader.RegisterFunction(std::move(scalar));
}

/// Fills `result` with one text a row.
template <typename Make>
void FillTexts(duckdb::idx_t count, duckdb::Vector& result, Make make) {
  auto* texts = duckdb::FlatVector::GetData<duckdb::string_t>(result);
  for (duckdb::idx_t row = 0; row < count; ++row)
    texts[row] = duckdb::StringVector::AddString(result, make());
}

}  // namespace

void RegisterIds(duckdb::ExtensionLoader& loader, std::function<int64_t()> next_snowflake_id) {
  Register(loader, "kalam_snowflake_id", LogicalType::BIGINT,
           [next = std::move(next_snowflake_id)](duckdb::DataChunk& arguments,
                                                 duckdb::ExpressionState&, duckdb::Vector& result) {
             if (!next) throw duckdb::InvalidInputException("SNOWFLAKE_ID() is not available here");
             auto* ids = duckdb::FlatVector::GetData<int64_t>(result);
             for (duckdb::idx_t row = 0; row < arguments.size(); ++row) ids[row] = next();
           });
  Register(loader, "kalam_uuid_v7", LogicalType::VARCHAR,
           [](duckdb::DataChunk& arguments, duckdb::ExpressionState&, duckdb::Vector& result) {
             FillTexts(arguments.size(), result, [] { return NewUuidV7Text(SystemClock()); });
           });
  Register(loader, "kalam_ulid", LogicalType::VARCHAR,
           [](duckdb::DataChunk& arguments, duckdb::ExpressionState&, duckdb::Vector& result) {
             FillTexts(arguments.size(), result, [] { return NewUlid(SystemClock()); });
           });
}

}  // namespace kalam::analytics
