// Making the index of a table's segments out of its files, where records are lost.
#pragma once

#include "tiering/flush.h"

namespace kalam::tiering {

/// Adopts the segment files in folders of which the index knows nothing, and writes every manifest
/// of the table again. A folder that the index knows is left as it is: files in it that no record
/// names were replaced or never committed. In an unknown folder a sound manifest.json says the
/// same: files that it lists are taken if they match their checksums, and of the others the younger
/// ones; without one all that say that they are the table's. Files that wait for their deletion are
/// left alone. Damaged and missing files are left out, counted and named. Errors:
/// InvalidOperation (the template does not tell where the table's files are), those of a proposal.
Result<RebuildOutcome> RebuildTable(const TieringServices& services, const WorkedTable& worked);

}  // namespace kalam::tiering
