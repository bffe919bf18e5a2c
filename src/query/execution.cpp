// Limits and values of one execution.
#include "query/execution.h"

#include <fmt/core.h>

namespace kalam::query {

RunLimits RunLimits::Of(const StatementContext& context, const Clock& clock) {
  return {&clock, context.deadline_steady_us, context.cancelled, context.memory,
          context.memory_max_bytes};
}

Status RunLimits::Check() const {
  if (deadline_steady_us != 0 && clock->SteadyUs() > deadline_steady_us) {
    return Status(ErrorKind::Timeout, "the statement took longer than its time limit");
  }
  if (cancelled && cancelled()) return Status(ErrorKind::Cancelled, "the statement was cancelled");
  return {};
}

Status StatementMemory::Reserve(int64_t bytes) {
  if (limits_.memory_max_bytes > 0 && used_bytes_ + bytes > limits_.memory_max_bytes) {
    return Status(
        ErrorKind::MemoryExceeded,
        fmt::format(
            "the statement needs more than its {} bytes of memory; narrow it or add a LIMIT",
            limits_.memory_max_bytes));
  }
  if (limits_.memory != nullptr && !limits_.memory->TryCharge(bytes)) {
    return Status(ErrorKind::MemoryPressure,
                  "The server is short of memory and cannot finish this statement now; try again");
  }
  used_bytes_ += bytes;
  return {};
}

void StatementMemory::Release(int64_t bytes) {
  if (bytes == 0) return;
  if (limits_.memory != nullptr) limits_.memory->Release(bytes);
  used_bytes_ -= bytes;
}

StatementValues StatementValuesOf(const StatementContext& context, IdSource* ids) {
  return {context.caller.user_id, std::string(catalog::RoleName(context.caller.role)),
          context.now_us, ids};
}

Evaluation::Evaluation(const ConstantPool& constants, std::span<const Value> parameters,
                       StatementValues statement)
    : pool_(constants), parameters_(parameters), statement_(std::move(statement)) {}

Status Evaluation::Bind() {
  KALAM_RETURN_IF_ERROR(pool_.Bind(parameters_, &statement_arena_, &constants_));
  row_context_.constants = constants_;
  row_context_.statement = &statement_;
  row_context_.arena = &row_arena_;
  row_context_.vector_text = &vector_text_;
  return {};
}

EvalContext Evaluation::ForStatement() {
  EvalContext context = row_context_;
  context.arena = &statement_arena_;
  return context;
}

EvalContext& Evaluation::ForRow(std::span<const Datum> cells) {
  row_arena_.Reset();
  row_context_.cells = cells;
  return row_context_;
}

}  // namespace kalam::query
