// Rows of system.live from what the hubs of the cores tell.
#pragma once

#include <vector>

#include "live/live_hub.h"
#include "types/row_stream.h"

namespace kalam::server {

/// One row, its cells in the order of `schema`; columns that nobody knows are NULL.
std::vector<Value> LiveRow(const live::LiveRecord& record, const ResultSchema& schema);

}  // namespace kalam::server
