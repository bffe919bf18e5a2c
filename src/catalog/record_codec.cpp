// Encoding and decoding of catalog records: the only place that knows their bytes.
#include "catalog/record_codec.h"

#include <utility>

#include "catalog/field_codec.h"
#include "types/key_codec.h"

namespace kalam::catalog {
namespace {

Status Damaged(std::string_view what) {
  return Status(ErrorKind::Corruption,
                "a catalog record (" + std::string(what) +
                    ") cannot be read: it is damaged or was written by a newer server");
}

void WriteColumn(const ColumnDefinition& column, FieldWriter* out) {
  out->Number(column.column_id);
  out->Text(column.name);
  out->Type(column.type);
  out->Number((column.nullable ? 1u : 0u) | (column.primary_key ? 2u : 0u));
  out->Number(static_cast<uint64_t>(column.default_value.kind));
  if (column.default_value.kind == ColumnDefault::Kind::kLiteral) {
    out->Literal(column.default_value.literal);
  }
  out->Text(column.comment);
}

ColumnDefinition ReadColumn(FieldReader* in) {
  ColumnDefinition column;
  column.column_id = static_cast<uint32_t>(in->Number());
  column.name = in->Text();
  column.type = in->Type();
  const uint64_t flags = in->Number();
  column.nullable = (flags & 1) != 0;
  column.primary_key = (flags & 2) != 0;
  column.default_value.kind =
      in->Enum<ColumnDefault::Kind>(static_cast<uint64_t>(ColumnDefault::Kind::kCurrentUser));
  if (column.default_value.kind == ColumnDefault::Kind::kLiteral) {
    column.default_value.literal = in->Literal();
  }
  column.comment = in->Text();
  return column;
}

// Most ALTERs leave the layout alone, so each distinct run of equal layouts is written once with
// its length.
void WriteLayouts(const std::vector<RowLayout>& layouts, FieldWriter* out) {
  std::vector<std::pair<const RowLayout*, size_t>> runs;
  for (const RowLayout& layout : layouts) {
    if (!runs.empty() && *runs.back().first == layout) {
      ++runs.back().second;
    } else {
      runs.emplace_back(&layout, 1);
    }
  }
  out->Number(runs.size());
  for (const auto& [layout, length] : runs) {
    out->Number(length);
    out->Number(layout->cells.size());
    for (const RowLayout::Cell& cell : layout->cells) {
      out->Number(cell.column_id);
      out->Type(cell.type);
    }
  }
}

// More schema versions than any table can have; keeps a damaged run length from filling the memory.
constexpr uint64_t kSchemaVersionsMax = 1'000'000;

std::vector<RowLayout> ReadLayouts(FieldReader* in) {
  std::vector<RowLayout> layouts;
  for (size_t runs = in->Count(); runs > 0 && in->ok(); --runs) {
    const uint64_t length = in->Number();
    RowLayout layout;
    for (size_t cells = in->Count(); cells > 0 && in->ok(); --cells) {
      RowLayout::Cell cell{static_cast<uint32_t>(in->Number()), in->Type()};
      layout.cells.push_back(cell);
    }
    if (!in->ok() || length > kSchemaVersionsMax) return {};
    layouts.insert(layouts.end(), length, layout);
  }
  return layouts;
}

void WriteOptions(const TableOptions& options, FieldWriter* out) {
  out->Text(options.storage_id);
  out->Number(options.use_user_storage ? 1 : 0);
  out->Number(options.flush_policy.row_limit);
  out->Number(options.flush_policy.interval_seconds);
  out->Number(static_cast<uint64_t>(options.access_level));
  out->Number(options.ttl_seconds);
  out->Number(options.deleted_retention_hours);
}

TableOptions ReadOptions(FieldReader* in) {
  TableOptions options;
  options.storage_id = in->Text();
  options.use_user_storage = in->Number() != 0;
  options.flush_policy.row_limit = static_cast<uint32_t>(in->Number());
  options.flush_policy.interval_seconds = static_cast<uint32_t>(in->Number());
  options.access_level = in->Enum<AccessLevel>(static_cast<uint64_t>(AccessLevel::kDba));
  options.ttl_seconds = in->Number();
  options.deleted_retention_hours = static_cast<uint32_t>(in->Number());
  return options;
}

}  // namespace

std::string TableHeadKey(TableId id) {
  std::string key(kTablePrefix);
  EncodeBigEndian32(id.value, &key);
  return key;
}

std::string TableVersionKey(TableId id, uint32_t schema_version) {
  std::string key = TableHeadKey(id);
  key.push_back('/');
  EncodeBigEndian32(schema_version, &key);
  return key;
}

std::string ViewKey(std::string_view ns, std::string_view name) {
  std::string key(kViewPrefix);
  key.append(ns);
  key.push_back('\0');
  key.append(name);
  return key;
}

bool ParseTableHeadKey(std::string_view key, TableId* id) {
  if (key.size() != kTablePrefix.size() + 4 || !key.starts_with(kTablePrefix)) return false;
  id->value = DecodeBigEndian32(key.data() + kTablePrefix.size());
  return true;
}

bool ParseTableVersionKey(std::string_view key, TableId* id, uint32_t* schema_version) {
  if (key.size() != kTablePrefix.size() + 9 || !key.starts_with(kTablePrefix)) return false;
  id->value = DecodeBigEndian32(key.data() + kTablePrefix.size());
  *schema_version = DecodeBigEndian32(key.data() + kTablePrefix.size() + 5);
  return true;
}

std::string EncodeTableHead(const TableHead& head) {
  FieldWriter out;
  out.Number(static_cast<uint64_t>(head.type));
  out.Number(head.schema_version);
  out.Text(head.namespace_id);
  out.Text(head.name);
  return out.Take();
}

Result<TableHead> DecodeTableHead(std::string_view bytes) {
  FieldReader in(bytes);
  TableHead head;
  head.type = in.Enum<TableType>(static_cast<uint64_t>(TableType::kView));
  head.schema_version = static_cast<uint32_t>(in.Number());
  head.namespace_id = in.Text();
  head.name = in.Text();
  if (!in.ok()) return Damaged("table");
  return head;
}

std::string EncodeTable(const TableDefinition& definition) {
  FieldWriter out;
  out.Number(definition.id.value);
  out.Text(definition.namespace_id);
  out.Text(definition.name);
  out.Number(static_cast<uint64_t>(definition.type));
  out.Number(definition.schema_version);
  out.Number(definition.next_column_id);
  out.Number(definition.columns->size());
  for (const ColumnDefinition& column : *definition.columns) WriteColumn(column, &out);
  WriteLayouts(*definition.layouts, &out);
  WriteOptions(definition.options, &out);
  out.Text(definition.comment);
  out.Signed(definition.created_at_us);
  out.Signed(definition.updated_at_us);
  if (definition.options.max_buffer > 0) out.Number(definition.options.max_buffer);
  return out.Take();
}

Result<TableDefinition> DecodeTable(std::string_view bytes) {
  FieldReader in(bytes);
  TableDefinition definition;
  definition.id.value = static_cast<uint32_t>(in.Number());
  definition.namespace_id = in.Text();
  definition.name = in.Text();
  definition.type = in.Enum<TableType>(static_cast<uint64_t>(TableType::kView));
  definition.schema_version = static_cast<uint32_t>(in.Number());
  definition.next_column_id = static_cast<uint32_t>(in.Number());
  std::vector<ColumnDefinition> columns;
  for (size_t count = in.Count(); count > 0 && in.ok(); --count) {
    columns.push_back(ReadColumn(&in));
  }
  columns.shrink_to_fit();
  std::vector<RowLayout> layouts = ReadLayouts(&in);
  definition.options = ReadOptions(&in);
  definition.comment = in.Text();
  definition.created_at_us = in.Signed();
  definition.updated_at_us = in.Signed();
  if (in.ok() && !in.AtEnd()) definition.options.max_buffer = static_cast<uint32_t>(in.Number());
  if (!in.ok() || layouts.size() != definition.schema_version || layouts.empty()) {
    return Damaged("table definition");
  }
  definition.columns = std::make_shared<const std::vector<ColumnDefinition>>(std::move(columns));
  definition.layouts = std::make_shared<const std::vector<RowLayout>>(std::move(layouts));
  return definition;
}

std::string EncodeNamespace(const NamespaceDefinition& definition) {
  FieldWriter out;
  out.Text(definition.id);
  out.Text(definition.options_json);
  out.Signed(definition.created_at_us);
  return out.Take();
}

Result<NamespaceDefinition> DecodeNamespace(std::string_view bytes) {
  FieldReader in(bytes);
  NamespaceDefinition definition;
  definition.id = in.Text();
  definition.options_json = in.Text();
  definition.created_at_us = in.Signed();
  if (!in.ok()) return Damaged("namespace");
  return definition;
}

std::string EncodeView(const ViewDefinition& definition) {
  FieldWriter out;
  out.Text(definition.namespace_id);
  out.Text(definition.name);
  out.Text(definition.query);
  out.Number(definition.column_names.size());
  for (const std::string& name : definition.column_names) out.Text(name);
  out.Text(definition.default_namespace);
  out.Signed(definition.created_at_us);
  return out.Take();
}

Result<ViewDefinition> DecodeView(std::string_view bytes) {
  FieldReader in(bytes);
  ViewDefinition definition;
  definition.namespace_id = in.Text();
  definition.name = in.Text();
  definition.query = in.Text();
  for (size_t count = in.Count(); count > 0 && in.ok(); --count) {
    definition.column_names.push_back(in.Text());
  }
  definition.default_namespace = in.Text();
  definition.created_at_us = in.Signed();
  if (!in.ok()) return Damaged("view");
  return definition;
}

std::string EncodeUser(const UserRecord& user) {
  FieldWriter out;
  out.Text(user.user_id);
  out.Text(user.password_hash);
  out.Number(static_cast<uint64_t>(user.role));
  out.Text(user.email);
  out.Number(static_cast<uint64_t>(user.auth_type));
  out.Text(user.auth_data_json);
  out.Text(user.storage_mode);
  out.Text(user.storage_id);
  out.Signed(user.failed_login_attempts);
  out.OptionalTime(user.locked_until_us);
  out.OptionalTime(user.last_login_at_us);
  out.Signed(user.created_at_us);
  out.Signed(user.updated_at_us);
  out.OptionalTime(user.last_seen_us);
  out.OptionalTime(user.deleted_at_us);
  out.Signed(user.tokens_valid_from_us);
  return out.Take();
}

Result<UserRecord> DecodeUser(std::string_view bytes) {
  FieldReader in(bytes);
  UserRecord user;
  user.user_id = in.Text();
  user.password_hash = in.Text();
  user.role = in.Enum<Role>(static_cast<uint64_t>(Role::kSystem));
  user.email = in.Text();
  user.auth_type = in.Enum<AuthType>(static_cast<uint64_t>(AuthType::kInternal));
  user.auth_data_json = in.Text();
  user.storage_mode = in.Text();
  user.storage_id = in.Text();
  user.failed_login_attempts = static_cast<int32_t>(in.Signed());
  user.locked_until_us = in.OptionalTime();
  user.last_login_at_us = in.OptionalTime();
  user.created_at_us = in.Signed();
  user.updated_at_us = in.Signed();
  user.last_seen_us = in.OptionalTime();
  user.deleted_at_us = in.OptionalTime();
  user.tokens_valid_from_us = in.Signed();
  if (!in.ok()) return Damaged("user");
  return user;
}

std::string EncodeStorage(const StorageRecord& storage) {
  FieldWriter out;
  for (const std::string* text :
       {&storage.storage_id, &storage.storage_name, &storage.description, &storage.storage_type,
        &storage.base_directory, &storage.credentials_json, &storage.config_json,
        &storage.shared_tables_template, &storage.user_tables_template}) {
    out.Text(*text);
  }
  out.Signed(storage.created_at_us);
  out.Signed(storage.updated_at_us);
  return out.Take();
}

Result<StorageRecord> DecodeStorage(std::string_view bytes) {
  FieldReader in(bytes);
  StorageRecord storage;
  for (std::string* text :
       {&storage.storage_id, &storage.storage_name, &storage.description, &storage.storage_type,
        &storage.base_directory, &storage.credentials_json, &storage.config_json,
        &storage.shared_tables_template, &storage.user_tables_template}) {
    *text = in.Text();
  }
  storage.created_at_us = in.Signed();
  storage.updated_at_us = in.Signed();
  if (!in.ok()) return Damaged("storage");
  return storage;
}

}  // namespace kalam::catalog
