// How each layer works, from the configuration.
#pragma once

#include <string>

#include "analytics/engine.h"
#include "auth/auth.h"
#include "base/id_generators.h"
#include "query/query_engine.h"
#include "server/fail_point.h"
#include "server/memory_plan.h"
#include "server/server_context.h"
#include "server/settings.h"
#include "statements/sql_request.h"
#include "storage/store.h"
#include "tiering/open_tiering.h"

namespace kalam::server {

storage::Durability DurabilityOf(const Settings& settings);
storage::StoreOptions StoreOptionsFrom(const Settings& settings, const MemoryPlan& plan,
                                       MemoryAccount* memory);
auth::AuthOptions AuthOptionsFrom(const Settings& settings, std::string secret);
/// `ids`, `memory` and `metrics` must outlive the engine.
analytics::EngineOptions EngineOptionsFrom(const Settings& settings, const MemoryPlan& plan,
                                           SnowflakeGenerator& ids, MemoryAccount* memory,
                                           Metrics* metrics);
query::QueryLimits QueryLimitsFrom(const Settings& settings);
statements::StatementLimits StatementLimitsFrom(const Settings& settings, const MemoryPlan& plan);
tiering::TieringOptions TieringOptionsFrom(const Settings& settings, const FailPoint& fail_point);

/// The secret of the configuration, else the one in the data directory, made at first start.
/// Errors: StorageIo.
Result<std::string> SecretFor(const Settings& settings);
/// Where clients are told to connect; empty without WebSockets.
std::string WebSocketUrl(const Settings& settings, const ServerContext& server);

}  // namespace kalam::server
