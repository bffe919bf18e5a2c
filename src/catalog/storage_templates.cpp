// The checks of folder templates.
#include "catalog/storage_templates.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

namespace kalam::catalog {
namespace {

enum class Placeholder : uint8_t { kNamespace, kTable, kShard, kUser };

struct Spelling {
  std::string_view text;
  Placeholder placeholder;
};
constexpr Spelling kSpellings[] = {
    {"{namespace}", Placeholder::kNamespace},   {"{namespace_id}", Placeholder::kNamespace},
    {"{namespaceId}", Placeholder::kNamespace}, {"{namespace-id}", Placeholder::kNamespace},
    {"{tableName}", Placeholder::kTable},       {"{table_name}", Placeholder::kTable},
    {"{table-id}", Placeholder::kTable},        {"{shard}", Placeholder::kShard},
    {"{shard_id}", Placeholder::kShard},        {"{shard-id}", Placeholder::kShard},
    {"{userId}", Placeholder::kUser},           {"{user_id}", Placeholder::kUser},
    {"{user-id}", Placeholder::kUser},
};
constexpr std::array<std::string_view, 4> kNames = {"{namespace}", "{tableName}", "{shard}",
                                                    "{userId}"};

// Where each placeholder stands.
using Places = std::array<std::optional<size_t>, 4>;

Status Invalid(std::string what) {
  return Status(ErrorKind::InvalidOperation, "Invalid storage template: " + std::move(what));
}

Result<Places> FindPlaces(std::string_view text) {
  Places places;
  for (size_t at = text.find_first_of("{}"); at != text.npos; at = text.find_first_of("{}", at)) {
    const Spelling* found = nullptr;
    for (const Spelling& spelling : kSpellings) {
      if (text.substr(at).starts_with(spelling.text)) found = &spelling;
    }
    if (found == nullptr) {
      const size_t end = std::min(text.find('}', at), text.size() - 1);
      return Invalid("unknown placeholder '" + std::string(text.substr(at, end - at + 1)) + "'");
    }
    auto& place = places[static_cast<size_t>(found->placeholder)];
    if (place) return Invalid(std::string(found->text) + " stands there twice");
    place = at;
    at += found->text.size();
  }
  return places;
}

Status CheckText(std::string_view text) {
  if (text.size() > 512) return Invalid("it is longer than 512 characters");
  if (text.starts_with('/') || text.ends_with('/') || text.find("//") != text.npos) {
    return Invalid("it must be a relative path without empty parts");
  }
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\') {
      return Invalid("it must not contain control characters or backslashes");
    }
  }
  const std::string framed = "/" + std::string(text) + "/";
  if (framed.find("/../") != framed.npos || framed.find("/./") != framed.npos) {
    return Invalid("it must not contain '.' or '..' as a part");
  }
  return {};
}

// `kind`: "Shared" or "User". Whatever is there must be in the order of the enumeration.
Status CheckOrder(std::string_view kind, const Places& places) {
  const std::string prefix = std::string(kind) + " table template: ";
  for (const Placeholder needed : {Placeholder::kNamespace, Placeholder::kTable}) {
    const auto index = static_cast<size_t>(needed);
    if (!places[index]) return Invalid(prefix + std::string(kNames[index]) + " is required");
  }
  for (size_t left = 0; left < places.size(); ++left) {
    for (size_t right = left + 1; right < places.size(); ++right) {
      if (places[left] && places[right] && *places[left] > *places[right]) {
        return Invalid(prefix + std::string(kNames[left]) + " must appear before " +
                       std::string(kNames[right]));
      }
    }
  }
  return {};
}

}  // namespace

Status ValidateSharedTemplate(std::string_view text) {
  KALAM_RETURN_IF_ERROR(CheckText(text));
  KALAM_ASSIGN_OR_RETURN(const Places places, FindPlaces(text));
  for (const Placeholder of_user : {Placeholder::kShard, Placeholder::kUser}) {
    if (places[static_cast<size_t>(of_user)]) {
      return Invalid("Shared table template: " + std::string(kNames[static_cast<size_t>(of_user)]) +
                     " is not allowed");
    }
  }
  return CheckOrder("Shared", places);
}

Status ValidateUserTemplate(std::string_view text) {
  KALAM_RETURN_IF_ERROR(CheckText(text));
  KALAM_ASSIGN_OR_RETURN(const Places places, FindPlaces(text));
  if (!places[static_cast<size_t>(Placeholder::kUser)]) {
    return Invalid("User table template: {userId} is required");
  }
  return CheckOrder("User", places);
}

}  // namespace kalam::catalog
