// Names of data types: from SQL spellings to DataType, and from DataType to SQL and the wire.
#include "types/data_type.h"

#include <fmt/format.h>

#include <array>

namespace kalam {
namespace {

constexpr int kDecimalPrecisionMax = 38;
constexpr int kEmbeddingDimensionMax = 8192;

struct Spelling {
  std::string_view name;
  TypeKind kind;
};

// PostgreSQL's internal names stand beside the SQL ones, because the parser reports either.
constexpr Spelling kSpellings[] = {
    {"boolean", TypeKind::kBoolean},
    {"bool", TypeKind::kBoolean},
    {"smallint", TypeKind::kSmallInt},
    {"int2", TypeKind::kSmallInt},
    {"smallserial", TypeKind::kSmallInt},
    {"serial2", TypeKind::kSmallInt},
    {"int", TypeKind::kInt},
    {"integer", TypeKind::kInt},
    {"int4", TypeKind::kInt},
    {"mediumint", TypeKind::kInt},
    {"serial", TypeKind::kInt},
    {"serial4", TypeKind::kInt},
    {"signed", TypeKind::kInt},
    {"bigint", TypeKind::kBigInt},
    {"int8", TypeKind::kBigInt},
    {"int64", TypeKind::kBigInt},
    {"bigserial", TypeKind::kBigInt},
    {"serial8", TypeKind::kBigInt},
    {"float", TypeKind::kFloat},
    {"real", TypeKind::kFloat},
    {"float4", TypeKind::kFloat},
    {"double", TypeKind::kDouble},
    {"double precision", TypeKind::kDouble},
    {"float8", TypeKind::kDouble},
    {"float64", TypeKind::kDouble},
    {"text", TypeKind::kText},
    {"varchar", TypeKind::kText},
    {"char", TypeKind::kText},
    {"bpchar", TypeKind::kText},
    {"character", TypeKind::kText},
    {"character varying", TypeKind::kText},
    {"char varying", TypeKind::kText},
    {"nchar", TypeKind::kText},
    {"nvarchar", TypeKind::kText},
    {"string", TypeKind::kText},
    {"clob", TypeKind::kText},
    {"enum", TypeKind::kText},
    {"set", TypeKind::kText},
    {"struct", TypeKind::kText},
    {"timestamp", TypeKind::kTimestamp},
    {"timestamptz", TypeKind::kTimestamp},
    {"timestamp with time zone", TypeKind::kTimestamp},
    {"timestamp without time zone", TypeKind::kTimestamp},
    {"datetime", TypeKind::kDateTime},
    {"date", TypeKind::kDate},
    {"time", TypeKind::kTime},
    {"time without time zone", TypeKind::kTime},
    {"json", TypeKind::kJson},
    {"jsonb", TypeKind::kJson},
    {"bytes", TypeKind::kBytes},
    {"bytea", TypeKind::kBytes},
    {"blob", TypeKind::kBytes},
    {"binary", TypeKind::kBytes},
    {"varbinary", TypeKind::kBytes},
    {"embedding", TypeKind::kEmbedding},
    {"uuid", TypeKind::kUuid},
    {"decimal", TypeKind::kDecimal},
    {"numeric", TypeKind::kDecimal},
    {"file", TypeKind::kFile},
};

// Spellings that are known but have no storage; the value is the name that the message shows.
struct Unsupported {
  std::string_view name;
  std::string_view arrow_name;
};
constexpr Unsupported kUnsupportedNumbers[] = {
    {"tinyint", "Int8"},
    {"int1", "Int8"},
    {"tinyint unsigned", "UInt8"},
    {"uint8", "UInt8"},
    {"smallint unsigned", "UInt16"},
    {"uint16", "UInt16"},
    {"unsigned", "UInt32"},
    {"int unsigned", "UInt32"},
    {"integer unsigned", "UInt32"},
    {"uint32", "UInt32"},
    {"bigint unsigned", "UInt64"},
    {"uint64", "UInt64"},
};
constexpr std::string_view kUnsupportedTypes[] = {
    "interval", "timetz", "time with time zone", "money", "bit", "bit varying", "xml", "array",
};

std::string Fold(std::string_view name) {
  std::string folded;
  folded.reserve(name.size());
  bool space = false;
  for (char c : name) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      space = !folded.empty();
      continue;
    }
    if (space) folded.push_back(' ');
    space = false;
    folded.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c);
  }
  constexpr std::string_view kCatalogPrefix = "pg_catalog.";
  if (folded.starts_with(kCatalogPrefix)) folded.erase(0, kCatalogPrefix.size());
  return folded;
}

Result<DataType> DecimalFromModifiers(const int64_t (&modifiers)[2]) {
  if (modifiers[0] == -1) return DataType::Decimal(38, 10);
  int64_t precision = modifiers[0];
  int64_t scale = modifiers[1] == -1 ? 0 : modifiers[1];
  if (precision < 1 || precision > kDecimalPrecisionMax) {
    return Status(ErrorKind::InvalidSql,
                  fmt::format("DECIMAL precision must be between 1 and 38, got {}", precision));
  }
  if (scale < 0 || scale > precision) {
    return Status(ErrorKind::InvalidSql,
                  fmt::format("DECIMAL scale ({}) cannot exceed precision ({})", scale, precision));
  }
  return DataType::Decimal(static_cast<uint8_t>(precision), static_cast<uint8_t>(scale));
}

Result<DataType> EmbeddingFromModifiers(const int64_t (&modifiers)[2]) {
  int64_t dimension = modifiers[0];
  if (dimension == -1 || modifiers[1] != -1) {
    return Status(ErrorKind::InvalidSql,
                  "EMBEDDING type requires exactly one dimension parameter, e.g., EMBEDDING(384)");
  }
  if (dimension < 1) {
    return Status(ErrorKind::InvalidSql, "EMBEDDING dimension must be at least 1");
  }
  if (dimension > kEmbeddingDimensionMax) {
    return Status(ErrorKind::InvalidSql,
                  fmt::format("EMBEDDING dimension must be at most 8192 (found {})", dimension));
  }
  return DataType::Embedding(static_cast<uint16_t>(dimension));
}

}  // namespace

std::string SqlName(const DataType& type) {
  switch (type.kind) {
    case TypeKind::kNull:
      return "NULL";
    case TypeKind::kBoolean:
      return "BOOLEAN";
    case TypeKind::kInt:
      return "INT";
    case TypeKind::kBigInt:
      return "BIGINT";
    case TypeKind::kDouble:
      return "DOUBLE";
    case TypeKind::kFloat:
      return "FLOAT";
    case TypeKind::kText:
      return "TEXT";
    case TypeKind::kTimestamp:
      return "TIMESTAMP";
    case TypeKind::kDate:
      return "DATE";
    case TypeKind::kDateTime:
      return "DATETIME";
    case TypeKind::kTime:
      return "TIME";
    case TypeKind::kJson:
      return "JSON";
    case TypeKind::kBytes:
      return "BYTES";
    case TypeKind::kEmbedding:
      return fmt::format("EMBEDDING({})", type.dimension);
    case TypeKind::kUuid:
      return "UUID";
    case TypeKind::kDecimal:
      return fmt::format("DECIMAL({}, {})", type.precision, type.scale);
    case TypeKind::kSmallInt:
      return "SMALLINT";
    case TypeKind::kFile:
      return "FILE";
    case TypeKind::kInterval:
      return "INTERVAL";
  }
  return "UNKNOWN";
}

std::string WireJson(const DataType& type) {
  switch (type.kind) {
    case TypeKind::kBoolean:
      return R"("Boolean")";
    case TypeKind::kInt:
      return R"("Int")";
    case TypeKind::kBigInt:
      return R"("BigInt")";
    case TypeKind::kDouble:
      return R"("Double")";
    case TypeKind::kFloat:
      return R"("Float")";
    case TypeKind::kTimestamp:
      return R"("Timestamp")";
    case TypeKind::kDate:
      return R"("Date")";
    case TypeKind::kDateTime:
      return R"("DateTime")";
    case TypeKind::kTime:
      return R"("Time")";
    case TypeKind::kJson:
      return R"("Json")";
    case TypeKind::kBytes:
      return R"("Bytes")";
    case TypeKind::kEmbedding:
      return fmt::format(R"({{"Embedding":{}}})", type.dimension);
    case TypeKind::kUuid:
      return R"("Uuid")";
    case TypeKind::kDecimal:
      return fmt::format(R"({{"Decimal":{{"precision":{},"scale":{}}}}})", type.precision,
                         type.scale);
    case TypeKind::kSmallInt:
      return R"("SmallInt")";
    case TypeKind::kFile:
      return R"("File")";
    // Types without a name on the wire show as text.
    case TypeKind::kNull:
    case TypeKind::kText:
    case TypeKind::kInterval:
      return R"("Text")";
  }
  return R"("Text")";
}

Result<DataType> DataTypeFromSql(const TypeSpelling& spelling) {
  std::string name = Fold(spelling.name);
  if (spelling.is_array) return DataType::Of(TypeKind::kText);
  for (const Spelling& known : kSpellings) {
    if (known.name != name) continue;
    if (known.kind == TypeKind::kDecimal) return DecimalFromModifiers(spelling.modifiers);
    if (known.kind == TypeKind::kEmbedding) return EmbeddingFromModifiers(spelling.modifiers);
    return DataType::Of(known.kind);
  }
  for (const Unsupported& number : kUnsupportedNumbers) {
    if (number.name == name) {
      return Status(ErrorKind::InvalidSql,
                    fmt::format("Unsupported Arrow type: {}", number.arrow_name));
    }
  }
  for (std::string_view unsupported : kUnsupportedTypes) {
    if (unsupported == name) {
      return Status(ErrorKind::InvalidSql, fmt::format("Unsupported data type: {}", spelling.name));
    }
  }
  if (name.ends_with("text") || name.ends_with("string")) return DataType::Of(TypeKind::kText);
  return Status(ErrorKind::InvalidSql,
                fmt::format("Unsupported custom data type '{}'", spelling.name));
}

bool IsSerialTypeName(std::string_view name) {
  constexpr std::array<std::string_view, 6> kSerialNames = {"serial",  "smallserial", "bigserial",
                                                            "serial2", "serial4",     "serial8"};
  std::string folded = Fold(name);
  for (std::string_view serial : kSerialNames) {
    if (folded == serial) return true;
  }
  return false;
}

}  // namespace kalam
