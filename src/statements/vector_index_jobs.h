// The jobs that write the snapshots of vector indexes after a flush of their table, and the
// manifests that name them.
#pragma once

#include <string>
#include <vector>

#include "exports/namespace_export.h"
#include "jobs/job_queue.h"
#include "jobs/tiering_jobs.h"
#include "statements/admin_statements.h"

namespace kalam::statements {

/// Registers the executor of `vector_index` jobs, and has one queued after every flush of a table
/// with an index, and one for its manifests when the background has written a snapshot. Nothing
/// without vector indexes. `tiering` may be null.
void RunVectorIndexJobs(const StatementServices& services, jobs::JobQueue& queue,
                        jobs::TieringJobs* tiering);

/// Has the manifests of a table with segments written again, after a change of its indexes.
/// Failures are logged: the next flush writes them as well.
void QueueManifests(const StatementServices& services, jobs::JobQueue& queue, TableId table);

/// The vector indexes of a namespace, for whoever moves it. Errors: StorageIo.
Result<std::vector<exports::ExportedIndex>> IndexesOf(const StatementServices& services,
                                                      const std::string& namespace_id);

}  // namespace kalam::statements
