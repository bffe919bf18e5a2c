// Rows of information_schema, for every role, and the static list of data types.
#include <array>

#include "statements/column_definitions.h"
#include "statements/families.h"
#include "statements/system_table_definitions.h"
#include "statements/system_tables.h"

namespace kalam::statements {
namespace {

constexpr std::string_view kCatalogName = "kalam";

struct DatatypeRow {
  std::string_view arrow_type, kalam_type, sql_name, description;
};
constexpr std::array<DatatypeRow, 29> kDatatypes = {{
    {"Boolean", "Boolean", "BOOLEAN", "True or false"},
    {"Int8", "SmallInt", "TINYINT", "8-bit signed integer"},
    {"Int16", "SmallInt", "SMALLINT", "16-bit signed integer"},
    {"Int32", "Int", "INT", "32-bit signed integer"},
    {"Int64", "BigInt", "BIGINT", "64-bit signed integer"},
    {"UInt8", "Int", "TINYINT UNSIGNED", "8-bit unsigned integer"},
    {"UInt16", "Int", "SMALLINT UNSIGNED", "16-bit unsigned integer"},
    {"UInt32", "BigInt", "INT UNSIGNED", "32-bit unsigned integer"},
    {"UInt64", "BigInt", "BIGINT UNSIGNED", "64-bit unsigned integer"},
    {"Float32", "Float", "FLOAT", "32-bit floating point number"},
    {"Float64", "Double", "DOUBLE", "64-bit floating point number"},
    {"Utf8", "Text", "TEXT", "Text in UTF-8"},
    {"LargeUtf8", "Text", "TEXT", "Large text in UTF-8"},
    {"Binary", "Bytes", "BYTES", "Bytes"},
    {"LargeBinary", "Bytes", "BYTES", "Many bytes"},
    {"Timestamp(Microsecond, None)", "Timestamp", "TIMESTAMP", "Microseconds, without a zone"},
    {"Timestamp(Millisecond, None)", "Timestamp", "TIMESTAMP", "Milliseconds, without a zone"},
    {"Timestamp(Nanosecond, None)", "Timestamp", "TIMESTAMP", "Nanoseconds, without a zone"},
    {"Timestamp(Second, None)", "Timestamp", "TIMESTAMP", "Seconds, without a zone"},
    {"Timestamp(Microsecond, Some(\"UTC\"))", "DateTime", "DATETIME", "Microseconds in UTC"},
    {"Timestamp(Millisecond, Some(\"UTC\"))", "DateTime", "DATETIME", "Milliseconds in UTC"},
    {"Date32", "Date", "DATE", "Days since 1970-01-01"},
    {"Date64", "Date", "DATE", "Milliseconds since 1970-01-01"},
    {"Time64(Microsecond)", "Time", "TIME", "Microseconds since midnight"},
    {"Time32(Second)", "Time", "TIME", "Seconds since midnight"},
    {"Time32(Millisecond)", "Time", "TIME", "Milliseconds since midnight"},
    {"FixedSizeBinary(16)", "Uuid", "UUID", "UUID, 16 bytes"},
    {"Decimal128", "Decimal", "DECIMAL", "Exact decimal of up to 38 digits"},
    {"FixedSizeList", "Embedding", "EMBEDDING", "Vector of 32-bit floats"},
}};

bool IsInformationSchema(const catalog::TableDefinition& table) {
  return table.namespace_id == "information_schema";
}

/// Views have no access level of their own: reading one checks the tables behind it.
std::vector<catalog::ViewDefinition> Views(const SystemSources& sources) {
  return sources.services.catalog.ListViews();
}

Value NumberOrNull(bool present, int64_t number) {
  return present ? BigIntCell(number) : Value::Null(TypeKind::kBigInt);
}

int64_t PrecisionOf(const DataType& type) {
  switch (type.kind) {
    case TypeKind::kSmallInt:
      return 16;
    case TypeKind::kInt:
      return 32;
    case TypeKind::kBigInt:
      return 64;
    case TypeKind::kFloat:
      return 24;
    case TypeKind::kDouble:
      return 53;
    case TypeKind::kDecimal:
      return type.precision;
    default:
      return 0;
  }
}

}  // namespace

std::string ArrowTypeName(const DataType& type) {
  switch (type.kind) {
    case TypeKind::kBoolean:
      return "Boolean";
    case TypeKind::kSmallInt:
      return "Int16";
    case TypeKind::kInt:
      return "Int32";
    case TypeKind::kBigInt:
      return "Int64";
    case TypeKind::kFloat:
      return "Float32";
    case TypeKind::kDouble:
      return "Float64";
    case TypeKind::kTimestamp:
      return "Timestamp(Microsecond, None)";
    case TypeKind::kDateTime:
      return "Timestamp(Microsecond, Some(\"UTC\"))";
    case TypeKind::kDate:
      return "Date32";
    case TypeKind::kTime:
      return "Time64(Microsecond)";
    case TypeKind::kBytes:
      return "Binary";
    case TypeKind::kUuid:
      return "FixedSizeBinary(16)";
    case TypeKind::kDecimal:
      return "Decimal128(" + std::to_string(type.precision) + ", " + std::to_string(type.scale) +
             ")";
    case TypeKind::kEmbedding:
      return "FixedSizeList(" + std::to_string(type.dimension) + " x Float32)";
    default:
      return "Utf8";
  }
}

Status ReadDatatypes(const SystemSources&, const catalog::Caller&, RowBuffer* rows) {
  for (const DatatypeRow& row : kDatatypes) {
    rows->Append({TextCell(row.arrow_type), TextCell(row.kalam_type), TextCell(row.sql_name),
                  TextCell(row.description)});
  }
  return Status::Ok();
}

Status ReadSchemata(const SystemSources& sources, const catalog::Caller& caller, RowBuffer* rows) {
  KALAM_ASSIGN_OR_RETURN(const auto namespaces, VisibleNamespaces(sources, caller));
  const Value none = Value::Null(TypeKind::kText);
  for (const catalog::NamespaceDefinition& definition : namespaces) {
    rows->Append({TextCell(kCatalogName), TextCell(definition.id), none, none, none, none, none});
  }
  rows->Append(
      {TextCell(kCatalogName), TextCell("information_schema"), none, none, none, none, none});
  return Status::Ok();
}

Status ReadInformationTables(const SystemSources& sources, const catalog::Caller& caller,
                             RowBuffer* rows) {
  KALAM_ASSIGN_OR_RETURN(const auto tables, VisibleTables(sources, caller, ""));
  for (const catalog::TablePtr& table : tables) {
    rows->Append({TextCell(kCatalogName), TextCell(table->namespace_id), TextCell(table->name),
                  TextCell(IsInformationSchema(*table) ? "VIEW" : "BASE TABLE")});
  }
  for (const catalog::ViewDefinition& view : Views(sources)) {
    rows->Append({TextCell(kCatalogName), TextCell(view.namespace_id), TextCell(view.name),
                  TextCell("VIEW")});
  }
  return Status::Ok();
}

Status ReadInformationViews(const SystemSources& sources, const catalog::Caller& caller,
                            RowBuffer* rows) {
  // The text of a view may tell of tables that the caller does not see.
  const bool admin = catalog::IsAdmin(caller.role);
  for (const catalog::ViewDefinition& view : Views(sources)) {
    rows->Append({TextCell(kCatalogName), TextCell(view.namespace_id), TextCell(view.name),
                  OptionalTextCell(admin ? view.query : std::string()),
                  TextCell(view.default_namespace)});
  }
  return Status::Ok();
}

Status ReadInformationColumns(const SystemSources& sources, const catalog::Caller& caller,
                              RowBuffer* rows) {
  KALAM_ASSIGN_OR_RETURN(const auto tables, VisibleTables(sources, caller, ""));
  const Value no_number = Value::Null(TypeKind::kBigInt);
  for (const catalog::TablePtr& table : tables) {
    int64_t ordinal = 0;
    for (const catalog::ColumnDefinition& column : *table->columns) {
      const int64_t precision = PrecisionOf(column.type);
      const bool decimal = column.type.kind == TypeKind::kDecimal;
      rows->Append({TextCell(kCatalogName), TextCell(table->namespace_id), TextCell(table->name),
                    TextCell(column.name), BigIntCell(++ordinal),
                    OptionalTextCell(DefaultText(column.default_value).value_or("")),
                    TextCell(column.nullable ? "YES" : "NO"), TextCell(ArrowTypeName(column.type)),
                    no_number, no_number, NumberOrNull(precision > 0, precision),
                    NumberOrNull(precision > 0, decimal ? 10 : 2),
                    NumberOrNull(decimal, column.type.scale), no_number,
                    Value::Null(TypeKind::kText)});
    }
  }
  return Status::Ok();
}

}  // namespace kalam::statements
