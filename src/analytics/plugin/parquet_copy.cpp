// The engine's statement that writes a Parquet file from source 0 of the running statement.
#include "analytics/plugin/parquet_copy.h"

#include <duckdb/parser/expression/cast_expression.hpp>
#include <duckdb/parser/expression/columnref_expression.hpp>
#include <duckdb/parser/expression/constant_expression.hpp>
#include <duckdb/parser/expression/function_expression.hpp>
#include <duckdb/parser/parsed_data/copy_info.hpp>
#include <duckdb/parser/query_node/select_node.hpp>
#include <duckdb/parser/tableref/table_function_ref.hpp>

#include "analytics/plugin/scan_function.h"

namespace kalam::analytics {
namespace {

using ExpressionPtr = duckdb::unique_ptr<duckdb::ParsedExpression>;

/// A column as it is written. The engine writes the elements of a NULL array, which other readers
/// take for a list; a NULL list has none.
ExpressionPtr WrittenColumn(const ResultColumn& column) {
  ExpressionPtr reference = duckdb::make_uniq<duckdb::ColumnRefExpression>(column.name);
  if (column.type.kind != TypeKind::kEmbedding) return reference;
  auto list = duckdb::make_uniq<duckdb::CastExpression>(
      duckdb::LogicalType::LIST(duckdb::LogicalType::FLOAT), std::move(reference));
  list->SetAlias(column.name);
  return std::move(list);
}

duckdb::unique_ptr<duckdb::QueryNode> AllRows(const ResultSchema& columns) {
  duckdb::vector<ExpressionPtr> arguments;
  arguments.push_back(duckdb::make_uniq<duckdb::ConstantExpression>(duckdb::Value::BIGINT(0)));
  auto table = duckdb::make_uniq<duckdb::TableFunctionRef>();
  table->function =
      duckdb::make_uniq<duckdb::FunctionExpression>(kScanFunctionName, std::move(arguments));
  auto select = duckdb::make_uniq<duckdb::SelectNode>();
  for (const ResultColumn& column : columns) select->select_list.push_back(WrittenColumn(column));
  select->from_table = std::move(table);
  return std::move(select);
}

}  // namespace

duckdb::unique_ptr<duckdb::SQLStatement> ParquetCopy(const ParquetFile& file,
                                                     const std::string& target) {
  const ResultSchema& columns = file.source->columns();
  auto copy = duckdb::make_uniq<duckdb::CopyStatement>();
  duckdb::CopyInfo& to = *copy->info;
  to.is_from = false;
  to.file_path = target;
  to.format = "parquet";
  to.is_format_auto_detected = false;
  to.select_statement = AllRows(columns);
  const auto set = [&to](const char* option, duckdb::Value value) {
    to.options[option] = {std::move(value)};
  };
  set("compression", duckdb::Value("zstd"));
  set("compression_level", duckdb::Value::BIGINT(file.compression_level));
  set("row_group_size", duckdb::Value::UBIGINT(static_cast<uint64_t>(file.row_group_rows)));
  set("parquet_version", duckdb::Value("V1"));
  // One thread reads the only part and writes: groups come out full and in order.
  set("preserve_order", duckdb::Value::BOOLEAN(true));
  set("use_tmp_file", duckdb::Value::BOOLEAN(false));
  duckdb::child_list_t<duckdb::Value> field_ids, metadata;
  for (size_t i = 0; i < columns.size(); ++i) {
    field_ids.emplace_back(columns[i].name, duckdb::Value::INTEGER(file.field_ids[i]));
  }
  set("field_ids", duckdb::Value::STRUCT(std::move(field_ids)));
  for (const auto& [key, value] : file.metadata) metadata.emplace_back(key, duckdb::Value(value));
  if (!metadata.empty()) set("kv_metadata", duckdb::Value::STRUCT(std::move(metadata)));
  return std::move(copy);
}

}  // namespace kalam::analytics
