// Moving a namespace between servers as plain SQL.
#pragma once

#include <cstdio>
#include <istream>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "session.h"

namespace kalam::cli {

struct DumpOptions {
  std::string namespace_id;
  std::string users;         // ids beside those of system.users, separated by commas
  bool schema_only = false;  // no rows
};

/// Writes statements that make the namespace again: tables, rows of all users by key, views. Rows
/// are read page by page, each as it is at that moment. Needs the role dba. Errors: what the server
/// answers; StorageIo when `output` cannot be written.
Status Dump(Session& session, const DumpOptions& options, std::FILE* output);

/// Runs what Dump wrote, and stops at the first statement that fails: the error names it. Says how
/// many there were.
Result<int64_t> Load(Session& session, std::istream& input);

/// A cell of an answer as a literal. `type`: the column's data_type in the answer's schema.
std::string SqlLiteral(const nlohmann::ordered_json& cell, const nlohmann::ordered_json& type);

}  // namespace kalam::cli
