// What one running statement may see of the server.
#include "analytics/plugin/query_state.h"

#include <duckdb/common/exception.hpp>
#include <duckdb/storage/buffer_manager.hpp>

namespace kalam::analytics {

QueryState::~QueryState() {
  if (reserved_bytes_ > 0)
    buffers_->FreeReservedMemory(static_cast<duckdb::idx_t>(reserved_bytes_));
}

QueryState& QueryState::Of(duckdb::ClientContext& context) {
  const auto state = context.registered_state->Get<QueryState>(kKey);
  if (!state) throw duckdb::PermissionException("no tables here");
  return *state;  // the context keeps it
}

void QueryState::Fail(Status failure) {
  const std::string message = failure.message();
  {
    const std::lock_guard lock(mutex_);
    if (failure_.ok()) failure_ = std::move(failure);
  }
  throw duckdb::IOException("%s", message);
}

bool QueryState::ReserveMemory(duckdb::ClientContext& context, int64_t bytes) {
  const std::lock_guard lock(mutex_);
  // Not the one of the context, which is gone when its states are destroyed.
  buffers_ = &duckdb::BufferManager::GetBufferManager(*context.db);
  try {
    buffers_->ReserveMemory(static_cast<duckdb::idx_t>(bytes));
  } catch (const duckdb::OutOfMemoryException&) {
    return false;
  }
  reserved_bytes_ += bytes;
  return true;
}

void QueryState::ReturnMemory(int64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes == 0) return;
  buffers_->FreeReservedMemory(static_cast<duckdb::idx_t>(bytes));
  reserved_bytes_ -= bytes;
}

Status QueryState::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

void QueryState::Grant(const std::string& name, PrivateFile file) {
  auto granted = std::make_shared<const PrivateFile>(std::move(file));
  const std::lock_guard lock(mutex_);
  files_[name] = std::move(granted);
}

std::shared_ptr<const PrivateFile> QueryState::Granted(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(name);
  return found == files_.end() ? nullptr : found->second;
}

}  // namespace kalam::analytics
