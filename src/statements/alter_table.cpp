// ALTER TABLE: one operation makes one new schema version, or nothing when nothing would change.
#include <algorithm>

#include "replication/records.h"
#include "statements/column_definitions.h"
#include "statements/families.h"
#include "statements/table_options.h"
#include "statements/vector_index_jobs.h"
#include "storage/key_layout.h"
#include "types/convert.h"
#include "types/key_codec.h"
#include "vectors/vector_indexes.h"

namespace kalam::statements {
namespace {

using catalog::ColumnDefinition;
using catalog::TableDefinition;
using Operation = sql::AlterTable::Operation;

Status Refuse(std::string message) {
  return Status(ErrorKind::InvalidOperation, std::move(message));
}

std::string Named(std::string_view name) { return "Column '" + std::string(name) + "'"; }

bool IsSystemColumn(std::string_view name) {
  return name == catalog::kSeqColumn || name == catalog::kDeletedColumn || name == "_updated";
}

/// A definition being changed: the columns are a copy until Publish.
struct Draft {
  TableDefinition table;
  std::vector<ColumnDefinition> columns;
  std::string operation;  // as the message and the audit row show it
};

ColumnDefinition* Find(Draft* draft, std::string_view name) {
  for (ColumnDefinition& column : draft->columns) {
    if (column.name == name) return &column;
  }
  return nullptr;
}

/// The column that MODIFY, ALTER, DROP or RENAME names.
Result<ColumnDefinition*> Existing(Draft* draft, const std::string& name, std::string_view verb) {
  if (IsSystemColumn(name)) {
    return Refuse("Cannot " + std::string(verb) + " column '" + name +
                  "': system column cannot be modified");
  }
  ColumnDefinition* column = Find(draft, name);
  if (!column) return Refuse(Named(name) + " does not exist");
  return column;
}

/// True when some row of the table exists, of whatever user. A STREAM table's rows are its change
/// records.
Result<bool> HasRows(AdminContext& context, const TableDefinition& table) {
  const std::string prefix = storage::TablePrefix(table.id);
  const bool stream = table.type == catalog::TableType::kStream;
  const auto family = stream ? storage::Family::kChanges : storage::Family::kRows;
  auto iterator = context.services.store.NewIterator(family, {prefix, PrefixEnd(prefix)});
  for (iterator->Seek(prefix); iterator->Valid(); iterator->Next()) {
    if (stream) {
      KALAM_ASSIGN_OR_RETURN(const auto change, replication::DecodeChangeRecord(iterator->value()));
      if (change.expire_at_us > context.services.clock.NowUs()) return true;
    } else {
      KALAM_ASSIGN_OR_RETURN(const auto row, replication::DecodeRowRecord(iterator->value()));
      if (!row.tombstone) return true;
    }
  }
  KALAM_RETURN_IF_ERROR(iterator->status());
  return false;
}

std::string Nullability(const sql::ColumnSpec& spec) {
  if (!spec.nullable) return {};
  return *spec.nullable ? " NULL" : " NOT NULL";
}

Status AddColumn(AdminContext& context, const sql::AlterTable& statement, Draft* draft) {
  const std::string name = catalog::FoldName(statement.column.name);
  if (name.starts_with('_')) {
    return Refuse("Cannot add column '" + name + "': reserved system column name");
  }
  if (Find(draft, name)) return Refuse(Named(name) + " already exists");
  KALAM_RETURN_IF_ERROR(catalog::ValidateColumnName(statement.column.name));
  if (statement.column.primary_key)
    return Refuse("A PRIMARY KEY column cannot be added to a table");
  KALAM_ASSIGN_OR_RETURN(ColumnDefinition column, ColumnFromSpec(statement.column));
  if (!column.nullable && column.default_value.kind == catalog::ColumnDefault::Kind::kNone) {
    KALAM_ASSIGN_OR_RETURN(const bool has_rows, HasRows(context, draft->table));
    if (has_rows) {
      return Refuse("Cannot add column '" + name +
                    "' as NOT NULL without a DEFAULT: the table has rows. Give it a DEFAULT or "
                    "leave it nullable.");
    }
  }
  column.column_id = draft->table.next_column_id++;
  draft->operation = "ADD COLUMN " + name + " " + SqlName(column.type);
  draft->columns.push_back(std::move(column));
  return Status::Ok();
}

Status DropColumn(const sql::AlterTable& statement, Draft* draft) {
  const std::string name = catalog::FoldName(statement.column.name);
  KALAM_ASSIGN_OR_RETURN(ColumnDefinition * column, Existing(draft, name, "drop"));
  if (column->primary_key) return Refuse(Named(name) + " is a PRIMARY KEY and cannot be dropped");
  draft->operation = "DROP COLUMN " + name;
  draft->columns.erase(draft->columns.begin() + (column - draft->columns.data()));
  const bool any_left = std::any_of(draft->columns.begin(), draft->columns.end(),
                                    [](const auto& left) { return !IsSystemColumn(left.name); });
  if (!any_left)
    return Refuse("Cannot drop column '" + name + "': it is the last column of the table");
  return Status::Ok();
}

Status CheckNullable(const ColumnDefinition& column, bool nullable) {
  if (!nullable || !column.primary_key) return Status::Ok();
  return Refuse(Named(column.name) + " is a PRIMARY KEY and cannot be nullable");
}

Status ModifyColumn(const sql::AlterTable& statement, Draft* draft) {
  const std::string name = catalog::FoldName(statement.column.name);
  KALAM_ASSIGN_OR_RETURN(ColumnDefinition * column, Existing(draft, name, "modify"));
  KALAM_ASSIGN_OR_RETURN(const DataType type, DataTypeFromSql(statement.column.type));
  if (column->primary_key && !(type == column->type)) {
    return Refuse(Named(name) + " is a PRIMARY KEY and its type cannot be changed");
  }
  if (column->default_value.kind == catalog::ColumnDefault::Kind::kLiteral) {
    Arena arena;
    Result<Datum> converted = CoerceForWrite(column->default_value.literal.datum(), type, &arena);
    if (!converted.ok()) {
      return Refuse("The DEFAULT of column '" + name +
                    "' does not fit the new type: " + converted.status().message());
    }
    column->default_value.literal = Value(*converted);
  }
  if (statement.column.nullable) {
    KALAM_RETURN_IF_ERROR(CheckNullable(*column, *statement.column.nullable));
    column->nullable = *statement.column.nullable;
  }
  column->type = type;
  draft->operation = "MODIFY COLUMN " + name + " " + SqlName(type) + Nullability(statement.column);
  return Status::Ok();
}

Status SetNullable(const sql::AlterTable& statement, bool nullable, Draft* draft) {
  const std::string name = catalog::FoldName(statement.column.name);
  KALAM_ASSIGN_OR_RETURN(ColumnDefinition * column, Existing(draft, name, "alter"));
  KALAM_RETURN_IF_ERROR(CheckNullable(*column, nullable));
  column->nullable = nullable;
  draft->operation = "ALTER COLUMN " + name + (nullable ? " DROP NOT NULL" : " SET NOT NULL");
  return Status::Ok();
}

Status SetDefault(const sql::AlterTable& statement, Draft* draft) {
  const std::string name = catalog::FoldName(statement.column.name);
  KALAM_ASSIGN_OR_RETURN(ColumnDefinition * column, Existing(draft, name, "alter"));
  if (statement.operation == Operation::kDropDefault) {
    column->default_value = {};
    draft->operation = "ALTER COLUMN " + name + " DROP DEFAULT";
    return Status::Ok();
  }
  const std::string& text =
      statement.default_text.empty() ? statement.column.default_text : statement.default_text;
  KALAM_ASSIGN_OR_RETURN(column->default_value, ParseDefault(text, column->type, name));
  draft->operation = "ALTER COLUMN " + name + " SET DEFAULT " +
                     DefaultText(column->default_value).value_or("NULL");
  return Status::Ok();
}

Status RenameColumn(const sql::AlterTable& statement, Draft* draft) {
  const std::string name = catalog::FoldName(statement.column.name);
  const std::string new_name = catalog::FoldName(statement.new_name);
  KALAM_ASSIGN_OR_RETURN(ColumnDefinition * column, Existing(draft, name, "rename"));
  if (new_name.starts_with('_')) {
    return Refuse("Cannot rename column to '" + new_name + "': reserved system column name");
  }
  KALAM_RETURN_IF_ERROR(catalog::ValidateColumnName(statement.new_name));
  if (new_name != name && Find(draft, new_name)) return Refuse(Named(new_name) + " already exists");
  column->name = new_name;
  draft->operation = "RENAME COLUMN " + name + " TO " + new_name;
  return Status::Ok();
}

Status SetAccessLevel(const sql::AlterTable& statement, Draft* draft) {
  if (draft->table.type != catalog::TableType::kShared) {
    return Refuse("ACCESS LEVEL can only be set on SHARED tables");
  }
  const auto level = ParseAccessLevel(statement.access_level);
  if (!level) {
    return Status(ErrorKind::InvalidSql, "Invalid ACCESS LEVEL '" + statement.access_level +
                                             "'. Supported: PUBLIC, PRIVATE, RESTRICTED, DBA");
  }
  draft->table.options.access_level = *level;
  draft->operation = "SET ACCESS LEVEL " + std::string(catalog::AccessLevelName(*level));
  return Status::Ok();
}

Status SetMaxBuffer(const sql::AlterTable& statement, Draft* draft) {
  if (draft->table.type != catalog::TableType::kStream) {
    return Refuse("MAX_BUFFER can only be set on STREAM tables");
  }
  if (catalog::FoldName(statement.max_buffer) == "none") {
    draft->table.options.max_buffer = 0;
  } else {
    KALAM_ASSIGN_OR_RETURN(draft->table.options.max_buffer, ParseMaxBuffer(statement.max_buffer));
  }
  draft->operation = "SET MAX_BUFFER " + statement.max_buffer;
  return Status::Ok();
}

Status ApplyOperation(AdminContext& context, const sql::AlterTable& statement, Draft* draft) {
  switch (statement.operation) {
    case Operation::kAddColumn:
      return AddColumn(context, statement, draft);
    case Operation::kDropColumn:
      return DropColumn(statement, draft);
    case Operation::kModifyColumn:
      return ModifyColumn(statement, draft);
    case Operation::kSetNotNull:
      return SetNullable(statement, false, draft);
    case Operation::kDropNotNull:
      return SetNullable(statement, true, draft);
    case Operation::kSetDefault:
    case Operation::kDropDefault:
      return SetDefault(statement, draft);
    case Operation::kRenameColumn:
      return RenameColumn(statement, draft);
    case Operation::kSetAccessLevel:
      return SetAccessLevel(statement, draft);
    case Operation::kSetMaxBuffer:
      return SetMaxBuffer(statement, draft);
    case Operation::kCreateVectorIndex:
    case Operation::kDropVectorIndex:
      break;  // no new version: see ChangeVectorIndex
  }
  return Status(ErrorKind::InvalidSql, "Unsupported ALTER TABLE operation");
}

bool IsIndexOperation(Operation operation) {
  return operation == Operation::kCreateVectorIndex || operation == Operation::kDropVectorIndex;
}

std::string IndexName(const TableDefinition& table, const std::string& column,
                      const std::string& given) {
  return given.empty() ? table.name + "_" + column + "_idx" : given;
}

struct FoundIndex {
  catalog::TablePtr table;
  std::string column;
};

/// The index of that name in a namespace.
Result<std::optional<FoundIndex>> FindIndex(AdminContext& context, const std::string& namespace_id,
                                            const std::string& name) {
  if (context.services.vector_indexes == nullptr) return std::optional<FoundIndex>();
  for (const auto& definition : context.services.vector_indexes->Definitions()) {
    KALAM_ASSIGN_OR_RETURN(catalog::TablePtr table,
                           context.services.catalog.FindTable(definition.table));
    if (table == nullptr || table->namespace_id != namespace_id) continue;
    for (const ColumnDefinition& column : *table->columns) {
      if (column.column_id != definition.column_id) continue;
      if (IndexName(*table, column.name, definition.name) == name)
        return std::optional(FoundIndex{std::move(table), column.name});
    }
  }
  return std::optional<FoundIndex>();
}

/// Without USING: COSINE, but an index that is there stays what it is.
vectors::Metric MetricOf(const sql::AlterTable& statement,
                         const std::optional<vectors::IndexDefinition>& known) {
  if (statement.metric == "L2") return vectors::Metric::kL2;
  if (statement.metric == "DOT") return vectors::Metric::kDot;
  if (statement.metric.empty() && known) return known->metric;
  return vectors::Metric::kCosine;
}

/// CREATE INDEX and DROP INDEX: a record of their own, the schema stays as it is.
Result<StatementResult> ChangeVectorIndex(AdminContext& context, const StatementRun& run,
                                          const sql::AlterTable& statement,
                                          const TableDefinition& table) {
  const std::string name = catalog::FoldName(statement.column.name);
  if (table.type != catalog::TableType::kUser && table.type != catalog::TableType::kShared) {
    return Refuse("Vector indexes are only supported for USER and SHARED tables");
  }
  const auto position = table.FindColumn(name);
  if (!position) return Refuse(Named(name) + " does not exist");
  const ColumnDefinition& column = (*table.columns)[*position];
  if (column.type.kind != TypeKind::kEmbedding) return Refuse(Named(name) + " is not EMBEDDING");
  const std::string subject = table.QualifiedName() + "." + name;
  catalog::RecordWrites records;
  std::string told, operation;
  if (statement.operation == Operation::kCreateVectorIndex) {
    const vectors::VectorIndexes* indexes = context.services.vector_indexes;
    const auto known = indexes ? indexes->Find(table.id, column.column_id) : std::nullopt;
    const vectors::Metric metric = MetricOf(statement, known);
    const std::string title(vectors::MetricTitle(metric));
    if (statement.is_standalone) {
      const std::string index_name = IndexName(table, name, statement.index_name);
      KALAM_ASSIGN_OR_RETURN(const auto taken, FindIndex(context, table.namespace_id, index_name));
      if (taken || known) {
        const std::string there = taken ? "Index '" + index_name + "' already exists"
                                        : "Column '" + name + "' already has a vector index";
        if (statement.if_not_exists) return Told(there + " (skipped)");
        return Status(ErrorKind::AlreadyExists, there);
      }
    }
    // Asked for again, it stays as it is.
    if (!known || known->metric != metric) {
      const std::string& index_name = known ? known->name : statement.index_name;
      records.push_back(vectors::VectorIndexes::Put(
          {table.id, column.column_id, metric, run.now_us, index_name}));
    }
    operation = "CREATE INDEX " + name + " USING " + title;
    told = "Vector index enabled on " + subject + " (" + title + ")";
  } else {
    records.push_back(vectors::VectorIndexes::Drop(table.id, column.column_id));
    operation = "DROP INDEX " + name;
    told = "Vector index disabled on " + subject;
  }
  records.push_back(
      AuditWrite(MakeAudit(run, "ALTER_TABLE", table.QualifiedName(), "Operation: " + operation)));
  KALAM_RETURN_IF_ERROR(Commit(context.services.group, std::move(records)));
  QueueManifests(context.services, context.jobs, table.id);
  return Told(told);
}

Status CheckMayAlter(const TableDefinition& table, const catalog::Caller& caller) {
  const bool shared = table.type == catalog::TableType::kShared;
  const catalog::Role needed = shared ? catalog::Role::kService : catalog::Role::kUser;
  if (caller.role >= needed && MaySee(table, caller)) return Status::Ok();
  return Status(ErrorKind::Unauthorized, "Insufficient privileges to alter this table");
}

Result<StatementResult> DropNamedIndex(AdminContext& context, const StatementRun& run,
                                       const sql::AlterTable& statement,
                                       const std::string& namespace_id) {
  KALAM_ASSIGN_OR_RETURN(const auto found, FindIndex(context, namespace_id, statement.index_name));
  if (!found) {
    if (statement.if_exists)
      return Told("Index '" + statement.index_name + "' does not exist (skipped)");
    return Status(ErrorKind::NotFound, "Index '" + statement.index_name +
                                           "' not found in namespace '" + namespace_id + "'");
  }
  KALAM_RETURN_IF_ERROR(CheckMayAlter(*found->table, run.effective));
  sql::AlterTable drop;
  drop.operation = Operation::kDropVectorIndex;
  drop.column.name = found->column;
  return ChangeVectorIndex(context, run, drop, *found->table);
}

/// The next schema version: same layout pointer semantics as before, with this version's layout
/// behind the older ones.
TableDefinition NextVersion(Draft draft, int64_t now_us) {
  TableDefinition next = std::move(draft.table);
  std::vector<RowLayout> layouts = *next.layouts;
  layouts.push_back(catalog::LayoutOf(draft.columns));
  next.layouts = std::make_shared<const std::vector<RowLayout>>(std::move(layouts));
  next.columns = std::make_shared<const std::vector<ColumnDefinition>>(std::move(draft.columns));
  ++next.schema_version;
  next.updated_at_us = now_us;
  return next;
}

}  // namespace

Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::AlterTable& statement) {
  const sql::QualifiedName name = Resolve(run, statement.table);
  KALAM_RETURN_IF_ERROR(CheckNotSystem("alter", name));
  std::lock_guard lock(context.ddl_mutex);
  if (statement.is_standalone && statement.operation == Operation::kDropVectorIndex) {
    return DropNamedIndex(context, run, statement, name.namespace_id);
  }
  catalog::Catalog& catalog = context.services.catalog;
  KALAM_ASSIGN_OR_RETURN(const catalog::TablePtr table,
                         catalog.FindTable(name.namespace_id, name.name));
  if (!table) return NoSuchTable(name);
  KALAM_RETURN_IF_ERROR(CheckMayAlter(*table, run.effective));

  if (IsIndexOperation(statement.operation)) {
    return ChangeVectorIndex(context, run, statement, *table);
  }
  Draft draft{*table, *table->columns, {}};
  KALAM_RETURN_IF_ERROR(ApplyOperation(context, statement, &draft));
  const std::string operation = draft.operation;
  const std::string subject = "Table " + table->QualifiedName();
  if (draft.columns == *table->columns && draft.table.options == table->options) {
    return Told(subject + " unchanged: " + operation + " (version " +
                std::to_string(table->schema_version) + " - no changes needed)");
  }
  const TableDefinition next = NextVersion(std::move(draft), run.now_us);
  const std::string version = std::to_string(next.schema_version);
  catalog::RecordWrites records = catalog.PutTable(next);
  records.push_back(AuditWrite(MakeAudit(run, "ALTER_TABLE", next.QualifiedName(),
                                         "Operation: " + operation + ", New Version: " + version)));
  KALAM_RETURN_IF_ERROR(Commit(context.services.group, std::move(records)));
  return Told(subject + " altered successfully: " + operation + " (version " + version + ")");
}

}  // namespace kalam::statements
