// What work that failed, was cancelled or ended with the process has left behind, and that no
// record names.
#pragma once

#include "tiering/flush.h"

namespace kalam::tiering {

/// Removes the files and the parts of the index of segments that were prepared for the table and
/// never committed. Nothing may be under way in the table. Errors: StorageIo, Corruption, those of
/// a proposal; the next call goes on.
Status RemovePrepared(const TieringServices& services, const WorkedTable& worked);

/// Removes segment files that no record of the table names. Only for tables with a folder of their
/// own. SettleOutcomes comes first. Errors: StorageIo.
Status RemoveOrphans(const TieringServices& services, const WorkedTable& worked);

/// Removes the files of segments that could not be committed because the table was dropped: its
/// drop did not know of them. Tells the log where that fails.
void RemoveWritten(const WorkedTable& worked, const segments::SegmentChange& change);

/// Writes manifests again that do not say what the records do: work may have ended behind its
/// commit. Tells the log where that fails.
void RenewManifests(const TieringServices& services, const WorkedTable& worked);

}  // namespace kalam::tiering
