// CREATE, ALTER, DROP STORAGE and STORAGE CHECK.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "catalog/storage_templates.h"
#include "objects/health.h"
#include "objects/storage_set.h"
#include "statements/families.h"
#include "statements/local_folders.h"
#include "tiering/tiering.h"

namespace kalam::statements {
namespace {

using catalog::StorageRecord;
using sql::StorageStatement;

constexpr std::string_view kLocal = "local";
constexpr size_t kProblemsShown = 10;
// How long a DROP STORAGE waits for the cleanup of tables that were just dropped.
constexpr std::chrono::milliseconds kCleanupPause(50);
constexpr int kCleanupRoundsMax = 100;
// Keys of CONFIG that are kept with the credentials, where nothing shows them.
constexpr std::string_view kSecretKeys[] = {"access_key_id", "secret_access_key",
                                            "session_token", "access_key",
                                            "sas_token",     "service_account_json"};

std::string Subject(std::string_view id) { return "Storage '" + std::string(id) + "'"; }

Status Invalid(std::string message) { return Status(ErrorKind::InvalidSql, std::move(message)); }

const std::string* FindClause(const StorageStatement& statement, std::string_view name) {
  for (const auto& [clause, value] : statement.clauses) {
    if (clause == name) return &value;
  }
  return nullptr;
}

Status CheckClauses(const StorageStatement& statement, std::string_view verb,
                    std::initializer_list<std::string_view> allowed) {
  for (size_t i = 0; i < statement.clauses.size(); ++i) {
    const std::string& clause = statement.clauses[i].first;
    if (std::find(allowed.begin(), allowed.end(), clause) == allowed.end()) {
      return Invalid(fmt::format("{} STORAGE cannot set {}", verb, clause));
    }
    for (size_t k = 0; k < i; ++k) {
      if (statement.clauses[k].first == clause) {
        return Invalid(clause + " is given twice");
      }
    }
  }
  return {};
}

Status CheckStorageId(const std::string& id) {
  const bool plain =
      !id.empty() && id.size() <= 64 && std::all_of(id.begin(), id.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-';
      });
  if (plain) return {};
  return Status(ErrorKind::InvalidOperation,
                "Invalid storage id; letters, digits, '_' and '-' are allowed, at most 64");
}

/// An object from CONFIG or CREDENTIALS. The text is not repeated: it may hold a secret.
Result<nlohmann::json> ParseObject(const std::string& text, std::string_view title) {
  auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) {
    return Status(ErrorKind::InvalidOperation, std::string(title) + " must be a JSON object");
  }
  return json;
}

/// What each type may be called in the key `type` of CONFIG and CREDENTIALS.
bool NamesType(const nlohmann::json& value, std::string_view storage_type) {
  const std::string name = value.is_string() ? value.get<std::string>() : "";
  return name == storage_type || (storage_type == "filesystem" && name == "local") ||
         (storage_type == "gcs" && name == "gs") || (storage_type == "azure" && name == "az");
}

/// Refuses what would be taken without a word and do nothing. The keys of remote storages are
/// checked by whoever opens them.
Status CheckKeys(const StorageRecord& record, const nlohmann::json& given, std::string_view title) {
  const auto refuse = [&](std::string_view what) {
    return Status(ErrorKind::InvalidOperation,
                  fmt::format("{}: {} {}", Subject(record.storage_id), title, what));
  };
  const bool is_local = record.storage_type == "filesystem";
  for (const auto& [key, value] : given.items()) {
    if (key == "type") {
      if (NamesType(value, record.storage_type)) continue;
      return refuse(fmt::format("names another type than '{}'", record.storage_type));
    }
    if (!is_local) continue;
    if (key == "root") {
      if (value == record.base_directory) continue;
      return refuse("has another 'root' than the folder of the storage; PATH names that");
    }
    return refuse(fmt::format("has an unknown key '{}'; a filesystem storage needs PATH alone",
                              key.substr(0, 64)));
  }
  return {};
}

std::string Text(const nlohmann::json& json) {
  return json.empty() ? "" : json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// Lays CONFIG and CREDENTIALS over the record; whatever is secret ends up in the credentials.
Status TakeSettings(const StorageStatement& statement, StorageRecord* record) {
  KALAM_ASSIGN_OR_RETURN(
      nlohmann::json credentials,
      ParseObject(record->credentials_json.empty() ? "{}" : record->credentials_json,
                  "Credentials"));
  if (const std::string* given = FindClause(statement, "CREDENTIALS")) {
    KALAM_ASSIGN_OR_RETURN(credentials, ParseObject(*given, "Credentials"));
    KALAM_RETURN_IF_ERROR(CheckKeys(*record, credentials, "Credentials"));
  }
  KALAM_ASSIGN_OR_RETURN(
      nlohmann::json config,
      ParseObject(record->config_json.empty() ? "{}" : record->config_json, "CONFIG"));
  if (const std::string* given = FindClause(statement, "CONFIG")) {
    KALAM_ASSIGN_OR_RETURN(config, ParseObject(*given, "CONFIG"));
    KALAM_RETURN_IF_ERROR(CheckKeys(*record, config, "CONFIG"));
  }
  if (const std::string* region = FindClause(statement, "REGION")) {
    if (record->storage_type == "filesystem") return Invalid("REGION is only for buckets");
    config["region"] = *region;
  }
  for (const std::string_view key : kSecretKeys) {
    const auto found = config.find(key);
    if (found == config.end()) continue;
    credentials[std::string(key)] = *found;
    config.erase(found);
  }
  record->credentials_json = Text(credentials);
  record->config_json = Text(config);
  return {};
}

Status TakeTexts(const StorageStatement& statement, StorageRecord* record) {
  for (const auto& [clause, field] :
       {std::pair("NAME", &record->storage_name), std::pair("DESCRIPTION", &record->description),
        std::pair("SHARED_TABLES_TEMPLATE", &record->shared_tables_template),
        std::pair("USER_TABLES_TEMPLATE", &record->user_tables_template)}) {
    if (const std::string* given = FindClause(statement, clause)) *field = *given;
  }
  if (record->shared_tables_template.empty()) {
    record->shared_tables_template = catalog::kDefaultSharedTemplate;
  }
  if (record->user_tables_template.empty()) {
    record->user_tables_template = catalog::kDefaultUserTemplate;
  }
  KALAM_RETURN_IF_ERROR(catalog::ValidateSharedTemplate(record->shared_tables_template));
  return catalog::ValidateUserTemplate(record->user_tables_template);
}

/// `base` with the scheme of its type in front.
std::string WithScheme(std::string_view scheme, const std::string& base) {
  return base.find("://") == base.npos ? std::string(scheme) + base : base;
}

Status TakePlace(const AdminContext& context, const StorageStatement& statement,
                 StorageRecord* record) {
  const std::string* path = FindClause(statement, "PATH");
  const std::string* base = FindClause(statement, "BASE_DIRECTORY");
  const std::string* bucket = FindClause(statement, "BUCKET");
  if ((path != nullptr) + (base != nullptr) + (bucket != nullptr) > 1) {
    return Invalid("Only one of PATH, BASE_DIRECTORY and BUCKET can be given");
  }
  if (record->storage_type == "filesystem") {
    const std::string* folder = path != nullptr ? path : base;
    if (folder == nullptr) return Invalid("A filesystem storage needs PATH or BASE_DIRECTORY");
    KALAM_ASSIGN_OR_RETURN(
        record->base_directory,
        CheckLocalFolder(*folder, {.allowed = context.services.allowed_directories,
                                   .data_directory = context.services.data_directory}));
    return {};
  }
  if (path != nullptr) return Invalid("PATH is only for filesystem storages");
  const std::string* place = bucket != nullptr ? bucket : base;
  if (place == nullptr) {
    return Invalid(
        fmt::format("A storage of type {} needs BUCKET or BASE_DIRECTORY", record->storage_type));
  }
  const std::string_view scheme = record->storage_type == "s3"    ? "s3://"
                                  : record->storage_type == "gcs" ? "gs://"
                                                                  : "az://";
  record->base_directory = WithScheme(scheme, *place);
  return {};
}

objects::StorageSettings SettingsOf(const AdminContext& context, const StorageRecord& record) {
  return {.storage_id = record.storage_id,
          .type = record.storage_type,
          .base_directory = record.storage_id == kLocal
                                ? context.services.data_directory + "/storage"
                                : record.base_directory,
          .config_json = record.config_json,
          .credentials_json = record.credentials_json};
}

/// Opens the storage as the record describes it and tries it out.
Status Probe(const AdminContext& context, const StorageRecord& record) {
  KALAM_ASSIGN_OR_RETURN(
      const auto storage,
      context.services.storages->Open(SettingsOf(context, record), objects::BaseFolder::kCreate));
  const objects::StorageHealth health = objects::CheckHealth(*storage);
  if (health.status() == "healthy") return {};
  if (health.status() == "unreachable") {
    return Status(ErrorKind::InvalidOperation,
                  fmt::format("Storage connectivity check failed for '{}': {}", record.storage_id,
                              health.error));
  }
  return Status(
      ErrorKind::InvalidOperation,
      fmt::format("Storage health check failed (status {}, readable={}, writable={}, listable={}, "
                  "deletable={}) for '{}': {}",
                  health.status(), health.readable, health.writable, health.listable,
                  health.deletable, record.storage_id, health.error));
}

/// Tables of the storage, of one type or of any.
Result<int64_t> CountTables(const AdminContext& context, const std::string& storage_id,
                            std::optional<catalog::TableType> type) {
  KALAM_ASSIGN_OR_RETURN(const auto tables, context.services.catalog.ListTables(""));
  return std::count_if(tables.begin(), tables.end(), [&](const catalog::TablePtr& table) {
    return table->options.storage_id == storage_id && (!type || table->type == *type);
  });
}

Result<StatementResult> Create(AdminContext& context, const StatementRun& run,
                               const StorageStatement& statement) {
  const std::string& id = statement.storage_id;
  catalog::Catalog& catalog = context.services.catalog;
  KALAM_RETURN_IF_ERROR(CheckStorageId(id));
  KALAM_RETURN_IF_ERROR(
      CheckClauses(statement, "CREATE",
                   {"TYPE", "NAME", "DESCRIPTION", "PATH", "BASE_DIRECTORY", "BUCKET", "REGION",
                    "SHARED_TABLES_TEMPLATE", "USER_TABLES_TEMPLATE", "CREDENTIALS", "CONFIG"}));
  const Status exists(ErrorKind::InvalidOperation, Subject(id) + " already exists");
  KALAM_ASSIGN_OR_RETURN(const auto present, catalog.FindStorage(id));
  if (present) return exists;

  StorageRecord record;
  record.storage_id = record.storage_name = id;
  const std::string* type = FindClause(statement, "TYPE");
  record.storage_type = type == nullptr ? "" : *type;
  if (record.storage_type != "filesystem" && record.storage_type != "s3" &&
      record.storage_type != "gcs" && record.storage_type != "azure") {
    return Status(ErrorKind::InvalidOperation,
                  fmt::format("Invalid storage type '{}'. Must be 'filesystem', 's3', 'gcs', or "
                              "'azure'",
                              record.storage_type));
  }
  KALAM_RETURN_IF_ERROR(TakeTexts(statement, &record));
  KALAM_RETURN_IF_ERROR(TakePlace(context, statement, &record));
  KALAM_RETURN_IF_ERROR(TakeSettings(statement, &record));
  record.created_at_us = record.updated_at_us = run.now_us;
  // May take as long as the timeouts of remote storages, so before the lock is taken.
  KALAM_RETURN_IF_ERROR(Probe(context, record));

  std::lock_guard lock(context.ddl_mutex);
  KALAM_ASSIGN_OR_RETURN(const auto present_now, catalog.FindStorage(id));
  if (present_now) return exists;
  catalog::RecordWrites records = catalog.PutStorage(record);
  records.push_back(
      AuditWrite(MakeAudit(run, "CREATE_STORAGE", id, "Type: " + record.storage_type)));
  KALAM_RETURN_IF_ERROR(Commit(context.services.group, std::move(records)));
  return Told(Subject(id) + " created successfully");
}

/// Files lie where the template said when they were written.
Status CheckTemplatesMayChange(const AdminContext& context, const StorageRecord& before,
                               const StorageRecord& after) {
  int64_t tables = 0;
  if (before.shared_tables_template != after.shared_tables_template) {
    KALAM_ASSIGN_OR_RETURN(const int64_t shared,
                           CountTables(context, before.storage_id, catalog::TableType::kShared));
    tables += shared;
  }
  if (before.user_tables_template != after.user_tables_template) {
    KALAM_ASSIGN_OR_RETURN(const int64_t of_users,
                           CountTables(context, before.storage_id, catalog::TableType::kUser));
    tables += of_users;
  }
  if (tables == 0) return {};
  return Status(ErrorKind::InvalidOperation,
                fmt::format("Cannot change the templates of storage '{}': {} table(s) still using "
                            "it",
                            before.storage_id, tables));
}

Result<StatementResult> Alter(AdminContext& context, const StatementRun& run,
                              const StorageStatement& statement) {
  const std::string& id = statement.storage_id;
  catalog::Catalog& catalog = context.services.catalog;
  KALAM_RETURN_IF_ERROR(CheckClauses(statement, "ALTER",
                                     {"NAME", "DESCRIPTION", "SHARED_TABLES_TEMPLATE",
                                      "USER_TABLES_TEMPLATE", "CONFIG", "CREDENTIALS", "REGION"}));
  const auto changed = [&]() -> Result<std::pair<StorageRecord, StorageRecord>> {
    KALAM_ASSIGN_OR_RETURN(auto before, catalog.FindStorage(id));
    if (!before) return Status(ErrorKind::NotFound, Subject(id) + " not found");
    StorageRecord after = *before;
    KALAM_RETURN_IF_ERROR(TakeTexts(statement, &after));
    KALAM_RETURN_IF_ERROR(TakeSettings(statement, &after));
    after.updated_at_us = run.now_us;
    return std::pair(*std::move(before), std::move(after));
  };
  {
    KALAM_ASSIGN_OR_RETURN(const auto change, changed());
    KALAM_RETURN_IF_ERROR(CheckTemplatesMayChange(context, change.first, change.second));
    KALAM_RETURN_IF_ERROR(Probe(context, change.second));
  }
  std::lock_guard lock(context.ddl_mutex);
  KALAM_ASSIGN_OR_RETURN(const auto change, changed());
  KALAM_RETURN_IF_ERROR(CheckTemplatesMayChange(context, change.first, change.second));
  catalog::RecordWrites records = catalog.PutStorage(change.second);
  std::string clauses;
  for (const auto& [clause, value] : statement.clauses) {
    clauses += (clauses.empty() ? "" : ", ") + clause;
  }
  records.push_back(AuditWrite(MakeAudit(run, "ALTER_STORAGE", id, "Set: " + clauses)));
  KALAM_RETURN_IF_ERROR(Commit(context.services.group, std::move(records)));
  return Told(Subject(id) + " altered successfully");
}

/// Dropped tables whose files a job has to remove from the storage.
Result<int64_t> CountCleanups(const AdminContext& context, const std::string& id) {
  KALAM_ASSIGN_OR_RETURN(const auto jobs, context.jobs.List());
  return std::count_if(jobs.begin(), jobs.end(), [&](const jobs::JobRecord& job) {
    if (job.type != jobs::JobType::kCleanup || !jobs::IsActive(job.status)) return false;
    const auto parameters = nlohmann::json::parse(job.parameters_json, nullptr, false);
    if (!parameters.is_object() || !parameters.contains("storage")) return false;
    const auto& storage = parameters["storage"];
    return storage.is_object() && storage.value("storage_id", std::string()) == id;
  });
}

/// Usually they are done within moments of the DROP TABLE.
Status WaitForCleanups(AdminContext& context, const std::string& id) {
  for (int round = 0; round < kCleanupRoundsMax; ++round) {
    KALAM_ASSIGN_OR_RETURN(const int64_t count, CountCleanups(context, id));
    if (count == 0) break;
    context.jobs.Tick();
    std::this_thread::sleep_for(kCleanupPause);
  }
  return {};
}

Result<StatementResult> Drop(AdminContext& context, const StatementRun& run,
                             const StorageStatement& statement) {
  const std::string& id = statement.storage_id;
  if (id != kLocal) KALAM_RETURN_IF_ERROR(WaitForCleanups(context, id));
  std::lock_guard lock(context.ddl_mutex);
  KALAM_ASSIGN_OR_RETURN(const auto present, context.services.catalog.FindStorage(id));
  if (!present) {
    if (statement.if_exists) return Told(Subject(id) + " does not exist (skipped)");
    return Status(ErrorKind::NotFound, Subject(id) + " not found");
  }
  KALAM_ASSIGN_OR_RETURN(const int64_t tables, CountTables(context, id, std::nullopt));
  if (tables > 0) {
    return Status(ErrorKind::InvalidOperation,
                  fmt::format("Cannot drop storage '{}': {} table(s) still using it", id, tables));
  }
  if (id == kLocal) {
    return Status(ErrorKind::InvalidOperation, "Cannot drop storage 'local': it always exists");
  }
  // Without the storage nobody could remove them any more.
  KALAM_ASSIGN_OR_RETURN(const int64_t cleanups, CountCleanups(context, id));
  if (cleanups > 0) {
    return Status(
        ErrorKind::InvalidOperation,
        fmt::format("Cannot drop storage '{}': the files of {} dropped table(s) are still "
                    "to be removed; try again, or KILL JOB their cleanup to leave them",
                    id, cleanups));
  }
  catalog::RecordWrites records = context.services.catalog.DropStorage(id);
  records.push_back(AuditWrite(MakeAudit(run, "DROP_STORAGE", id)));
  KALAM_RETURN_IF_ERROR(Commit(context.services.group, std::move(records)));
  return Told(Subject(id) + " dropped successfully");
}

ResultSchema CheckSchema() {
  const DataType text = DataType::Of(TypeKind::kText), number = DataType::Of(TypeKind::kBigInt),
                 flag = DataType::Of(TypeKind::kBoolean);
  return {{.name = "storage_id", .type = text},
          {.name = "status", .type = text},
          {.name = "readable", .type = flag},
          {.name = "writable", .type = flag},
          {.name = "listable", .type = flag},
          {.name = "deletable", .type = flag},
          {.name = "latency_ms", .type = number},
          {.name = "total_bytes", .type = number},
          {.name = "used_bytes", .type = number},
          {.name = "error", .type = text},
          {.name = "tested_at", .type = DataType::Of(TypeKind::kTimestamp)}};
}

/// What is wrong with the manifests of a storage, for the column `error`; empty when nothing is.
std::string ManifestProblems(const AdminContext& context, const std::string& storage_id) {
  if (context.services.tiering == nullptr) return {};
  const auto problems = context.services.tiering->CheckManifests(storage_id);
  if (!problems.ok()) return "The manifests could not be read: " + problems.status().message();
  if (problems->empty()) return {};
  const tiering::ManifestProblem& first = problems->front();
  std::string text = fmt::format("{} {}; no row is lost: STORAGE REBUILD TABLE {} writes it again",
                                 first.path, first.problem, first.table_name);
  for (size_t i = 1; i < problems->size() && i < kProblemsShown; ++i)
    text += fmt::format("; {} {}", (*problems)[i].path, (*problems)[i].problem);
  if (problems->size() > kProblemsShown)
    text += fmt::format("; and {} more", problems->size() - kProblemsShown);
  return text;
}

Result<StatementResult> Check(AdminContext& context, const StatementRun& run,
                              const StorageStatement& statement) {
  const std::string& id = statement.storage_id;
  KALAM_ASSIGN_OR_RETURN(const auto record, context.services.catalog.FindStorage(id));
  if (!record) return Status(ErrorKind::NotFound, Subject(id) + " not found");
  objects::StorageHealth health;
  objects::FileSystemSpace space;
  bool has_space = false, is_whole = true;
  const auto storage = context.services.storages->Find(id);
  if (storage.ok()) {
    health = objects::CheckHealth(**storage);
    has_space = statement.extended && objects::ReadSpace(**storage, &space);
    if (statement.extended && health.error.empty()) {
      health.error = ManifestProblems(context, id);
      is_whole = health.error.empty();
    }
  } else {
    health.error = storage.status().message();
  }
  auto rows = std::make_shared<RowBuffer>(CheckSchema());
  const auto bytes = [has_space](int64_t count) {
    return has_space ? BigIntCell(count) : Value::Null();
  };
  rows->Append({TextCell(id), TextCell(is_whole ? health.status() : "degraded"),
                Value::Boolean(health.readable), Value::Boolean(health.writable),
                Value::Boolean(health.listable), Value::Boolean(health.deletable),
                BigIntCell(health.latency_us / 1000), bytes(space.total_bytes),
                bytes(space.used_bytes), OptionalTextCell(health.error),
                TimestampCell(run.now_us)});
  return Shown(std::move(rows));
}

}  // namespace

Result<StatementResult> ExecuteStorage(AdminContext& context, const StatementRun& run,
                                       const StorageStatement& statement) {
  if (context.services.storages == nullptr) {
    return Status(ErrorKind::NotAvailable, "Storages are not available on this server");
  }
  switch (statement.kind) {
    case StorageStatement::Kind::kCreate:
      return Create(context, run, statement);
    case StorageStatement::Kind::kAlter:
      return Alter(context, run, statement);
    case StorageStatement::Kind::kDrop:
      return Drop(context, run, statement);
    default:
      return Check(context, run, statement);
  }
}

}  // namespace kalam::statements
