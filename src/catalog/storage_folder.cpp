// See storage_folder.h.
#include "catalog/storage_folder.h"

namespace kalam::catalog {
namespace {

constexpr std::string_view kSharedTemplate = "{namespace}/{tableName}";
constexpr std::string_view kUserTemplate = "{namespace}/{tableName}/{userId}";

std::string PathPart(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string part;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-@+=").find(c) != std::string_view::npos ||
                       ((c == '.' || c == '_') && !part.empty());
    if (plain) {
      part += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    part += {'%', kHex[byte >> 4], kHex[byte & 15]};
  }
  return part;
}

// The name of a placeholder without the marks that its spellings differ in.
std::string Canonical(std::string_view name) {
  std::string canonical;
  for (const char c : FoldName(name)) {
    if (c != '_' && c != '-') canonical += c;
  }
  return canonical;
}

std::string Fill(std::string_view form, const TableDefinition& table, std::string_view user_id) {
  std::string path;
  while (!form.empty()) {
    const size_t open = form.find('{');
    const size_t close = form.find('}', open == std::string_view::npos ? form.size() : open);
    if (close == std::string_view::npos) {
      path += form;
      break;
    }
    path += form.substr(0, open);
    const std::string name = Canonical(form.substr(open + 1, close - open - 1));
    if (name == "namespace" || name == "namespaceid") {
      path += table.namespace_id;
    } else if (name == "tablename" || name == "tableid") {
      path += table.name;
    } else if (name == "userid") {
      path += PathPart(user_id);
    } else if (name != "shard" && name != "shardid") {
      path += form.substr(open, close - open + 1);
    }
    form.remove_prefix(close + 1);
  }
  return path;
}

// Drops empty parts, which a placeholder that is nothing leaves.
std::string Tidy(std::string_view path) {
  std::string tidy;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (!part.empty()) {
      if (!tidy.empty()) tidy += '/';
      tidy += part;
    }
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
  }
  return tidy;
}

}  // namespace

std::string ScopeFolder(const StorageRecord& storage, const TableDefinition& table,
                        std::string_view user_id) {
  const bool by_user = table.is_scoped_by_user();
  std::string_view form = by_user ? std::string_view(storage.user_tables_template)
                                  : std::string_view(storage.shared_tables_template);
  if (form.empty()) form = by_user ? kUserTemplate : kSharedTemplate;
  return Tidy(Fill(form, table, user_id));
}

}  // namespace kalam::catalog
