// The query engine: from text to bound plans, and from bound plans to rows and commands.
#include "query/query_engine.h"

#include <fmt/core.h>

#include <algorithm>

#include "query/dml.h"
#include "query/engine_select.h"
#include "query/explain.h"
#include "query/plan_cache.h"
#include "query/planner.h"
#include "query/select_stream.h"
#include "query/vector_distance.h"
#include "tables/cold_extent.h"
#include "vectors/vector_indexes.h"

namespace kalam::query {

namespace {

/// VALUES lists with more cells than this are evaluated on a worker.
constexpr size_t kInlineCellsMax = 4096;
/// Scans of more cold rows go to the engine: row by row they take a tenth of a second and more.
constexpr int64_t kColdRowsNativeMax = 50'000;

class QueryEngineImpl final : public QueryEngine {
 public:
  QueryEngineImpl(Dependencies dependencies, const QueryLimits& limits)
      : dependencies_(dependencies),
        limits_(limits),
        reader_(dependencies.store, dependencies.clock, dependencies.cold_rows),
        ids_(dependencies.clock),
        cache_(dependencies.clock, dependencies.memory.Child("plan_cache"),
               limits.plan_cache_entries, limits.plan_cache_ttl_seconds) {}

  void SetSystemTables(SystemTables* system_tables) override { system_tables_ = system_tables; }
  void SetVectorIndexes(vectors::VectorIndexes* vector_indexes) override {
    vector_indexes_ = vector_indexes;
  }

  Result<BoundPlan> Prepare(std::string_view text, std::span<const Value> parameters,
                            const StatementContext& context) override {
    const Planner planner{dependencies_.catalog, limits_, cache_};
    KALAM_ASSIGN_OR_RETURN(BoundPlan bound, planner.Prepare(text, parameters, context));
    const catalog::TableDefinition* table = NativeTable(*bound.plan);
    if (table == nullptr || !reader_.MayHaveColdRows(*table)) return bound;
    bound.reads_segments = true;
    if (!ScansColdRows(*bound.plan)) return bound;
    const auto& select = std::get<SelectPlan>(bound.plan->body);
    if (UsesVectorIndex(vector_indexes_, select)) return bound;
    const tables::ReadScope scope{
        select.table, tables::ScopeFor(*select.table, context.caller.user_id), {}, nullptr};
    KALAM_ASSIGN_OR_RETURN(const int64_t cold_rows, tables::CountOwnColdRows(reader_, scope));
    if (cold_rows <= kColdRowsNativeMax) return bound;
    Result<BoundPlan> moved = planner.Prepare(text, parameters, context, "rows in segments");
    // What the engine cannot be asked stays native.
    if (!moved.ok() || moved->parameters.size() != bound.parameters.size()) return bound;
    moved->cold_row_count = cold_rows;
    moved->native_plan = std::move(bound.plan);
    return moved;
  }

  Result<std::unique_ptr<RowStream>> OpenSelect(const BoundPlan& bound,
                                                const StatementContext& context) override {
    const replication::View view = ViewFor(context);
    KALAM_ASSIGN_OR_RETURN(std::unique_ptr<RowStream> stream, OpenOn(bound, context, view));
    const int64_t rows_max =
        HasLimit(*bound.plan) ? limits_.max_query_limit : limits_.default_query_limit;
    if (rows_max <= 0) return stream;
    return CutAfter(
        std::move(stream), rows_max,
        fmt::format(
            "the result was cut after {} rows by the configured {}; add a LIMIT or ask for less",
            rows_max, HasLimit(*bound.plan) ? "max_query_limit" : "default_query_limit"));
  }

  Result<DmlEvaluation> EvaluateDml(const BoundPlan& bound,
                                    const StatementContext& context) override {
    const replication::View view = ViewFor(context);
    const bool is_insert = bound.plan->kind == PlanKind::kInsert;
    if (bound.plan->kind == PlanKind::kSelect) {
      return Status(ErrorKind::Internal, "a SELECT was given to be evaluated as DML");
    }
    const catalog::TablePtr& table = is_insert ? std::get<InsertPlan>(bound.plan->body).table
                                               : std::get<ChangePlan>(bound.plan->body).table;
    KALAM_ASSIGN_OR_RETURN(tables::ReadScope scope, ScopeOf(table, context, view, is_insert));
    const StreamServices services{reader_, ids_, dependencies_.clock, vector_indexes_};
    const DmlRun run{services, bound, context, std::move(scope),
                     [&](const PlanPtr& source, const replication::View& source_view) {
                       BoundPlan bound_source;
                       bound_source.plan = source;
                       bound_source.parameters = bound.parameters;
                       return OpenOn(bound_source, context, source_view);
                     }};
    return is_insert ? EvaluateInsert(run) : EvaluateChange(run);
  }

  Result<std::shared_ptr<RowBuffer>> Explain(std::string_view text,
                                             std::span<const Value> parameters,
                                             const StatementContext& context, bool analyze,
                                             bool verbose) override {
    KALAM_ASSIGN_OR_RETURN(const BoundPlan bound, Prepare(text, parameters, context));
    ExplainInput input{bound, context, verbose, {}, {}, {}, {}, vector_indexes_};
    if (bound.reads_segments) {
      KALAM_ASSIGN_OR_RETURN(input.segments, Prune(bound, context));
    }
    input.estimate_rows = [&](const catalog::TablePtr& table) {
      return EstimateRows(table, context);
    };
    const bool reads_files = EngineReadsFiles(*bound.plan);
    if (std::holds_alternative<EnginePlan>(bound.plan->body) && (verbose || reads_files)) {
      KALAM_ASSIGN_OR_RETURN(
          analytics::EngineQuery query,
          MakeEngineQuery(bound, context, ViewFor(context), reader_, system_tables_,
                          SearchOn(context, ViewFor(context))));
      Result<std::string> engine_plan = dependencies_.engine.Explain(std::move(query));
      if (!engine_plan.ok() && (verbose || !engine_plan.status().Is(ErrorKind::NotAvailable)))
        return engine_plan.status();
      if (engine_plan.ok()) input.engine_plan = *std::move(engine_plan);
    }
    if (analyze) {
      KALAM_ASSIGN_OR_RETURN(input.measured, Measure(bound, context));
    }
    return ExplainPlan(input);
  }

  std::unique_ptr<tables::Transaction> Begin(const StatementContext&, size_t buffer_bytes_max,
                                             int64_t deadline_us) override {
    return std::make_unique<tables::Transaction>(NewUuidV7Text(dependencies_.clock),
                                                 dependencies_.group.TakeView(), reader_,
                                                 buffer_bytes_max, deadline_us);
  }

  PlanCacheStats plan_cache_stats() const override { return cache_.stats(); }
  void ClearPlanCache() override { cache_.Clear(); }
  tables::TableReader& reader() override { return reader_; }

 private:
  replication::View ViewFor(const StatementContext& context) const {
    if (context.transaction != nullptr) return context.transaction->view();
    replication::View view = dependencies_.group.TakeView();
    if (context.only_in_memory) {
      view.snapshot = reader_.store().OnlyInMemory(std::move(view.snapshot));
    }
    return view;
  }

  /// The table that a native plan reads or writes; null when there is none.
  static const catalog::TableDefinition* NativeTable(const Plan& plan) {
    if (const auto* select = std::get_if<SelectPlan>(&plan.body)) return select->table.get();
    if (const auto* insert = std::get_if<InsertPlan>(&plan.body)) return insert->table.get();
    if (const auto* change = std::get_if<ChangePlan>(&plan.body)) return change->table.get();
    return nullptr;
  }

  /// A scan of the whole scope that looks at more than it gives: without a filter, an order or an
  /// aggregate the rows come as the scan has them, natively as well as from the engine.
  static bool ScansColdRows(const Plan& plan) {
    const auto* select = std::get_if<SelectPlan>(&plan.body);
    return select != nullptr && select->path.kind == PathKind::kFullScan &&
           (select->filter != nullptr || select->is_aggregate || !select->sort.empty());
  }

  /// Whether the engine may be given files: only its own plan tells which of them it reads.
  bool EngineReadsFiles(const Plan& plan) const {
    const auto* engine = std::get_if<EnginePlan>(&plan.body);
    return engine != nullptr &&
           std::any_of(engine->tables.begin(), engine->tables.end(),
                       [this](const auto& each) { return reader_.MayHaveColdRows(*each.table); });
  }

  /// How many segments a native SELECT's access path leaves; nullopt for other statements.
  Result<std::optional<tables::ColdPruning>> Prune(const BoundPlan& bound,
                                                   const StatementContext& context) {
    const auto* select = std::get_if<SelectPlan>(&bound.plan->body);
    if (select == nullptr) return std::optional<tables::ColdPruning>();
    Evaluation evaluation(select->constants, bound.parameters, StatementValuesOf(context, &ids_));
    KALAM_RETURN_IF_ERROR(evaluation.Bind());
    EvalContext statement = evaluation.ForStatement();
    KALAM_ASSIGN_OR_RETURN(BoundPath path, BindPath(select->path, *select->table, statement));
    std::vector<tables::ScanOptions> reads;
    for (std::string& key : path.keys) {
      tables::ScanOptions& read = reads.emplace_back();
      read.key_upper = key + '\0';
      read.key_lower = std::move(key);
    }
    if (!path.is_keys && !path.is_empty) reads.push_back(std::move(path.scan));
    const tables::ReadScope scope{select->table,
                                  tables::ScopeFor(*select->table, context.caller.user_id),
                                  ViewFor(context), nullptr};
    KALAM_ASSIGN_OR_RETURN(const tables::ColdPruning pruning,
                           tables::PruneCold(reader_, scope, reads));
    return std::optional<tables::ColdPruning>(pruning);
  }

  std::optional<int64_t> EstimateRows(const catalog::TablePtr& table,
                                      const StatementContext& context) {
    const bool is_stored =
        table->type != catalog::TableType::kSystem && table->type != catalog::TableType::kView;
    if (!is_stored) return std::nullopt;
    auto scope = ScopeOf(table, context, ViewFor(context), false);
    if (!scope.ok()) return std::nullopt;
    return tables::MakeTableSource(reader_, std::move(scope).value(), false)->estimated_rows();
  }

  static bool HasLimit(const Plan& plan) {
    if (const auto* engine = std::get_if<EnginePlan>(&plan.body)) return engine->has_limit;
    const auto* select = std::get_if<SelectPlan>(&plan.body);
    return select != nullptr && select->limit != nullptr;
  }

  SearchVectors SearchOn(const StatementContext& context, const replication::View& view) {
    return
        [this, &context, view](const catalog::TableDefinition& table, const VectorSearch& search) {
          return FindNearest(table, search, context, view);
        };
  }

  /// What vector_search gives is a SELECT ordered by distance; without an index there is no
  /// distance to order by, and nothing is found.
  Result<std::shared_ptr<const RowBuffer>> FindNearest(const catalog::TableDefinition& table,
                                                       const VectorSearch& search,
                                                       const StatementContext& context,
                                                       const replication::View& view) {
    const catalog::ColumnDefinition& column = (*table.columns)[search.column];
    const auto index = vector_indexes_ == nullptr
                           ? std::nullopt
                           : vector_indexes_->Find(table.id, column.column_id);
    const auto size =
        static_cast<uint32_t>(std::count(search.vector.begin(), search.vector.end(), ',') + 1);
    if (index && size != column.type.dimension) {
      return Status(ErrorKind::Execution,
                    fmt::format("vector_search query vector dimensions mismatch: query has {}, "
                                "index has {}",
                                size, column.type.dimension));
    }
    const vectors::Metric metric = index ? index->metric : vectors::Metric::kCosine;
    std::string quoted;
    for (const char c : search.vector) quoted += c == '\'' ? std::string("''") : std::string(1, c);
    const std::string distance =
        fmt::format("{}(\"{}\", '{}')", DistanceName(metric), column.name, quoted);
    const std::string score = metric == vectors::Metric::kCosine ? "1 - " + distance
                              : metric == vectors::Metric::kL2   ? "0 - " + distance
                                                                 : distance;
    const std::string text = fmt::format(
        "SELECT CAST(\"{}\" AS TEXT) AS row_id, CAST({} AS FLOAT) AS score FROM \"{}\".\"{}\" "
        "WHERE \"{}\" IS NOT NULL ORDER BY {}{} LIMIT {}",
        (*table.columns)[table.PrimaryKey().value_or(0)].name, score, table.namespace_id,
        table.name, column.name, distance, metric == vectors::Metric::kDot ? " DESC" : "",
        index ? search.top_k : 0);
    KALAM_ASSIGN_OR_RETURN(const BoundPlan bound, Prepare(text, {}, context));
    KALAM_ASSIGN_OR_RETURN(const auto stream, OpenOn(bound, context, view));
    auto rows = std::make_shared<RowBuffer>(stream->schema());
    bool more = true;
    while (more) {
      KALAM_ASSIGN_OR_RETURN(more, stream->Next(*rows, SIZE_MAX));
    }
    return std::shared_ptr<const RowBuffer>(std::move(rows));
  }

  Result<std::unique_ptr<RowStream>> OpenOn(const BoundPlan& bound, const StatementContext& context,
                                            const replication::View& view) {
    if (std::holds_alternative<EnginePlan>(bound.plan->body)) {
      KALAM_ASSIGN_OR_RETURN(
          analytics::EngineQuery query,
          MakeEngineQuery(bound, context, view, reader_, system_tables_, SearchOn(context, view)));
      Result<std::unique_ptr<RowStream>> stream = dependencies_.engine.Execute(std::move(query));
      if (stream.ok() || bound.native_plan == nullptr ||
          !stream.status().Is(ErrorKind::NotAvailable)) {
        return stream;
      }
      BoundPlan native = bound;
      native.plan = std::exchange(native.native_plan, nullptr);
      native.reads_segments = true;
      return OpenOn(native, context, view);
    }
    const auto* select = std::get_if<SelectPlan>(&bound.plan->body);
    if (select == nullptr)
      return Status(ErrorKind::Internal, "DML was given to be opened as a SELECT");
    tables::ReadScope scope;
    std::shared_ptr<const RowBuffer> buffer;
    if (select->table != nullptr) {
      const catalog::TableType type = select->table->type;
      if (type == catalog::TableType::kSystem || type == catalog::TableType::kView) {
        KALAM_ASSIGN_OR_RETURN(buffer, ReadSystemTable(*select->table, context, system_tables_));
      } else {
        KALAM_ASSIGN_OR_RETURN(scope, ScopeOf(select->table, context, view, false));
      }
    }
    const StreamServices services{reader_, ids_, dependencies_.clock, vector_indexes_};
    return OpenNativeSelect(services, bound, context, std::move(scope), std::move(buffer));
  }

  /// Runs the statement for EXPLAIN ANALYZE; DML is evaluated and thrown away.
  Result<Measurement> Measure(const BoundPlan& bound, const StatementContext& context) {
    const int64_t begin_us = dependencies_.clock.SteadyUs();
    Measurement measured;
    if (bound.plan->kind != PlanKind::kSelect) {
      if (context.transaction != nullptr) {
        return Status(ErrorKind::InvalidOperation,
                      "EXPLAIN ANALYZE of DML is not allowed inside a transaction");
      }
      KALAM_ASSIGN_OR_RETURN(const DmlEvaluation evaluation, EvaluateDml(bound, context));
      measured.row_count = evaluation.row_count;
    } else {
      KALAM_ASSIGN_OR_RETURN(std::unique_ptr<RowStream> stream, OpenSelect(bound, context));
      CountingSink sink;
      bool more = true;
      while (more) {
        KALAM_ASSIGN_OR_RETURN(more, stream->Next(sink, SIZE_MAX));
      }
      measured.row_count = sink.row_count();
    }
    measured.elapsed_us = dependencies_.clock.SteadyUs() - begin_us;
    return measured;
  }

  const Dependencies dependencies_;
  const QueryLimits limits_;
  tables::TableReader reader_;
  IdSource ids_;
  PlanCache cache_;
  SystemTables* system_tables_ = nullptr;
  vectors::VectorIndexes* vector_indexes_ = nullptr;
};

}  // namespace

std::unique_ptr<QueryEngine> QueryEngine::Make(Dependencies dependencies,
                                               const QueryLimits& limits) {
  return std::make_unique<QueryEngineImpl>(dependencies, limits);
}

PlanKind KindOf(const Plan& plan) { return plan.kind; }

namespace {

/// Asks the segments for single keys only, which they often answer from memory.
bool ReadsByKey(const Plan& plan) {
  if (const auto* select = std::get_if<SelectPlan>(&plan.body)) {
    return select->path.kind == PathKind::kKeys;
  }
  if (const auto* change = std::get_if<ChangePlan>(&plan.body)) {
    return change->path.kind == PathKind::kKeys;
  }
  return std::holds_alternative<InsertPlan>(plan.body);
}

}  // namespace

bool NeedsWorker(const BoundPlan& plan) {
  return plan.plan->needs_worker || (plan.reads_segments && !ReadsByKey(*plan.plan)) ||
         plan.values_rows.size() > kInlineCellsMax;
}

}  // namespace kalam::query
