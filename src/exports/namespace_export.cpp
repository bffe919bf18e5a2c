// All tables of a namespace, scope by scope, on one view.
#include "exports/namespace_export.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/optional_charge.h"
#include "exports/scope_archive.h"
#include "exports/zip_writer.h"
#include "storage/key_layout.h"
#include "types/key_codec.h"

namespace kalam::exports {
namespace {

using storage::Family;

// Of a set of texts, for each beside the text.
constexpr size_t kUserBytes = 96;

class Exporter {
 public:
  Exporter(const ExportServices& services, const NamespaceExportRequest& request)
      : services_(services),
        request_(request),
        work_{services, request.work_folder, request.cancelled, request.report, request.memory} {}

  Result<NamespaceExportSummary> Run() {
    if (!services_.catalog.NamespaceExists(request_.namespace_id)) {
      return Status(ErrorKind::NotFound, "Namespace '" + request_.namespace_id + "' not found");
    }
    KALAM_ASSIGN_OR_RETURN(zip_, ZipWriter::Create(request_.archive_path, request_.memory));
    KALAM_ASSIGN_OR_RETURN(const auto tables, services_.catalog.ListTables(request_.namespace_id));
    nlohmann::json versions = nlohmann::json::object();
    for (const catalog::TablePtr& table : tables) {
      versions[table->name] = table->schema_version;
      if (request_.is_schema_only) continue;
      // Rows of streams are gone before long.
      if (table->type == catalog::TableType::kUser || table->type == catalog::TableType::kShared)
        KALAM_RETURN_IF_ERROR(AddTable(table));
    }
    KALAM_RETURN_IF_ERROR(AddDescription(versions));
    KALAM_ASSIGN_OR_RETURN(summary_.archive_bytes, zip_->Close());
    return summary_;
  }

 private:
  Status AddTable(const catalog::TablePtr& table) {
    ++summary_.table_count;
    if (table->type == catalog::TableType::kShared)
      return AddScope(table, storage::Scope::Shared(), table->name);
    KALAM_ASSIGN_OR_RETURN(const std::set<std::string> users, UsersOf(*table));
    size_t user_bytes = 0;
    for (const std::string& user : users) user_bytes += kUserBytes + user.size();
    const MemoryCharge charge = ChargeIfAny(work_.memory, static_cast<int64_t>(user_bytes));
    for (const std::string& user : users) {
      KALAM_RETURN_IF_ERROR(
          AddScope(table, storage::Scope::OfUser(user), table->name + "/" + PathPart(user)));
    }
    return {};
  }

  Status AddScope(const catalog::TablePtr& table, const storage::Scope& scope,
                  const std::string& name) {
    KALAM_ASSIGN_OR_RETURN(const auto source, work_.FindRows(table, scope));
    if (source == nullptr) return {};
    KALAM_ASSIGN_OR_RETURN(const int64_t rows,
                           AddParquet(work_, source, "rows/" + name + ".parquet", *zip_));
    KALAM_ASSIGN_OR_RETURN(const int64_t files,
                           AddFiles(work_, {table, scope}, "files/" + name + "/", *zip_));
    summary_.row_count += rows;
    summary_.file_count += files;
    work_.Report(summary_.row_count, summary_.table_count);
    return {};
  }

  /// Whose rows there may be.
  Result<std::set<std::string>> UsersOf(const catalog::TableDefinition& table) {
    std::set<std::string> users(request_.users.begin(), request_.users.end());
    KALAM_ASSIGN_OR_RETURN(const auto known, services_.catalog.ListUsers());
    for (const catalog::UserRecord& user : known) users.insert(user.user_id);
    for (const Family family : {Family::kRows, Family::kChanges})
      KALAM_RETURN_IF_ERROR(AddScopesOf(family, table.id, &users));
    return users;
  }

  Status AddScopesOf(Family family, TableId table, std::set<std::string>* users) {
    const std::string prefix = storage::TablePrefix(table);
    const auto iterator = services_.reader.store().NewIterator(family, {prefix, PrefixEnd(prefix)},
                                                               work_.view.snapshot);
    for (iterator->Seek(prefix); iterator->Valid();) {
      storage::ParsedKey key;
      if (!storage::ParseKey(iterator->key(), &key))
        return Status(ErrorKind::Corruption, "a key of a table's rows is malformed");
      users->insert(key.user_id);
      iterator->Seek(
          PrefixEnd(iterator->key().substr(0, iterator->key().size() - key.rest.size())));
    }
    return iterator->status();
  }

  Status AddDescription(const nlohmann::json& versions) {
    nlohmann::json indexes = nlohmann::json::array();
    for (const ExportedIndex& index : request_.indexes) {
      indexes.push_back({{"table", index.table},
                         {"column", index.column},
                         {"metric", index.metric},
                         {"name", index.name}});
    }
    const nlohmann::json description = {{"format", 1},
                                        {"namespace", request_.namespace_id},
                                        {"last_seq", std::to_string(work_.view.seq.value)},
                                        {"tables", versions},
                                        {"indexes", indexes}};
    KALAM_RETURN_IF_ERROR(zip_->BeginEntry("export.json", ZipWriter::Compression::kDeflate));
    return zip_->Write(description.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  }

  const ExportServices& services_;
  const NamespaceExportRequest& request_;
  const ArchiveWork work_;
  std::unique_ptr<ZipWriter> zip_;
  NamespaceExportSummary summary_;
};

}  // namespace

Result<NamespaceExportSummary> ExportNamespace(const ExportServices& services,
                                               const NamespaceExportRequest& request) {
  KALAM_ASSIGN_OR_RETURN(const auto folder, WorkFolder::Make(request.work_folder));
  return Exporter(services, request).Run();
}

}  // namespace kalam::exports
