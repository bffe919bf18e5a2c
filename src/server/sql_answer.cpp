// Writing SQL answers.
#include "server/sql_answer.h"

#include <fmt/format.h>

#include <utility>

#include "types/convert.h"

namespace kalam::server {
namespace {

constexpr size_t kFirstBytes = 512;

}  // namespace

std::string SqlAnswerWriter::Take() { return std::exchange(out_, std::string()); }

// Not before there is something to write: a statement that waits for its commit holds no buffer.
void SqlAnswerWriter::Open() {
  if (std::exchange(opened_, true)) return;
  out_.reserve(kFirstBytes);
  out_ += "{\"results\":[";
}

void SqlAnswerWriter::BeginResult() {
  Open();
  if (result_count_++ > 0) out_ += ',';
  row_count_ = 0;
}

void SqlAnswerWriter::BeginRows(const ResultSchema& schema) {
  BeginResult();
  out_ += '{';
  if (!schema.empty()) {
    out_ += "\"schema\":[";
    for (size_t i = 0; i < schema.size(); ++i) {
      const ResultColumn& column = schema[i];
      out_ += i > 0 ? ",{\"name\":" : "{\"name\":";
      AppendJsonString(column.name, &out_);
      out_ += ",\"data_type\":";
      out_ += WireJson(column.type);
      fmt::format_to(std::back_inserter(out_), ",\"index\":{}", i);
      std::string flags;
      if (column.primary_key) flags += ",\"pk\"";
      if (column.not_null) flags += ",\"nn\"";
      if (column.unique) flags += ",\"uq\"";
      if (!flags.empty()) {
        out_ += ",\"flags\":[";
        out_.append(flags, 1);
        out_ += ']';
      }
      out_ += '}';
    }
    out_ += "],";
  }
  out_ += "\"rows\":[";
  rows_open_ = true;
}

void SqlAnswerWriter::BeginRow() {
  out_ += row_count_++ > 0 ? ",[" : "[";
  first_cell_ = true;
}

void SqlAnswerWriter::Cell(const Datum& cell, const DataType& type) {
  if (!std::exchange(first_cell_, false)) out_ += ',';
  AppendCellJson(cell, type, &out_);
}

void SqlAnswerWriter::EndRows(std::string_view as_user, std::string_view notice) {
  rows_open_ = false;
  fmt::format_to(std::back_inserter(out_), "],\"row_count\":{},", row_count_);
  if (!notice.empty()) {
    out_ += "\"message\":";
    AppendJsonString(notice, &out_);
    out_ += ',';
  }
  out_ += "\"as_user\":";
  AppendJsonString(as_user, &out_);
  out_ += '}';
}

void SqlAnswerWriter::Command(int64_t row_count, const std::optional<std::string>& message,
                              std::string_view as_user) {
  BeginResult();
  fmt::format_to(std::back_inserter(out_), "{{\"row_count\":{},", row_count);
  if (message) {
    out_ += "\"message\":";
    AppendJsonString(*message, &out_);
    out_ += ',';
  }
  out_ += "\"as_user\":";
  AppendJsonString(as_user, &out_);
  out_ += '}';
}

void SqlAnswerWriter::FinishWithSuccess(double took_ms, bool null_error) {
  Open();
  fmt::format_to(std::back_inserter(out_), "],\"status\":\"success\",\"took\":{:.3f}{}}}", took_ms,
                 null_error ? ",\"error\":null" : "");
}

void SqlAnswerWriter::FinishWithError(std::string_view code, std::string_view message,
                                      std::string_view details, std::string_view as_user,
                                      double took_ms) {
  Open();
  if (rows_open_) EndRows(as_user, "");
  fmt::format_to(std::back_inserter(out_),
                 "],\"status\":\"error\",\"took\":{:.3f},\"error\":{{\"code\":", took_ms);
  AppendJsonString(code, &out_);
  out_ += ",\"message\":";
  AppendJsonString(message, &out_);
  if (!details.empty()) {
    out_ += ",\"details\":";
    AppendJsonString(details, &out_);
  }
  out_ += "}}";
}

}  // namespace kalam::server
