// Drives the engine's own Parquet scan over cold files of a source.
#include "analytics/plugin/parquet_scan.h"

#include <algorithm>
#include <duckdb/catalog/catalog.hpp>
#include <duckdb/catalog/catalog_entry/table_function_catalog_entry.hpp>
#include <duckdb/common/multi_file/multi_file_list.hpp>
#include <duckdb/common/multi_file/multi_file_reader.hpp>
#include <duckdb/parser/expression/constant_expression.hpp>
#include <duckdb/parser/tableref/table_function_ref.hpp>
#include <duckdb/planner/filter/constant_filter.hpp>

#include "analytics/plugin/private_files.h"
#include "analytics/plugin/value_mapping.h"

namespace kalam::analytics {
namespace {

using duckdb::LogicalType;

/// Carries the shape of the rows to the reader that the engine makes from the function.
struct RowShape : public duckdb::TableFunctionInfo {
  duckdb::vector<duckdb::MultiFileColumnDefinition> columns;
};

/// Columns by field id, without opening a file for it: files of other schema versions have other
/// names, types and numbers of columns.
class ColdFileReader : public duckdb::MultiFileReader {
 public:
  explicit ColdFileReader(duckdb::shared_ptr<RowShape> shape) : shape_(std::move(shape)) {}

  using duckdb::MultiFileReader::CreateFileList;
  duckdb::shared_ptr<duckdb::MultiFileList> CreateFileList(
      duckdb::ClientContext&, const duckdb::vector<duckdb::string>& paths,
      const duckdb::FileGlobInput&) override {
    duckdb::vector<duckdb::OpenFileInfo> files(paths.begin(), paths.end());
    return duckdb::make_shared_ptr<duckdb::SimpleMultiFileList>(std::move(files));
  }
  bool Bind(duckdb::MultiFileOptions&, duckdb::MultiFileList&,
            duckdb::vector<LogicalType>& return_types, duckdb::vector<duckdb::string>& names,
            duckdb::MultiFileReaderBindData& bind_data) override {
    for (const auto& column : shape_->columns) {
      names.push_back(column.name);
      return_types.push_back(column.type);
    }
    bind_data.schema = shape_->columns;
    bind_data.mapping = duckdb::MultiFileColumnMappingMode::BY_FIELD_ID;
    return true;
  }
  duckdb::unique_ptr<duckdb::MultiFileReader> Copy() const override {
    return duckdb::make_uniq<ColdFileReader>(shape_);
  }

 private:
  const duckdb::shared_ptr<RowShape> shape_;
};

duckdb::unique_ptr<duckdb::MultiFileReader> MakeReader(const duckdb::TableFunction& function) {
  auto shape = duckdb::shared_ptr_cast<duckdb::TableFunctionInfo, RowShape>(function.function_info);
  return duckdb::make_uniq<ColdFileReader>(std::move(shape));
}

duckdb::MultiFileColumnDefinition Defined(const std::string& name, LogicalType type,
                                          int32_t field_id, duckdb::Value absent) {
  duckdb::MultiFileColumnDefinition column(name, type);
  column.identifier = duckdb::Value::INTEGER(field_id);
  column.default_expression =
      duckdb::make_uniq<duckdb::ConstantExpression>(absent.DefaultCastAs(type));
  return column;
}

/// The columns of the source, then the user column.
duckdb::shared_ptr<RowShape> ShapeOf(const ParquetRequest& request) {
  const tables::ColdFiles& cold = *request.cold;
  auto shape = duckdb::make_shared_ptr<RowShape>();
  for (size_t i = 0; i < request.columns.size(); ++i) {
    const LogicalType type = EngineType(request.columns[i].type);
    const Value& absent = cold.absent_values()[i];
    shape->columns.push_back(
        Defined(request.columns[i].name, type, cold.field_ids()[i],
                absent.is_null() ? duckdb::Value(type) : EngineValue(absent.datum())));
  }
  // A file of one scope lacks it, because all its rows count.
  shape->columns.push_back(Defined("_userid", LogicalType::VARCHAR, cold.user_field_id(),
                                   duckdb::Value(cold.user_id())));
  return shape;
}

duckdb::ExpressionType ComparisonOf(tables::ScanHint::Op op) {
  switch (op) {
    case tables::ScanHint::Op::kEqual:
      return duckdb::ExpressionType::COMPARE_EQUAL;
    case tables::ScanHint::Op::kLess:
      return duckdb::ExpressionType::COMPARE_LESSTHAN;
    case tables::ScanHint::Op::kLessEqual:
      return duckdb::ExpressionType::COMPARE_LESSTHANOREQUALTO;
    case tables::ScanHint::Op::kGreater:
      return duckdb::ExpressionType::COMPARE_GREATERTHAN;
    case tables::ScanHint::Op::kGreaterEqual:
      break;
  }
  return duckdb::ExpressionType::COMPARE_GREATERTHANOREQUALTO;
}

}  // namespace

ParquetScan::ParquetScan(duckdb::ClientContext& context, QueryState& query,
                         ParquetRequest request) {
  auto& entry =
      duckdb::Catalog::GetSystemCatalog(context).GetEntry<duckdb::TableFunctionCatalogEntry>(
          context, DEFAULT_SCHEMA, "parquet_scan");
  function_ =
      entry.functions.GetFunctionByArguments(context, {LogicalType::LIST(LogicalType::VARCHAR)});
  function_.function_info = ShapeOf(request);
  function_.get_multi_file_reader = MakeReader;

  std::vector<std::string> names;
  for (const size_t index : request.files) {
    const tables::ColdFile& file = request.cold->files()[index];
    names.push_back(kPrivateScheme + file.name);
    query.Grant(names.back(), PrivateFile{{}, {request.cold, &file}});
  }
  Bind(context, names);

  for (const uint32_t column : request.wanted) Position(column);
  if (request.file_index) Position(duckdb::MultiFileReader::COLUMN_IDENTIFIER_FILE_INDEX);
  if (request.row_number) Position(duckdb::MultiFileReader::COLUMN_IDENTIFIER_FILE_ROW_NUMBER);
  AddFilters(request);
  if (column_ids_.empty()) Position(duckdb::COLUMN_IDENTIFIER_EMPTY);
  duckdb::TableFunctionInitInput input(bind_data_.get(), column_ids_, {}, &filters_);
  global_ = function_.init_global(context, input);
}

void ParquetScan::Bind(duckdb::ClientContext& context, const std::vector<std::string>& names) {
  duckdb::vector<duckdb::Value> paths(names.begin(), names.end());
  duckdb::vector<duckdb::Value> inputs = {
      duckdb::Value::LIST(LogicalType::VARCHAR, std::move(paths))};
  duckdb::named_parameter_map_t parameters;
  duckdb::vector<LogicalType> table_types;
  duckdb::vector<duckdb::string> table_names, bound_names;
  const duckdb::TableFunctionRef reference;
  duckdb::TableFunctionBindInput input(inputs, parameters, table_types, table_names,
                                       function_.function_info.get(), nullptr, function_,
                                       reference);
  bind_data_ = function_.bind(context, input, bound_types_, bound_names);
  function_.get_virtual_columns(context, bind_data_.get());
}

duckdb::idx_t ParquetScan::Position(duckdb::column_t column) {
  const auto found = std::find(column_ids_.begin(), column_ids_.end(), column);
  if (found != column_ids_.end()) return static_cast<duckdb::idx_t>(found - column_ids_.begin());
  column_ids_.push_back(column);
  if (column < bound_types_.size()) {
    types_.push_back(bound_types_[column]);
  } else if (column == duckdb::COLUMN_IDENTIFIER_EMPTY) {
    types_.push_back(LogicalType::BOOLEAN);
  } else {
    const bool is_row = column == duckdb::MultiFileReader::COLUMN_IDENTIFIER_FILE_ROW_NUMBER;
    types_.push_back(is_row ? LogicalType::BIGINT : LogicalType::UBIGINT);
  }
  return column_ids_.size() - 1;
}

void ParquetScan::AddFilters(const ParquetRequest& request) {
  const auto add = [this](duckdb::column_t column, duckdb::ExpressionType comparison,
                          duckdb::Value constant) {
    filters_.PushFilter(duckdb::ColumnIndex(Position(column)),
                        duckdb::make_uniq<duckdb::ConstantFilter>(comparison, std::move(constant)));
  };
  bool tombstones = false, many_scopes = false;
  for (const size_t index : request.files) {
    const tables::ColdFile& file = request.cold->files()[index];
    tombstones |= file.tombstone_count > 0;
    many_scopes |= file.many_scopes;
  }
  if (request.live_only && tombstones) {
    add(request.cold->deleted_column(), duckdb::ExpressionType::COMPARE_EQUAL,
        duckdb::Value::BOOLEAN(false));
  }
  if (many_scopes) {
    add(request.columns.size(), duckdb::ExpressionType::COMPARE_EQUAL,
        duckdb::Value(request.cold->user_id()));
  }
  for (const tables::ScanHint& hint : request.hints) {
    duckdb::Value constant = EngineValue(hint.value.datum());
    if (constant.IsNull() || !constant.DefaultTryCastAs(bound_types_[hint.column])) continue;
    add(hint.column, ComparisonOf(hint.op), std::move(constant));
  }
}

duckdb::unique_ptr<duckdb::LocalTableFunctionState> ParquetScan::OpenLocal(
    duckdb::ExecutionContext& context) {
  duckdb::TableFunctionInitInput input(bind_data_.get(), column_ids_, {}, &filters_);
  return function_.init_local(context, input, global_.get());
}

void ParquetScan::Next(duckdb::ClientContext& context, duckdb::LocalTableFunctionState* local,
                       duckdb::DataChunk& chunk) {
  chunk.Reset();
  if (local == nullptr) return;
  duckdb::TableFunctionInput input(bind_data_.get(), local, global_.get());
  function_.function(context, input, chunk);
}

}  // namespace kalam::analytics
