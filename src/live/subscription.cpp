// Storage of a subscription's texts and evaluation of its filter.
#include "live/subscription.h"

#include <algorithm>
#include <cstring>

#include "types/key_codec.h"

namespace kalam::live {

bool RowFilter::Matches(std::span<const Datum> cells) const {
  if (key_column == kNoKey) return query->Matches(cells);
  const Datum& cell = cells[static_cast<size_t>(key_column)];
  if (cell.is_null) return false;
  std::string encoded;
  EncodeKey(cell, &encoded);
  return encoded == key && query->MatchesRest(cells);
}

void Subscription::SetTexts(std::string_view id, std::string_view key, std::string_view sql,
                            std::string_view options) {
  const std::string_view base = shape->sql;
  const size_t shorter = std::min(base.size(), sql.size());
  size_t prefix = 0;
  while (prefix < shorter && base[prefix] == sql[prefix]) ++prefix;
  size_t suffix = 0;
  while (suffix < shorter - prefix &&
         base[base.size() - 1 - suffix] == sql[sql.size() - 1 - suffix]) {
    ++suffix;
  }
  const std::string_view part = sql.substr(prefix, sql.size() - prefix - suffix);
  auto texts = std::make_unique<char[]>(id.size() + key.size() + part.size() + options.size());
  char* at = texts.get();
  for (std::string_view text : {id, key, part, options}) {
    if (!text.empty()) std::memcpy(at, text.data(), text.size());
    at += text.size();
  }
  bytes = std::move(texts);
  id_size = static_cast<uint16_t>(id.size());
  key_size = static_cast<uint32_t>(key.size());
  sql_size = static_cast<uint32_t>(part.size());
  options_size = static_cast<uint16_t>(options.size());
  sql_prefix = static_cast<uint32_t>(prefix);
  sql_suffix = static_cast<uint32_t>(suffix);
}

std::string Subscription::Sql() const {
  std::string sql = shape->sql.substr(0, sql_prefix);
  sql += sql_part();
  sql.append(shape->sql, shape->sql.size() - sql_suffix, sql_suffix);
  return sql;
}

}  // namespace kalam::live
