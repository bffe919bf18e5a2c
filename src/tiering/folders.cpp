// Templates of folders and what stands for their placeholders.
#include "tiering/folders.h"

#include <fmt/format.h>

#include <array>
#include <optional>
#include <string_view>

namespace kalam::tiering {
namespace {

enum class Placeholder { kNamespace, kTable, kUser, kShard };

struct Spelling {
  std::string_view text;
  Placeholder placeholder;
};
constexpr std::array<Spelling, 16> kSpellings = {{
    {"{namespace}", Placeholder::kNamespace},
    {"{namespace_id}", Placeholder::kNamespace},
    {"{namespaceId}", Placeholder::kNamespace},
    {"{namespace-id}", Placeholder::kNamespace},
    {"{tableName}", Placeholder::kTable},
    {"{table_name}", Placeholder::kTable},
    {"{table-id}", Placeholder::kTable},
    {"{table-name}", Placeholder::kTable},
    {"{userId}", Placeholder::kUser},
    {"{user_id}", Placeholder::kUser},
    {"{user-id}", Placeholder::kUser},
    {"{shard}", Placeholder::kShard},
    {"{shard_id}", Placeholder::kShard},
    {"{shardId}", Placeholder::kShard},
    {"{shard-id}", Placeholder::kShard},
    {"{tableId}", Placeholder::kTable},
}};

// Of `{shard}`: users are spread over so many folders.
constexpr int kShardCount = 32;

bool IsPlain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.' || c == '@' || c == '+' || c == '=';
}

/// A user id as one part of a path; different ids never give the same part.
std::string UserPart(std::string_view user_id) {
  std::string part;
  for (const char c : user_id) {
    if (IsPlain(c)) {
      part += c;
    } else {
      part += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  // Not a part of its own meaning: `.`, `..`, a hidden file, the shared folder.
  if (part.starts_with('.') || part == kManyFolder)
    part = fmt::format("%{:02X}", static_cast<unsigned char>(part.front())) + part.substr(1);
  return part;
}

std::string_view TemplateOf(const catalog::TableDefinition& table,
                            const catalog::StorageRecord& storage) {
  if (table.type == catalog::TableType::kShared) {
    return storage.shared_tables_template.empty() ? kDefaultSharedTemplate
                                                  : storage.shared_tables_template;
  }
  return storage.user_tables_template.empty() ? kDefaultUserTemplate : storage.user_tables_template;
}

/// The placeholder that `text` begins with.
std::optional<Spelling> PlaceholderAt(std::string_view text) {
  for (const Spelling& spelling : kSpellings) {
    if (text.starts_with(spelling.text)) return spelling;
  }
  return std::nullopt;
}

/// A template filled in, piece by piece.
struct Filled {
  std::string text;
  bool is_whole = true;  // false: it ends at the first placeholder of a user
  std::optional<size_t> namespace_end, table_end;  // in `text`
};

/// Stops at the first placeholder of a user when `scope` is null.
Filled Fill(std::string_view text, const catalog::TableDefinition& table,
            const storage::Scope* scope) {
  Filled filled;
  for (size_t i = 0; i < text.size();) {
    const std::optional<Spelling> found = PlaceholderAt(text.substr(i));
    if (!found) {
      filled.text += text[i++];
      continue;
    }
    i += found->text.size();
    const bool is_of_user =
        found->placeholder == Placeholder::kUser || found->placeholder == Placeholder::kShard;
    if (is_of_user && scope == nullptr) {
      filled.is_whole = false;
      return filled;
    }
    switch (found->placeholder) {
      case Placeholder::kNamespace:
        filled.text += table.namespace_id;
        filled.namespace_end = filled.text.size();
        break;
      case Placeholder::kTable:
        filled.text += table.name;
        filled.table_end = filled.text.size();
        break;
      case Placeholder::kUser:
        filled.text += UserPart(scope->user_id());
        break;
      case Placeholder::kShard:
        filled.text += fmt::format("shard_{}", scope->bucket() % kShardCount);
        break;
    }
  }
  while (filled.text.ends_with('/')) filled.text.pop_back();
  return filled;
}

}  // namespace

bool MayShareSegments(const catalog::TableDefinition& table,
                      const catalog::StorageRecord& storage) {
  return table.type == catalog::TableType::kUser &&
         TemplateOf(table, storage) == kDefaultUserTemplate;
}

std::string FolderOf(const catalog::TableDefinition& table, const segments::SegmentPlace& place,
                     const catalog::StorageRecord& storage) {
  if (!place.many) return Fill(TemplateOf(table, storage), table, &place.scope).text;
  return TableFolderPrefix(table, storage) + std::string(kManyFolder);
}

std::string TableFolderPrefix(const catalog::TableDefinition& table,
                              const catalog::StorageRecord& storage) {
  const Filled filled = Fill(TemplateOf(table, storage), table, nullptr);
  std::string folder = filled.text;
  if (!filled.is_whole) {
    const size_t slash = folder.rfind('/');
    if (slash == folder.npos) return {};
    folder.resize(slash);
  }
  // The namespace and the table must each end a part of the path: `a_b` + `c` is not `a` + `b_c`.
  const auto ends_inside = [&](const std::optional<size_t>& end) {
    return end && *end <= folder.size();
  };
  if (!ends_inside(filled.namespace_end) || !ends_inside(filled.table_end)) return {};
  const size_t between = folder.find('/', *filled.namespace_end);
  if (between == folder.npos || between >= *filled.table_end) return {};
  return folder + "/";
}

}  // namespace kalam::tiering
