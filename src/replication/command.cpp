// The size of a command, for back-pressure and limits.
#include "replication/command.h"

namespace kalam::replication {

size_t Command::byte_size() const {
  size_t size = sizeof(Command) + dropped_tables.size() * sizeof(TableId);
  for (const RowMutation& row : rows) {
    size += sizeof(RowMutation) + row.scope.user_id().size() + row.encoded_pk.size() +
            row.row.size() + row.old_cells.size();
  }
  for (const catalog::RecordWrite& write : records) {
    size +=
        sizeof(catalog::RecordWrite) + write.key.size() + (write.value ? write.value->size() : 0);
  }
  for (const ForgottenRange& range : forgotten_ranges)
    size += sizeof(ForgottenRange) + range.begin.size() + range.end.size();
  return size;
}

size_t CommittedBatch::byte_size() const {
  size_t bytes = sizeof(*this) + changes.capacity() * sizeof(CommittedChange);
  for (const auto& command : commands) bytes += command->byte_size();
  return bytes;
}

}  // namespace kalam::replication
