// Templates of folders and what stands for their placeholders.
#include "tiering/folders.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
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

/// What all paths of the table's files begin with and no path of another table of the same type
/// does, with a `/` at its end; empty when the template gives the table no such folder.
std::string OwnFolder(std::string_view text, const catalog::TableDefinition& table) {
  const Filled filled = Fill(text, table, nullptr);
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

/// The parts of a template's path up to the one that names the table, in a form that two templates
/// can be compared by.
std::string TablePattern(std::string_view text) {
  catalog::TableDefinition table;
  table.namespace_id = "\x01";
  table.name = "\x02";
  const std::string folder = OwnFolder(text, table);
  const size_t name = folder.rfind('\x02');
  return name == folder.npos ? std::string() : folder.substr(0, folder.find('/', name));
}

std::string_view SharedTemplate(const catalog::StorageRecord& storage) {
  return storage.shared_tables_template.empty() ? kDefaultSharedTemplate
                                                : storage.shared_tables_template;
}

std::string_view UserTemplate(const catalog::StorageRecord& storage) {
  return storage.user_tables_template.empty() ? kDefaultUserTemplate : storage.user_tables_template;
}

/// Stands for the user in a folder that is taken apart; `UserPart` of kSampleUser.
constexpr std::string_view kSampleUser = "\x03", kSamplePart = "%03";

/// The reverse of UserPart; nullopt when no user id gives that part.
std::optional<std::string> UserOfPart(std::string_view part) {
  std::string user;
  for (size_t i = 0; i < part.size(); ++i) {
    unsigned code = 0;
    if (part[i] != '%') {
      user += part[i];
      continue;
    }
    if (i + 3 > part.size()) return std::nullopt;
    const char* const code_end = part.data() + i + 3;
    const auto [end, error] = std::from_chars(code_end - 2, code_end, code, 16);
    if (error != std::errc() || end != code_end) return std::nullopt;
    user += static_cast<char>(code);
    i += 2;
  }
  return UserPart(user) == part ? std::optional(user) : std::nullopt;
}

std::string_view TemplateOf(const catalog::TableDefinition& table,
                            const catalog::StorageRecord& storage) {
  return table.type == catalog::TableType::kShared ? SharedTemplate(storage)
                                                   : UserTemplate(storage);
}

}  // namespace

bool MayShareSegments(const catalog::TableDefinition& table,
                      const catalog::StorageRecord& storage) {
  return table.type == catalog::TableType::kUser &&
         TemplateOf(table, storage) == kDefaultUserTemplate;
}

std::string FolderOf(const catalog::TableDefinition& table, const segments::SegmentPlace& place,
                     const catalog::StorageRecord& storage) {
  const std::string own = OwnFolder(TemplateOf(table, storage), table);
  if (place.many) return own + std::string(kManyFolder);
  std::string folder = Fill(TemplateOf(table, storage), table, &place.scope).text;
  // Where tables would meet, the last part tells them apart.
  if (own.empty()) folder += fmt::format("{}_t{}", folder.empty() ? "" : "/", table.id.value);
  return folder;
}

std::optional<segments::SegmentPlace> PlaceOfFolder(const catalog::TableDefinition& table,
                                                    std::string_view folder,
                                                    const catalog::StorageRecord& storage) {
  std::optional<segments::SegmentPlace> place;
  if (table.type == catalog::TableType::kShared) {
    place = segments::SegmentPlace::OfScope(storage::Scope::Shared());
  } else if (MayShareSegments(table, storage) &&
             FolderOf(table, segments::SegmentPlace::Many(), storage) == folder) {
    return segments::SegmentPlace::Many();
  } else {
    const std::string sample = FolderOf(
        table, segments::SegmentPlace::OfScope(storage::Scope::OfUser(kSampleUser)), storage);
    const size_t begin = sample.find(kSamplePart);
    if (begin == sample.npos) return std::nullopt;
    const std::string_view tail = std::string_view(sample).substr(begin + kSamplePart.size());
    if (!folder.starts_with(std::string_view(sample).substr(0, begin)) || !folder.ends_with(tail) ||
        folder.size() < begin + tail.size()) {
      return std::nullopt;
    }
    const auto user = UserOfPart(folder.substr(begin, folder.size() - tail.size() - begin));
    if (!user || user->empty()) return std::nullopt;
    place = segments::SegmentPlace::OfScope(storage::Scope::OfUser(*user));
  }
  if (FolderOf(table, *place, storage) != folder) return std::nullopt;
  return place;
}

std::string FolderSearchPrefix(const catalog::TableDefinition& table,
                               const catalog::StorageRecord& storage) {
  if (table.type == catalog::TableType::kShared) {
    return FolderOf(table, segments::SegmentPlace::OfScope(storage::Scope::Shared()), storage) +
           "/";
  }
  const std::string sample = FolderOf(
      table, segments::SegmentPlace::OfScope(storage::Scope::OfUser(kSampleUser)), storage);
  const size_t slash = sample.rfind('/', sample.find(kSamplePart));
  return slash == sample.npos ? std::string() : sample.substr(0, slash + 1);
}

std::string TableFolderPrefix(const catalog::TableDefinition& table,
                              const catalog::StorageRecord& storage) {
  // A folder of one template may lie inside of one of the other, unless both name tables alike.
  if (TablePattern(SharedTemplate(storage)) != TablePattern(UserTemplate(storage))) return {};
  return OwnFolder(TemplateOf(table, storage), table);
}

}  // namespace kalam::tiering
