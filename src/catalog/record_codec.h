// The bytes of catalog records in the kCatalog family, and their keys.
//
//   namespace/<name>                    -> version:1 options created
//   table/<id: 4 bytes BE>              -> version:1 type current schema version, namespace, name
//   (the head) table/<id>/<schema version: 4 BE>   -> version:1 the whole definition
//   view/<namespace> 00 <name>          -> version:1 query, columns, default namespace, created
//   user/<id>, storage/<id>             -> version:1 the record's fields
//   counter/next_table_id               -> 4 bytes BE
//
// Fields are varints, and byte strings with a varint length. The version byte is 1; unknown
// versions are Corruption.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "catalog/catalog.h"
#include "catalog/schema.h"
#include "catalog/users.h"

namespace kalam::catalog {

inline constexpr std::string_view kNamespacePrefix = "namespace/";
inline constexpr std::string_view kTablePrefix = "table/";
inline constexpr std::string_view kViewPrefix = "view/";
inline constexpr std::string_view kUserPrefix = "user/";
inline constexpr std::string_view kStoragePrefix = "storage/";
inline constexpr std::string_view kNextTableIdKey = "counter/next_table_id";

/// What is kept in memory of every table.
struct TableHead {
  TableType type = TableType::kShared;
  uint32_t schema_version = 0;
  std::string namespace_id;
  std::string name;
};

std::string TableHeadKey(TableId id);
std::string TableVersionKey(TableId id, uint32_t schema_version);
std::string ViewKey(std::string_view ns, std::string_view name);
/// True for a head's key; false for a version's.
[[nodiscard]] bool ParseTableHeadKey(std::string_view key, TableId* id);
[[nodiscard]] bool ParseTableVersionKey(std::string_view key, TableId* id,
                                        uint32_t* schema_version);

std::string EncodeTableHead(const TableHead& head);
std::string EncodeTable(const TableDefinition& definition);
std::string EncodeNamespace(const NamespaceDefinition& definition);
std::string EncodeView(const ViewDefinition& definition);
std::string EncodeUser(const UserRecord& user);
std::string EncodeStorage(const StorageRecord& storage);

// All of these: Errors: Corruption.
Result<TableHead> DecodeTableHead(std::string_view bytes);
Result<TableDefinition> DecodeTable(std::string_view bytes);
Result<NamespaceDefinition> DecodeNamespace(std::string_view bytes);
Result<ViewDefinition> DecodeView(std::string_view bytes);
Result<UserRecord> DecodeUser(std::string_view bytes);
Result<StorageRecord> DecodeStorage(std::string_view bytes);

}  // namespace kalam::catalog
