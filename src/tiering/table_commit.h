// Commands about a table's segments, which a DROP of the table may overtake.
#pragma once

#include <memory>

#include "catalog/catalog.h"
#include "replication/group.h"

namespace kalam::tiering {

/// Proposes the command and waits. Errors: those of a proposal; NotFound when the table was dropped
/// meanwhile: what the command has put under its id is removed again.
Status CommitForTable(catalog::Catalog& catalog, replication::ReplicationGroup& group,
                      TableId table, std::shared_ptr<const replication::Command> command);

/// Ok when every command of the past was either applied, as the store shows, or never will be.
/// After a full disk it may else be that a restart finds one whose outcome nobody knew: as long as
/// that is open, no file may be replaced or deleted that such a command could name. To be called
/// before any of that. Errors: those of a proposal.
Status SettleOutcomes(replication::ReplicationGroup& group);

}  // namespace kalam::tiering
