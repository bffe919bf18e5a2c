// Rows of the system tables that show the running server: jobs, audit, settings, transactions, the
// node itself.
#include <sys/utsname.h>

#include <algorithm>
#include <array>

#include "base/build_facts.h"
#include "statements/audit.h"
#include "statements/families.h"
#include "statements/process_facts.h"
#include "statements/system_tables.h"
#include "tiering/tiering.h"

namespace kalam::statements {
namespace {

constexpr int64_t kNodeId = 1;
constexpr std::string_view kClusterId = "standalone";

/// The logical groups of rows that bind a transaction; a single node leads all of them in one
/// order.
struct GroupRow {
  int64_t group_id;
  std::string_view type;
};
constexpr std::array<GroupRow, 3> kGroups = {{{0, "meta"}, {1, "user_data"}, {2, "shared_data"}}};

Value NoNumber() { return Value::Null(TypeKind::kBigInt); }

void AddAccount(const MemoryAccount& account, const std::string& prefix, RowBuffer* rows) {
  const std::string path = prefix.empty() ? account.name() : prefix + "." + account.name();
  rows->Append({TextCell(path), BigIntCell(account.used_bytes()), BigIntCell(account.peak_bytes()),
                account.limit_bytes() > 0 ? BigIntCell(account.limit_bytes()) : NoNumber(),
                OptionalTextCell("")});
  for (const MemoryAccount* child : account.children()) AddAccount(*child, path, rows);
}

}  // namespace

Status ReadJobs(const SystemSources& sources, const catalog::Caller&, RowBuffer* rows) {
  KALAM_ASSIGN_OR_RETURN(const auto jobs, sources.jobs.List());
  for (const jobs::JobRecord& job : jobs) {
    rows->Append({TextCell(job.job_id),
                  TextCell(jobs::JobTypeName(job.type)),
                  TextCell(jobs::JobStatusName(job.status)),
                  TextCell(jobs::JobStatusName(job.status)),
                  JsonCell(job.parameters_json),
                  OptionalTextCell(job.message),
                  OptionalTextCell(job.exception_trace),
                  OptionalTextCell(job.idempotency_key),
                  Value::Null(TypeKind::kText),
                  Value::Null(TypeKind::kInt),
                  SmallIntCell(job.retry_count),
                  SmallIntCell(job.max_retries),
                  NoNumber(),
                  NoNumber(),
                  TimestampCell(job.created_at_us),
                  TimestampCell(job.updated_at_us),
                  OptionalTimestampCell(job.started_at_us),
                  OptionalTimestampCell(job.finished_at_us),
                  BigIntCell(kNodeId),
                  BigIntCell(kNodeId)});
  }
  return Status::Ok();
}

Status ReadJobNodes(const SystemSources& sources, const catalog::Caller&, RowBuffer* rows) {
  KALAM_ASSIGN_OR_RETURN(const auto jobs, sources.jobs.List());
  for (const jobs::JobRecord& job : jobs) {
    rows->Append({TextCell(job.job_id), BigIntCell(kNodeId),
                  TextCell(jobs::JobStatusName(job.status)), OptionalTextCell(job.exception_trace),
                  TimestampCell(job.created_at_us), OptionalTimestampCell(job.started_at_us),
                  OptionalTimestampCell(job.finished_at_us), TimestampCell(job.updated_at_us)});
  }
  return Status::Ok();
}

/// Admins see all folders; others those of their own rows and of shared tables that they may read.
Status ReadManifests(const SystemSources& sources, const catalog::Caller& caller, RowBuffer* rows) {
  if (sources.services.tiering == nullptr) return Status::Ok();
  KALAM_ASSIGN_OR_RETURN(const auto manifests, sources.services.tiering->ListManifests());
  for (const tiering::ManifestRow& manifest : manifests) {
    KALAM_ASSIGN_OR_RETURN(const auto table, sources.services.catalog.FindTable(
                                                 manifest.namespace_id, manifest.table_name));
    if (!catalog::IsAdmin(caller.role)) {
      if (table == nullptr || !MaySee(*table, caller)) continue;
      if (table->is_scoped_by_user() && manifest.scope != caller.user_id) continue;
    }
    rows->Append({TextCell(manifest.cache_key), TextCell(manifest.namespace_id),
                  TextCell(manifest.table_name), TextCell(manifest.scope), TextCell(manifest.etag),
                  TimestampCell(manifest.updated_at_us), TimestampCell(manifest.updated_at_us),
                  Value(Datum::Boolean(false)), TextCell("in_sync"),
                  JsonCell(manifest.manifest_json)});
  }
  return Status::Ok();
}

Status ReadAuditLog(const SystemSources& sources, const catalog::Caller&, RowBuffer* rows) {
  KALAM_ASSIGN_OR_RETURN(const auto entries, ListAudit(sources.services.store));
  for (const AuditEntry& entry : entries) {
    rows->Append({TextCell(entry.audit_id), TimestampCell(entry.timestamp_us),
                  TextCell(entry.actor_user_id), TextCell(entry.action), TextCell(entry.target),
                  entry.details ? TextCell(*entry.details) : Value::Null(TypeKind::kText),
                  OptionalTextCell(entry.ip_address),
                  OptionalTextCell(entry.subject_user_id.value_or(""))});
  }
  return Status::Ok();
}

Status ReadSettings(const SystemSources& sources, const catalog::Caller&, RowBuffer* rows) {
  if (!sources.services.settings) return Status::Ok();
  for (const ShownSetting& setting : sources.services.settings()) {
    rows->Append({TextCell(setting.name), TextCell(setting.value), TextCell(setting.description),
                  TextCell(setting.category)});
  }
  return Status::Ok();
}

Status ReadTransactions(const SystemSources& sources, const catalog::Caller&, RowBuffer* rows) {
  const int64_t now_us = sources.services.clock.NowUs();
  for (const OpenTransaction& open : sources.transactions.List()) {
    rows->Append({TextCell(open.transaction_id), TextCell(open.owner_id), TextCell(open.origin),
                  TextCell(open.state), BigIntCell((now_us - open.started_us) / 1000),
                  BigIntCell((now_us - open.last_used_us) / 1000), BigIntCell(open.write_count),
                  BigIntCell(open.write_bytes), BigIntCell(open.touched_tables_count),
                  BigIntCell(open.snapshot_seq)});
  }
  return Status::Ok();
}

Status ReadCluster(const SystemSources& sources, const catalog::Caller&, RowBuffer* rows) {
  const ProcessFacts facts = ReadProcessFacts();
  const int64_t uptime_us = sources.services.clock.SteadyUs() - sources.started_steady_us;
  const int64_t head = sources.services.group.published_seq().value;
  utsname system{};
  uname(&system);
  Datum cpu = Datum::Null(TypeKind::kFloat);
  cpu.is_null = false;
  cpu.d = uptime_us > 0 ? 100.0 * static_cast<double>(facts.cpu_us) / static_cast<double>(uptime_us)
                        : 0;
  const auto group_count = static_cast<int64_t>(kGroups.size());
  rows->Append({TextCell(kClusterId),
                BigIntCell(kNodeId),
                TextCell("leader"),
                TextCell("active"),
                TextCell(""),
                TextCell(sources.services.node_api_address),
                Value::Boolean(true),
                Value::Boolean(true),
                IntCell(group_count),
                IntCell(group_count),
                BigIntCell(1),
                BigIntCell(head),
                BigIntCell(head),
                NoNumber(),
                SmallIntCell(100),
                BigIntCell(0),
                OptionalTextCell(HostName()),
                TextCell(std::string(ThisBuild().version)),
                BigIntCell(facts.machine_memory_bytes >> 20),
                BigIntCell(facts.rss_bytes >> 20),
                Value(cpu),
                BigIntCell(uptime_us / 1'000'000),
                TextCell(HumanDuration(uptime_us / 1'000'000)),
                TextCell(system.sysname),
                TextCell(system.machine)});
  return Status::Ok();
}

Status ReadClusterGroups(const SystemSources& sources, const catalog::Caller&, RowBuffer* rows) {
  const int64_t head = sources.services.group.published_seq().value;
  for (const GroupRow& group : kGroups) {
    rows->Append({BigIntCell(group.group_id), TextCell(kClusterId), BigIntCell(kNodeId),
                  TextCell(group.type), BigIntCell(1), Value::Null(TypeKind::kJson),
                  BigIntCell(head), BigIntCell(head), NoNumber(), NoNumber(), BigIntCell(head),
                  TextCell("Leader"), BigIntCell(kNodeId), BigIntCell(0)});
  }
  return Status::Ok();
}

Status ReadMemory(const SystemSources& sources, const catalog::Caller&, RowBuffer* rows) {
  AddAccount(sources.services.memory, "", rows);
  if (!sources.services.memory_facts) return Status::Ok();
  for (const MemoryFact& fact : sources.services.memory_facts()) {
    rows->Append({TextCell(fact.account), BigIntCell(fact.used_bytes), BigIntCell(fact.used_bytes),
                  fact.limit_bytes ? BigIntCell(*fact.limit_bytes) : NoNumber(),
                  OptionalTextCell(fact.detail)});
  }
  return Status::Ok();
}

}  // namespace kalam::statements
