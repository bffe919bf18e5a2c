// AdminStatements: hands each statement to its family and owns what the families share.
#include "statements/admin_statements.h"

#include <mutex>
#include <type_traits>
#include <utility>
#include <variant>

#include "jobs/backup_jobs.h"
#include "jobs/export_jobs.h"
#include "jobs/maintenance.h"
#include "jobs/tiering_jobs.h"
#include "statements/backup_statements.h"
#include "statements/bootstrap.h"
#include "statements/families.h"
#include "statements/stats_sampler.h"
#include "statements/system_table_definitions.h"
#include "statements/system_tables.h"
#include "statements/vector_index_jobs.h"

namespace kalam::statements {
namespace {

template <typename T>
concept HasFamily = requires(AdminContext& context, StatementRun& run, const T& body) {
  { Execute(context, run, body) } -> std::same_as<Result<StatementResult>>;
};

jobs::MaintenanceOptions MaintenanceOptionsFrom(const StatementLimits& limits) {
  jobs::MaintenanceOptions options;
  options.change_retention_seconds = limits.change_retention_seconds;
  options.change_log_bytes_max = limits.change_log_bytes_max;
  options.job_retention_seconds = limits.job_retention_seconds;
  options.user_grace_seconds = limits.user_grace_seconds;
  options.stream_eviction_interval_seconds = limits.stream_eviction_interval_seconds;
  return options;
}

class AdminStatementsImpl : public AdminStatements {
 public:
  AdminStatementsImpl(const StatementServices& services, const StatementLimits& limits,
                      const TransactionRegistry& transactions, std::unique_ptr<jobs::JobQueue> jobs,
                      std::vector<catalog::TablePtr> definitions)
      : services_(services),
        limits_(limits),
        jobs_(std::move(jobs)),
        system_(
            {services_, transactions, *jobs_, std::move(definitions), services_.clock.SteadyUs()}),
        sampler_(system_.sources(), {.is_enabled = limits_.sample_stats,
                                     .retention_seconds = limits_.stats_retention_seconds}),
        tiering_(MakeTieringJobs()),
        maintenance_(
            {services_.store, services_.catalog, services_.group, services_.query.reader(),
             services_.clock, *jobs_, services_.change_retention, PurgeLimit(), CleanUpFiles()},
            MaintenanceOptionsFrom(limits_)),
        exports_(MakeExportJobs()),
        backups_(MakeBackupJobs()),
        context_{services_,      limits_,        transactions, *jobs_,    tiering_.get(),
                 exports_.get(), backups_.get(), system_,      ddl_mutex_} {
    services_.query.SetSystemTables(&system_);
    RunVectorIndexJobs(services_, *jobs_, tiering_.get());
  }
  ~AdminStatementsImpl() override {
    Close();
    services_.query.SetSystemTables(nullptr);
  }

  Result<StatementResult> Execute(StatementRun& run, const sql::Statement& statement,
                                  std::string_view text) override {
    return std::visit(
        [&](const auto& body) -> Result<StatementResult> {
          if constexpr (HasFamily<std::decay_t<decltype(body)>>) {
            return statements::Execute(context_, run, body);
          } else {
            return Status(ErrorKind::Internal,
                          "not an administrative statement: " + std::string(text));
          }
        },
        statement.body);
  }

  Status Bootstrap(const std::string& root_password_hash) override {
    std::lock_guard lock(ddl_mutex_);
    return BootstrapCatalog(services_, root_password_hash);
  }

  Status Audit(const catalog::Caller& actor, std::string_view action, std::string_view target,
               std::optional<std::string> details, std::string_view client_address,
               std::optional<std::string> subject_user_id) override {
    AuditEntry entry;
    entry.timestamp_us = services_.clock.NowUs();
    entry.actor_user_id = actor.user_id;
    entry.action = action;
    entry.target = target;
    entry.details = std::move(details);
    entry.ip_address = client_address;
    entry.subject_user_id = std::move(subject_user_id);
    return Commit(services_.group, {AuditWrite(std::move(entry))});
  }

  std::vector<StatSample> Stats() override { return CollectStats(system_.sources()); }
  size_t FlushLargest(size_t count_max, int64_t row_count_min) override {
    return tiering_ == nullptr ? 0 : tiering_->FlushLargest(count_max, row_count_min);
  }
  void Tick() override {
    std::unique_lock lock(tick_mutex_, std::try_to_lock);
    if (!lock.owns_lock() || closed_) return;
    sampler_.Tick();
    maintenance_.Tick();
    if (tiering_ != nullptr) tiering_->Tick();
    if (exports_ != nullptr) exports_->Tick();
    jobs_->Tick();
  }

  void Close() override {
    jobs_->Close();
    std::lock_guard lock(tick_mutex_);
    closed_ = true;
  }

 private:
  std::unique_ptr<jobs::TieringJobs> MakeTieringJobs() {
    if (services_.tiering == nullptr) return nullptr;
    return std::make_unique<jobs::TieringJobs>(
        jobs::TieringJobs::Dependencies{services_.store, services_.catalog, *services_.tiering,
                                        services_.clock, *jobs_},
        jobs::TieringJobsOptions{
            .check_interval_seconds = limits_.flush_check_interval_seconds,
            .sweep_interval_seconds = limits_.replaced_files_interval_seconds});
  }
  std::unique_ptr<jobs::ExportJobs> MakeExportJobs() {
    if (services_.engine == nullptr) return nullptr;
    return std::make_unique<jobs::ExportJobs>(jobs::ExportJobs::Dependencies{
        .services = {services_.catalog, services_.group, services_.query.reader(),
                     *services_.engine, services_.files},
        .clock = services_.clock,
        .queue = *jobs_,
        .data_directory = services_.data_directory,
        .indexes = [this](const std::string& ns) { return IndexesOf(services_, ns); },
        .retention_seconds = limits_.job_retention_seconds});
  }
  std::unique_ptr<jobs::BackupJobs> MakeBackupJobs() {
    if (services_.storages == nullptr) return nullptr;
    return std::make_unique<jobs::BackupJobs>(jobs::BackupJobs::Dependencies{
        .store = services_.store,
        .catalog = services_.catalog,
        .group = services_.group,
        .storages = *services_.storages,
        .ddl_mutex = ddl_mutex_,
        .swap_namespace =
            [this](backup::PreparedNamespace prepared, const std::string& user_id) {
              return SwapNamespace(context_, std::move(prepared), user_id);
            },
        .clock = services_.clock,
        .queue = *jobs_,
        .data_directory = services_.data_directory,
        .fail_point = services_.fail_point,
        .tiering = services_.tiering});
  }
  jobs::PurgeLimit PurgeLimit() {
    if (services_.tiering == nullptr) return {};
    return [tiering = services_.tiering](TableId table) { return tiering->PurgeLimit(table); };
  }
  jobs::CleanUpFiles CleanUpFiles() {
    if (tiering_ == nullptr) return {};
    return [this](const jobs::JobRecord& job, const jobs::JobCancelled& cancelled) {
      return tiering_->CleanUpDropped(job, cancelled);
    };
  }

  const StatementServices services_;
  const StatementLimits limits_;
  const std::unique_ptr<jobs::JobQueue> jobs_;
  std::mutex ddl_mutex_;
  SystemTableRows system_;
  std::mutex tick_mutex_;  // guards sampler_, maintenance_ and closed_
  StatsSampler sampler_;
  const std::unique_ptr<jobs::TieringJobs> tiering_;  // null without a cold tier
  jobs::Maintenance maintenance_;
  const std::unique_ptr<jobs::ExportJobs> exports_;  // null without an engine
  const std::unique_ptr<jobs::BackupJobs> backups_;  // null without storages
  bool closed_ = false;
  AdminContext context_;
};

}  // namespace

Result<std::unique_ptr<AdminStatements>> AdminStatements::Make(
    const StatementServices& services, const StatementLimits& limits,
    const TransactionRegistry& transactions) {
  KALAM_ASSIGN_OR_RETURN(auto jobs,
                         jobs::JobQueue::Open(services.store, services.group, services.clock,
                                              {.max_concurrent = limits.jobs_max_concurrent,
                                               .turn_clock = services.turn_clock,
                                               .was_restored = services.was_restored,
                                               .account = &services.memory.Child("jobs")}));
  std::vector<catalog::TablePtr> definitions = MakeSystemTableDefinitions(services.clock.NowUs());
  for (const catalog::TablePtr& definition : definitions)
    services.catalog.RegisterSystemTable(definition);
  return std::unique_ptr<AdminStatements>(std::make_unique<AdminStatementsImpl>(
      services, limits, transactions, std::move(jobs), std::move(definitions)));
}

}  // namespace kalam::statements
