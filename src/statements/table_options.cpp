// Reading and checking the options of CREATE TABLE.
#include "statements/table_options.h"

#include <charconv>

namespace kalam::statements {
namespace {

using catalog::FoldName;
using catalog::TableType;

constexpr uint64_t kFlushRowsEnd = 1'000'000;
constexpr uint64_t kFlushSecondsEnd = 86'400;

Status Invalid(std::string message) { return Status(ErrorKind::InvalidSql, std::move(message)); }

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return number;
}

Result<uint64_t> NumberOption(std::string_view key, std::string_view text) {
  std::optional<uint64_t> number = ParseNumber(Trim(text));
  if (!number) return Invalid("Invalid value '" + std::string(text) + "' for " + std::string(key));
  return *number;
}

bool IsStorageId(std::string_view text) {
  if (text.empty()) return false;
  for (char c : text) {
    const bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                         (c >= '0' && c <= '9') || c == '_' || c == '-';
    if (!allowed) return false;
  }
  return true;
}

Status ParseFlushPart(std::string_view part, catalog::FlushPolicy* policy) {
  const size_t colon = part.find(':');
  const std::string key = FoldName(Trim(part.substr(0, colon)));
  if (key != "rows" && key != "interval") {
    return Invalid("Unknown FLUSH_POLICY key '" + key + "'");
  }
  const std::string_view text = colon == part.npos ? std::string_view() : part.substr(colon + 1);
  KALAM_ASSIGN_OR_RETURN(const uint64_t number, NumberOption("FLUSH_POLICY", text));
  if (key == "rows") {
    if (number == 0) return Invalid("Row limit must be greater than 0");
    if (number >= kFlushRowsEnd) return Invalid("Row limit must be less than 1,000,000");
    policy->row_limit = static_cast<uint32_t>(number);
  } else {
    if (number == 0) return Invalid("Interval must be greater than 0");
    if (number >= kFlushSecondsEnd)
      return Invalid("Interval must be less than 86400 seconds (24 hours)");
    policy->interval_seconds = static_cast<uint32_t>(number);
  }
  return Status::Ok();
}

Result<catalog::FlushPolicy> ParseFlushPolicy(std::string_view text) {
  catalog::FlushPolicy policy;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view part = Trim(text.substr(0, comma));
    text = comma == text.npos ? std::string_view() : text.substr(comma + 1);
    if (part.empty()) continue;
    KALAM_RETURN_IF_ERROR(ParseFlushPart(part, &policy));
  }
  if (policy.row_limit == 0 && policy.interval_seconds == 0) {
    return Invalid("FLUSH_POLICY must specify 'rows' or 'interval' > 0");
  }
  return policy;
}

Status ParseOption(const std::string& key, const std::string& value, GivenTableOptions* given) {
  if (key == "TYPE") {
    given->type = ParseTableType(value);
    if (given->type) return Status::Ok();
    return Invalid("Invalid TYPE option '" + value + "'. Supported: USER, SHARED, STREAM");
  }
  if (key == "STORAGE_ID") {
    if (!IsStorageId(value)) {
      return Invalid("Invalid STORAGE_ID '" + value +
                     "'. Only alphanumeric characters, underscores and hyphens are allowed.");
    }
    given->options.storage_id = value;
    return Status::Ok();
  }
  if (key == "USE_USER_STORAGE") {
    given->options.use_user_storage = FoldName(value) == "true";
    return Status::Ok();
  }
  if (key == "FLUSH_POLICY") {
    KALAM_ASSIGN_OR_RETURN(given->options.flush_policy, ParseFlushPolicy(value));
    return Status::Ok();
  }
  if (key == "DELETED_RETENTION_HOURS") {
    KALAM_ASSIGN_OR_RETURN(const uint64_t hours, NumberOption(key, value));
    if (hours > UINT32_MAX) return Invalid("Invalid value '" + value + "' for " + key);
    given->options.deleted_retention_hours = static_cast<uint32_t>(hours);
    return Status::Ok();
  }
  if (key == "TTL_SECONDS") {
    KALAM_ASSIGN_OR_RETURN(given->options.ttl_seconds, NumberOption(key, value));
    // A century: beyond it the expiry time of a row would not fit in microseconds for long.
    constexpr uint64_t kTtlSecondsMax = 3'155'760'000;
    if (given->options.ttl_seconds == 0) return Invalid("TTL_SECONDS must be greater than 0");
    if (given->options.ttl_seconds > kTtlSecondsMax)
      return Invalid("TTL_SECONDS must be at most 3155760000");
    given->has_ttl = true;
    return Status::Ok();
  }
  if (key == "MAX_BUFFER") {
    KALAM_ASSIGN_OR_RETURN(given->options.max_buffer, ParseMaxBuffer(value));
    given->has_max_buffer = true;
    return Status::Ok();
  }
  if (key == "ACCESS_LEVEL") {
    auto level = ParseAccessLevel(value);
    if (!level) {
      return Invalid("Invalid ACCESS_LEVEL '" + value +
                     "'. Supported: PUBLIC, PRIVATE, RESTRICTED, DBA");
    }
    given->options.access_level = *level;
    given->has_access_level = true;
    return Status::Ok();
  }
  return Invalid("Unknown table option '" + key + "'");
}

}  // namespace

std::optional<TableType> ParseTableType(std::string_view text) {
  const std::string name = FoldName(text);
  if (name == "user") return TableType::kUser;
  if (name == "shared") return TableType::kShared;
  if (name == "stream") return TableType::kStream;
  return std::nullopt;
}

std::optional<catalog::AccessLevel> ParseAccessLevel(std::string_view text) {
  using catalog::AccessLevel;
  const std::string name = FoldName(text);
  for (AccessLevel level :
       {AccessLevel::kPublic, AccessLevel::kPrivate, AccessLevel::kRestricted, AccessLevel::kDba}) {
    if (name == catalog::AccessLevelLowerName(level)) return level;
  }
  return std::nullopt;
}

Result<uint32_t> ParseMaxBuffer(std::string_view text) {
  // Every read of a table that has one walks over so many rows at most.
  constexpr uint64_t kMaxBufferEnd = 10'000'000;
  KALAM_ASSIGN_OR_RETURN(const uint64_t rows, NumberOption("MAX_BUFFER", text));
  if (rows == 0) return Invalid("MAX_BUFFER must be greater than 0");
  if (rows >= kMaxBufferEnd) return Invalid("MAX_BUFFER must be less than 10,000,000");
  return static_cast<uint32_t>(rows);
}

Result<GivenTableOptions> ParseTableOptions(
    const std::vector<std::pair<std::string, std::string>>& options) {
  GivenTableOptions given;
  for (const auto& [key, value] : options) KALAM_RETURN_IF_ERROR(ParseOption(key, value, &given));
  return given;
}

Status CheckTableOptions(const GivenTableOptions& given, TableType type) {
  if (given.options.use_user_storage && type != TableType::kUser) {
    return Invalid("USE_USER_STORAGE is only supported for USER tables");
  }
  if (type == TableType::kStream && !given.has_ttl)
    return Invalid("STREAM tables must specify 'TTL_SECONDS'");
  if (type != TableType::kStream && given.has_ttl) {
    return Invalid("TTL_SECONDS is only supported for STREAM tables");
  }
  if (type != TableType::kStream && given.has_max_buffer) {
    return Invalid("MAX_BUFFER is only supported for STREAM tables");
  }
  if (type != TableType::kShared && given.has_access_level) {
    return Invalid("ACCESS_LEVEL is only supported for SHARED tables");
  }
  return Status::Ok();
}

}  // namespace kalam::statements
