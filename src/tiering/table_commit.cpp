// Proposing, and taking back what came too late.
#include "tiering/table_commit.h"

#include <utility>

namespace kalam::tiering {

Status CommitForTable(catalog::Catalog& catalog, replication::ReplicationGroup& group,
                      TableId table, std::shared_ptr<const replication::Command> command) {
  KALAM_RETURN_IF_ERROR(replication::ProposeAndWait(group, std::move(command)).status);
  if (catalog.CurrentSchemaVersion(table) != 0) return Status::Ok();
  // The DROP came first and could not know of these records.
  auto undo = std::make_shared<replication::Command>();
  undo->dropped_tables = {table};
  KALAM_RETURN_IF_ERROR(replication::ProposeAndWait(group, std::move(undo)).status);
  return Status(ErrorKind::NotFound, "the table was dropped");
}

Status SettleOutcomes(replication::ReplicationGroup& group) {
  // Whatever was written of an earlier command lies before this one in the log, and a group that
  // could not tell what became of it takes no other before the log is sound again.
  return replication::ProposeAndWait(group, std::make_shared<replication::Command>()).status;
}

}  // namespace kalam::tiering
