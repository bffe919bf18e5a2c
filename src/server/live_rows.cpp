// The columns of system.live.
#include "server/live_rows.h"

#include <string_view>
#include <utility>

namespace kalam::server {
namespace {

Value TextOrNull(const std::string& text) {
  return text.empty() ? Value::Null() : Value::Text(text);
}

}  // namespace

std::vector<Value> LiveRow(const live::LiveRecord& record, const ResultSchema& schema) {
  const auto time = [](int64_t us) { return Value(Datum::OfInt(TypeKind::kTimestamp, us)); };
  const std::pair<std::string_view, Value> cells[] = {
      {"live_id", Value::Text(record.live_id)},
      {"connection_id", Value::Text(record.connection_id)},
      {"subscription_id", Value::Text(record.subscription_id)},
      {"namespace_id", Value::Text(record.namespace_id)},
      {"table_name", Value::Text(record.table_name)},
      {"user_id", Value::Text(record.user_id)},
      {"query", Value::Text(record.query)},
      {"options", record.options_json.empty()
                      ? Value::Null()
                      : Value(Datum::Bytes(TypeKind::kJson, record.options_json))},
      {"status", TextOrNull(record.status)},
      {"created_at", time(record.created_at_us)},
      {"last_update", time(record.last_update_us)},
      {"changes", Value::BigInt(record.changes)},
      {"node_id", Value::BigInt(1)},
      {"last_ping_at", time(record.last_ping_us)},
  };
  std::vector<Value> row;
  for (const ResultColumn& column : schema) {
    Value cell = Value::Null();
    for (const auto& [name, value] : cells) {
      if (name == column.name) cell = value;
    }
    row.push_back(std::move(cell));
  }
  return row;
}

}  // namespace kalam::server
