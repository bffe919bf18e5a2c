// One in-process DuckDB that can do nothing but compute over the sources of a statement.
#include "analytics/plugin/duckdb_instance.h"

#include <duckdb/common/allocator.hpp>
#include <duckdb/main/client_config.hpp>
#include <duckdb/main/config.hpp>
#include <duckdb/main/extension/extension_loader.hpp>
#include <duckdb/main/materialized_query_result.hpp>
#include <duckdb/main/pending_query_result.hpp>
#include <duckdb/parser/statement/explain_statement.hpp>
#include <duckdb/planner/expression/bound_parameter_data.hpp>
#include <utility>

#include "analytics/plugin/engine_error.h"
#include "analytics/plugin/functions.h"
#include "analytics/plugin/native_functions.h"
#include "analytics/plugin/parquet_copy.h"
#include "analytics/plugin/private_files.h"
#include "analytics/plugin/result_rows.h"
#include "analytics/plugin/scan_function.h"
#include "analytics/plugin/statement_guard.h"
#include "analytics/plugin/value_mapping.h"

namespace kalam::analytics {
namespace {

// Headers and library must be of one build: the C++ interface has no promise of stability.
constexpr const char* kSourceId = "6ddac802ff";
// What a thread may have freed before its heap is given back.
constexpr duckdb::idx_t kKeptHeapBytes = 1 << 20;
// With so little memory the heap is given back after every statement, and within long ones: what
// an aggregate of 20 ms does in 64 MiB takes a quarter longer then.
constexpr int64_t kSmallMemoryBytes = 16 << 20;

void Configure(const InstanceOptions& options, duckdb::DBConfig* config) {
  duckdb::DBConfigOptions& to = config->options;
  to.maximum_memory = static_cast<duckdb::idx_t>(options.memory_limit_bytes);
  to.maximum_threads = static_cast<duckdb::idx_t>(options.threads);
  to.use_temporary_directory = !options.temp_directory.empty();
  to.temporary_directory = options.temp_directory;
  if (options.temp_bytes_max > 0)
    to.maximum_swap_space = static_cast<duckdb::idx_t>(options.temp_bytes_max);
  // The library keeps freed pages in a heap of its own; left alone, 128 MB of each thread.
  if (options.memory_limit_bytes <= kSmallMemoryBytes) {
    to.allocator_flush_threshold = kKeptHeapBytes;
    to.allocator_bulk_deallocation_flush_threshold = kKeptHeapBytes;
  }
  // The library is built with both switched on.
  to.autoload_known_extensions = false;
  to.autoinstall_known_extensions = false;
}

/// Names the places of NULLs and the zone as PostgreSQL does, then closes every door; the last line
/// locks the others.
constexpr const char* kSettings[] = {
    "SET GLOBAL default_null_order = 'nulls_last_on_asc_first_on_desc'",
    "SET GLOBAL TimeZone = 'UTC'",
    "SET GLOBAL allow_community_extensions = false",
    // Names under it mean something only to the statement that they were granted to.
    "SET GLOBAL allowed_directories = ['seg://']",
    "SET GLOBAL enable_external_access = false",
    "SET GLOBAL lock_configuration = true",
};

void Prepare(duckdb::DuckDB& database, const InstanceOptions& options) {
  // Opening takes over the options of a configuration, but not its extensions: these belong to the
  // open instance.
  duckdb::DBConfig& config = duckdb::DBConfig::GetConfig(*database.instance);
  config.replacement_scans.clear();
  config.optimizer_extensions.push_back(PlanGuard());
  database.GetFileSystem().RegisterSubSystem(duckdb::make_uniq<PrivateFileSystem>());
  duckdb::ExtensionLoader loader(*database.instance, "kalam");
  loader.RegisterFunction(ScanFunction());
  RegisterArithmetic(loader);
  RegisterIds(loader, options.next_snowflake_id);
  RegisterNativeFunctions(loader);
  duckdb::Connection connection(database);
  for (const char* setting : kSettings) {
    const auto result = connection.Query(setting);
    if (result->HasError()) result->ThrowError();
  }
}

/// A statement on its own connection, ready to be asked for its result.
struct Running {
  std::shared_ptr<duckdb::Connection> connection;
  std::shared_ptr<QueryState> state;
};

class ChunkStream : public RowStream {
 public:
  ChunkStream(DuckDbInstance* instance, Running running,
              duckdb::unique_ptr<duckdb::QueryResult> result, Watchdog::Limits limits,
              ResultSchema schema)
      : heap_return_(instance->returns_heap()),
        instance_(instance),
        running_(std::move(running)),
        result_(std::move(result)),
        limits_(std::move(limits)),
        schema_(std::move(schema)),
        rows_(result_->types, schema_) {}

  const ResultSchema& schema() const override { return schema_; }
  bool needs_worker() const override { return true; }

  Result<bool> Next(RowSink& sink, size_t chunk_bytes) override {
    KALAM_RETURN_IF_ERROR(Watchdog::Check(limits_));
    const Watchdog::Watch watch(
        &instance_->watchdog(), limits_,
        [connection = running_.connection.get()] { connection->Interrupt(); });
    try {
      while (sink.buffered_bytes() < chunk_bytes) {
        if (rows_.at_end()) {
          rows_.SetChunk(result_->Fetch());
          if (result_->HasError()) return Failure(result_->GetErrorObject(), watch);
          if (rows_.at_end()) return false;
        }
        KALAM_RETURN_IF_ERROR(rows_.WriteRow(&sink));
      }
      return true;
    } catch (const std::exception& exception) {
      return Failure(duckdb::ErrorData(exception), watch);
    }
  }

 private:
  Status Failure(const duckdb::ErrorData& error, const Watchdog::Watch& watch) {
    return instance_->Failure(error, *running_.state, watch);
  }

  const HeapReturn heap_return_;  // goes behind everything below
  DuckDbInstance* const instance_;
  const Running running_;  // outlives result_
  const duckdb::unique_ptr<duckdb::QueryResult> result_;
  const Watchdog::Limits limits_;
  const ResultSchema schema_;
  ResultRows rows_;
};

/// The engine's type, or the type of the column behind it when both have the same cells.
DataType TypeOf(const duckdb::LogicalType& engine_type, const std::optional<ResultColumn>& origin) {
  return origin && EngineType(origin->type) == engine_type ? origin->type : ResultType(engine_type);
}

/// The binder's names and types where it promised them, the engine's elsewhere.
ResultSchema SchemaOf(const duckdb::QueryResult& result, const EngineQuery& query,
                      const QueryState& state) {
  auto origins = state.origins();
  origins.resize(result.types.size());
  const bool promised = query.schema.size() == result.types.size();
  ResultSchema schema;
  for (size_t i = 0; i < result.types.size(); ++i) {
    ResultColumn column;
    if (origins[i]) column = *origins[i];
    column.name.clear();
    if (promised) column.name = query.schema[i].name;
    if (column.name.empty()) column.name = result.names[i];
    const bool infers =
        !promised || query.infer_types || query.schema[i].type.kind == TypeKind::kNull;
    column.type = infers ? TypeOf(result.types[i], origins[i]) : query.schema[i].type;
    schema.push_back(std::move(column));
  }
  return schema;
}

Running Begin(duckdb::DuckDB& database, const AskingPool& pool,
              std::vector<std::shared_ptr<tables::ScanSource>> sources) {
  Running running;
  running.connection = std::make_shared<duckdb::Connection>(database);
  const auto state = duckdb::make_shared_ptr<QueryState>(std::move(sources));
  duckdb::ClientContext& context = *running.connection->context;
  context.config.use_replacement_scans = false;
  context.registered_state->Insert(QueryState::kKey, state);
  state->refused_before = pool.refused_count();
  running.state = std::shared_ptr<QueryState>(state.get(), [state](QueryState*) {});
  return running;
}

/// The parameters that the statement names, by number.
duckdb::case_insensitive_map_t<duckdb::BoundParameterData> ParametersFor(
    const duckdb::SQLStatement& statement, const std::vector<Value>& parameters) {
  duckdb::case_insensitive_map_t<duckdb::BoundParameterData> values;
  for (const auto& named : statement.named_param_map) {
    const size_t number =
        named.first.find_first_not_of("0123456789") == std::string::npos && named.first.size() < 6
            ? static_cast<size_t>(std::stoul(named.first))
            : 0;
    if (number < 1 || number > parameters.size()) {
      throw duckdb::InvalidInputException("no value for parameter $%s", named.first);
    }
    values.emplace(named.first,
                   duckdb::BoundParameterData(EngineValue(parameters[number - 1].datum())));
  }
  return values;
}

}  // namespace

HeapReturn::~HeapReturn() {
  if (is_due_) duckdb::Allocator::FlushAll();
}

DuckDbInstance::DuckDbInstance(const InstanceOptions& options, duckdb::DBConfig* config,
                               duckdb::shared_ptr<AskingPool> pool)
    : returns_heap_(options.memory_limit_bytes <= kSmallMemoryBytes),
      pool_(std::move(pool)),
      database_(":memory:", config) {}

Result<std::unique_ptr<Instance>> DuckDbInstance::Open(const InstanceOptions& options) {
  try {
    if (std::string(duckdb::DuckDB::SourceID()) != kSourceId) {
      return Status(ErrorKind::NotAvailable, std::string("libduckdb.so is of build ") +
                                                 duckdb::DuckDB::SourceID() +
                                                 ", this plugin was built for " + kSourceId);
    }
    duckdb::DBConfig config;
    Configure(options, &config);
    auto pool = duckdb::make_shared_ptr<AskingPool>(
        options.memory_limit_bytes, config.options.allocator_bulk_deallocation_flush_threshold,
        options.reach_pool_bytes);
    config.buffer_pool = pool;
    auto instance = std::make_unique<DuckDbInstance>(options, &config, std::move(pool));
    Prepare(instance->database_, options);
    return std::unique_ptr<Instance>(std::move(instance));
  } catch (const std::exception& exception) {
    return StatusOf(duckdb::ErrorData(exception))
        .WithContext("the analytical engine cannot be opened");
  }
}

Status DuckDbInstance::Failure(const duckdb::ErrorData& error, const QueryState& state,
                               const Watchdog::Watch& watch) {
  if (LosesInstance(error)) lost_.store(true);
  if (Status own = state.failure(); !own.ok()) return own;
  if (Status verdict = watch.verdict(); !verdict.ok()) return verdict;
  Status own_words = StatusOf(error);
  if (own_words.Is(ErrorKind::MemoryExceeded) && pool_->refused_count() != state.refused_before) {
    return Status(ErrorKind::MemoryPressure,
                  "The server is short of memory for so large a statement; try again");
  }
  return own_words;
}

Result<std::unique_ptr<RowStream>> DuckDbInstance::Execute(EngineQuery query) {
  Watchdog::Limits limits{query.deadline_steady_us, query.cancelled};
  KALAM_RETURN_IF_ERROR(Watchdog::Check(limits));
  Running running = Begin(database_, *pool_, query.sources);
  const Watchdog::Watch watch(&watchdog_, limits,
                              [connection = running.connection.get()] { connection->Interrupt(); });
  try {
    auto statement = ParseGuarded(query.sql);
    auto values = ParametersFor(*statement, query.parameters);
    const auto pending = running.connection->PendingQuery(std::move(statement), values, true);
    if (pending->HasError()) return Failure(pending->GetErrorObject(), *running.state, watch);
    auto result = pending->Execute();
    if (result->HasError()) return Failure(result->GetErrorObject(), *running.state, watch);
    ResultSchema schema = SchemaOf(*result, query, *running.state);
    return std::unique_ptr<RowStream>(std::make_unique<ChunkStream>(
        this, std::move(running), std::move(result), std::move(limits), std::move(schema)));
  } catch (const std::exception& exception) {
    return Failure(duckdb::ErrorData(exception), *running.state, watch);
  }
}

Result<std::string> DuckDbInstance::Explain(EngineQuery query) {
  const Watchdog::Limits limits{query.deadline_steady_us, query.cancelled};
  Running running = Begin(database_, *pool_, query.sources);
  running.state->explains = true;
  const Watchdog::Watch watch(&watchdog_, limits,
                              [connection = running.connection.get()] { connection->Interrupt(); });
  try {
    auto statement = ParseGuarded(query.sql);
    auto values = ParametersFor(*statement, query.parameters);
    const auto named = statement->named_param_map;
    auto explain = duckdb::make_uniq<duckdb::ExplainStatement>(std::move(statement));
    explain->named_param_map = named;
    const auto pending = running.connection->PendingQuery(std::move(explain), values, false);
    if (pending->HasError()) return Failure(pending->GetErrorObject(), *running.state, watch);
    const auto result = pending->Execute();
    if (result->HasError()) return Failure(result->GetErrorObject(), *running.state, watch);
    std::string text;
    while (const auto chunk = result->Fetch()) {
      for (duckdb::idx_t row = 0; row < chunk->size(); ++row) {
        text += chunk->GetValue(chunk->ColumnCount() - 1, row).ToString();
      }
    }
    return text;
  } catch (const std::exception& exception) {
    return Failure(duckdb::ErrorData(exception), *running.state, watch);
  }
}

Result<ParquetFileSummary> DuckDbInstance::WriteParquet(const ParquetFile& file) {
  const Watchdog::Limits limits{file.deadline_steady_us, file.cancelled};
  KALAM_RETURN_IF_ERROR(Watchdog::Check(limits));
  const HeapReturn heap_return(returns_heap_);
  const std::string target = std::string(kPrivateScheme) + "written";
  Running running = Begin(database_, *pool_, {file.source});
  running.state->Grant(target, PrivateFile{file.local_path});
  running.state->group_rows = file.row_group_rows;
  const Watchdog::Watch watch(&watchdog_, limits,
                              [connection = running.connection.get()] { connection->Interrupt(); });
  try {
    const auto result = running.connection->Query(ParquetCopy(file, target));
    if (result->HasError()) return Failure(result->GetErrorObject(), *running.state, watch);
    ParquetFileSummary summary;
    summary.row_count = result->Fetch()->GetValue(0, 0).GetValue<int64_t>();
    return summary;
  } catch (const std::exception& exception) {
    return Failure(duckdb::ErrorData(exception), *running.state, watch);
  }
}

}  // namespace kalam::analytics
