// From the JSON of a SQL answer to text cells.
#include <nlohmann/json.hpp>

#include "session.h"

namespace kalam::cli {
namespace {

using Json = nlohmann::ordered_json;

TextCell ToCell(const Json& value, const Json& type, TimestampFormat timestamps, int64_t now_us) {
  if (value.is_null()) return {"", true};
  if (value.is_string()) return {value.get<std::string>(), false};
  const bool is_time = type.is_string() && (type == "Timestamp" || type == "DateTime");
  if (is_time && value.is_number_integer()) {
    return {FormatTimestampCell(value.get<int64_t>(), timestamps, now_us), false};
  }
  if (value.is_number_integer() && type.is_string() && type == "Date") {
    return {FormatTimestampCell(value.get<int64_t>() * 86'400'000'000,
                                TimestampFormat::kIso8601Date, now_us),
            false};
  }
  if (value.is_number_integer() && type.is_string() && type == "Time") {
    const std::string text =
        FormatTimestampCell(value.get<int64_t>(), TimestampFormat::kIso8601, now_us);
    return {text.substr(11, 12), false};
  }
  return {value.dump(-1, ' ', false, Json::error_handler_t::replace), false};
}

ResultEntry ToEntry(const Json& result, TimestampFormat timestamps, int64_t now_us) {
  ResultEntry entry;
  entry.row_count = result.value("row_count", int64_t{0});
  entry.message = result.value("message", std::string());
  entry.as_user = result.value("as_user", std::string());
  entry.has_rows = result.contains("rows");
  // Rows come with a message only when a configured limit cut them.
  if (entry.has_rows) entry.notice = entry.message;
  if (!entry.has_rows) return entry;
  std::vector<Json> types;
  if (result.contains("schema")) {
    for (const Json& column : result["schema"]) {
      entry.table.columns.push_back(column.value("name", std::string()));
      types.push_back(column.value("data_type", Json()));
    }
  }
  for (const Json& row : result["rows"]) {
    std::vector<TextCell> cells;
    for (size_t i = 0; i < row.size(); ++i) {
      cells.push_back(ToCell(row[i], i < types.size() ? types[i] : Json(), timestamps, now_us));
    }
    entry.table.rows.push_back(std::move(cells));
  }
  return entry;
}

}  // namespace

Result<Answer> ParseAnswer(const client::HttpReply& reply, TimestampFormat timestamps,
                           int64_t now_us) {
  Answer answer;
  answer.raw = reply.body;
  const Json body = Json::parse(reply.body, nullptr, false);
  if (!body.is_object()) {
    return Status(ErrorKind::InvalidInput, "Server error (" + std::to_string(reply.status) +
                                               "): " + reply.body.substr(0, 300));
  }
  try {
    answer.took_ms = body.value("took", 0.0);
    const Json error = body.value("error", Json());
    if (error.is_object()) {
      answer.error_code = error.value("code", std::string());
      answer.error_message = error.value("message", std::string());
      answer.error_details = error.contains("details") && error["details"].is_string()
                                 ? error["details"].get<std::string>()
                                 : std::string();
    } else if (error.is_string()) {
      // Refusals before a statement is looked at: {"error": slug, "message": text}.
      answer.error_code = error.get<std::string>();
      answer.error_message = body.value("message", std::string());
    }
    answer.ok = reply.status == 200 && answer.error_code.empty();
    if (body.contains("results")) {
      for (const Json& result : body["results"])
        answer.results.push_back(ToEntry(result, timestamps, now_us));
    }
  } catch (const Json::exception& failure) {
    return Status(ErrorKind::InvalidInput,
                  std::string("Unexpected answer of the server: ") + failure.what());
  }
  return answer;
}

}  // namespace kalam::cli
