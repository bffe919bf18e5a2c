// See vector_index_jobs.h.
#include "statements/vector_index_jobs.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "segments/segment_store.h"
#include "tiering/tiering.h"
#include "vectors/vector_indexes.h"

namespace kalam::statements {
namespace {

// Of a job: it writes manifests alone.
constexpr std::string_view kManifests = "manifests";

/// The copies in the storage name snapshots that are there, so they follow them.
Status WriteManifests(const StatementServices& services, TableId table) {
  return services.tiering == nullptr ? Status::Ok() : services.tiering->WriteManifests(table);
}

Result<jobs::JobOutcome> WriteSnapshots(const StatementServices& services,
                                        const jobs::JobRecord& job,
                                        const jobs::JobCancelled& cancelled) {
  const auto parameters = nlohmann::json::parse(job.parameters_json, nullptr, false);
  const TableId id{parameters.is_object() ? parameters.value("internal_id", 0u) : 0u};
  KALAM_ASSIGN_OR_RETURN(const catalog::TablePtr table, services.catalog.FindTable(id));
  if (table == nullptr) {
    return jobs::JobOutcome{true, "Table not found (table may have been dropped)"};
  }
  if (parameters.value(std::string(kManifests), false)) {
    KALAM_RETURN_IF_ERROR(WriteManifests(services, id));
    return jobs::JobOutcome{false, "Wrote the manifests of " + table->QualifiedName()};
  }
  KALAM_ASSIGN_OR_RETURN(const size_t written,
                         services.vector_indexes->WriteSnapshots(id, cancelled));
  if (written > 0) KALAM_RETURN_IF_ERROR(WriteManifests(services, id));
  return jobs::JobOutcome{false, fmt::format("Wrote {} vector index snapshot(s) of {}", written,
                                             table->QualifiedName())};
}

void Queue(jobs::JobQueue& queue, const catalog::TableDefinition& table, bool manifests_only) {
  nlohmann::json parameters = {{"table_id", table.QualifiedName()},
                               {"table_type", catalog::TableTypeName(table.type)},
                               {"internal_id", table.id.value}};
  if (manifests_only) parameters[std::string(kManifests)] = true;
  const auto submit = [&](const std::string& key) {
    return queue.Submit(jobs::JobType::kVectorIndex, parameters.dump(), key).status();
  };
  const std::string key = fmt::format("vector-{}-{}-{}", manifests_only ? kManifests : "index",
                                      table.namespace_id, table.name);
  Status queued = submit(key);
  // One that runs may be past what has changed; jobs of a type take turns, so that of two one has
  // not begun.
  if (queued.Is(ErrorKind::IdempotentConflict)) queued = submit(key + "-next");
  if (queued.ok() || queued.Is(ErrorKind::IdempotentConflict)) return;
  Log(LogLevel::kWarn, "vectors", "a job for the snapshots of a table was not queued",
      {{"error", queued.ToString()}});
}

void QueueSnapshots(const StatementServices& services, jobs::JobQueue& queue,
                    const catalog::TableDefinition& table) {
  const auto definitions = services.vector_indexes->Definitions();
  const auto is_of_table = [&](const auto& definition) { return definition.table == table.id; };
  if (std::none_of(definitions.begin(), definitions.end(), is_of_table)) return;
  Queue(queue, table, /*manifests_only=*/false);
}

}  // namespace

void QueueManifests(const StatementServices& services, jobs::JobQueue& queue, TableId id) {
  if (services.segments == nullptr || !services.segments->MayHaveSegments(id)) return;
  const auto table = services.catalog.FindTable(id);
  if (table.ok() && *table != nullptr) Queue(queue, **table, /*manifests_only=*/true);
}

void RunVectorIndexJobs(const StatementServices& services, jobs::JobQueue& queue,
                        jobs::TieringJobs* tiering) {
  if (services.vector_indexes == nullptr) return;
  queue.SetExecutor(jobs::JobType::kVectorIndex,
                    [&services](const jobs::JobRecord& job, const jobs::JobCancelled& cancelled) {
                      return WriteSnapshots(services, job, cancelled);
                    });
  services.vector_indexes->SetSnapshotWritten(
      [&services, &queue](TableId table) { QueueManifests(services, queue, table); });
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
