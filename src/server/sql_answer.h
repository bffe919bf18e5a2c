// The JSON answer of a SQL request, written row by row.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "types/row_stream.h"

namespace kalam::server {

/// Writes {"results":[...],"status":...,"took":...,"error":...}: what is known only at the end
/// stands at the end. The bytes so far can be taken away at any time (streaming).
class SqlAnswerWriter : public RowSink {
 public:
  /// A result with rows: BeginRows, then the rows, then EndRows.
  void BeginRows(const ResultSchema& schema);
  void EndRows(std::string_view as_user, std::string_view notice);
  /// A result without rows.
  void Command(int64_t row_count, const std::optional<std::string>& message,
               std::string_view as_user);
  /// The end. `null_error` writes "error":null (answers with a stream of rows).
  void FinishWithSuccess(double took_ms, bool null_error);
  /// The end after rows were given out already; rows that are open are closed.
  /// `details` is left out when it is empty.
  void FinishWithError(std::string_view code, std::string_view message, std::string_view details,
                       std::string_view as_user, double took_ms);

  void BeginRow() override;
  void Cell(const Datum& cell, const DataType& type) override;
  void EndRow() override { out_ += ']'; }
  size_t buffered_bytes() const override { return out_.size(); }

  /// Rows of the result at hand.
  int64_t row_count() const { return row_count_; }
  /// Gives the bytes out and starts an empty buffer.
  std::string Take();

 private:
  void Open();
  void BeginResult();

  std::string out_;
  int64_t row_count_ = 0;
  size_t result_count_ = 0;
  bool opened_ = false;
  bool rows_open_ = false;
  bool first_cell_ = true;
};

}  // namespace kalam::server
