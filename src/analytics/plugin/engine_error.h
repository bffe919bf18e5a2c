// The engine's errors as Statuses of ours.
#pragma once

#include <duckdb/common/error_data.hpp>
#include <string>

#include "base/status.h"

namespace kalam::analytics {

/// The kind by the engine's class of error, the text without class, hints at source positions and
/// traces.
Status StatusOf(const duckdb::ErrorData& error);
/// True after which the instance must not be used again.
bool LosesInstance(const duckdb::ErrorData& error);

}  // namespace kalam::analytics
