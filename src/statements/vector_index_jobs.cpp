// See vector_index_jobs.h.
#include "statements/vector_index_jobs.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "vectors/vector_indexes.h"

namespace kalam::statements {
namespace {

Result<jobs::JobOutcome> WriteSnapshots(const StatementServices& services,
                                        const jobs::JobRecord& job,
                                        const jobs::JobCancelled& cancelled) {
  const auto parameters = nlohmann::json::parse(job.parameters_json, nullptr, false);
  const TableId id{parameters.is_object() ? parameters.value("internal_id", 0u) : 0u};
  KALAM_ASSIGN_OR_RETURN(const catalog::TablePtr table, services.catalog.FindTable(id));
  if (table == nullptr) {
    return jobs::JobOutcome{true, "Table not found (table may have been dropped)"};
  }
  KALAM_ASSIGN_OR_RETURN(const size_t written,
                         services.vector_indexes->WriteSnapshots(id, cancelled));
  return jobs::JobOutcome{false, fmt::format("Wrote {} vector index snapshot(s) of {}", written,
                                             table->QualifiedName())};
}

void QueueSnapshots(const StatementServices& services, jobs::JobQueue& queue,
                    const catalog::TableDefinition& table) {
  const auto definitions = services.vector_indexes->Definitions();
  const auto is_of_table = [&](const auto& definition) { return definition.table == table.id; };
  if (std::none_of(definitions.begin(), definitions.end(), is_of_table)) return;
  const nlohmann::json parameters = {{"table_id", table.QualifiedName()},
                                     {"table_type", catalog::TableTypeName(table.type)},
                                     {"internal_id", table.id.value}};
  const auto submit = [&](const std::string& key) {
    return queue.Submit(jobs::JobType::kVectorIndex, parameters.dump(), key).status();
  };
  const std::string key = "vector-index-" + table.namespace_id + "-" + table.name;
  Status queued = submit(key);
  // One that runs may be past what this flush has moved; jobs of a type take turns, so that of two
  // one has not begun.
  if (queued.Is(ErrorKind::IdempotentConflict)) queued = submit(key + "-next");
  if (queued.ok() || queued.Is(ErrorKind::IdempotentConflict)) return;
  Log(LogLevel::kWarn, "vectors", "the snapshots of a flushed table were not queued",
      {{"error", queued.ToString()}});
}

}  // namespace

void RunVectorIndexJobs(const StatementServices& services, jobs::JobQueue& queue,
                        jobs::TieringJobs* tiering) {
  if (services.vector_indexes == nullptr) return;
  queue.SetExecutor(jobs::JobType::kVectorIndex,
                    [&services](const jobs::JobRecord& job, const jobs::JobCancelled& cancelled) {
                      return WriteSnapshots(services, job, cancelled);
                    });
  if (tiering == nullptr) return;
  tiering->SetFlushed([&services, &queue](const catalog::TableDefinition& table) {
    QueueSnapshots(services, queue, table);
  });
}

Result<std::vector<exports::ExportedIndex>> IndexesOf(const StatementServices& services,
                                                      const std::string& namespace_id) {
  std::vector<exports::ExportedIndex> indexes;
  if (services.vector_indexes == nullptr) return indexes;
  for (const vectors::IndexDefinition& index : services.vector_indexes->Definitions()) {
    KALAM_ASSIGN_OR_RETURN(const auto table, services.catalog.FindTable(index.table));
    if (table == nullptr || table->namespace_id != namespace_id) continue;
    for (const catalog::ColumnDefinition& column : *table->columns) {
      if (column.column_id != index.column_id) continue;
      indexes.push_back({.table = table->name,
                         .column = column.name,
                         .metric = std::string(vectors::MetricName(index.metric)),
                         .name = index.name});
    }
  }
  return indexes;
}

}  // namespace kalam::statements
