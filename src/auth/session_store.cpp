// Ended sessions and spent refresh tokens over the kSystem family.
#include "auth/session_store.h"

#include <cinttypes>
#include <cstdio>

#include "types/key_codec.h"

namespace kalam::auth {
namespace {

constexpr char kEndedPrefix[] = "auth/ended/";
constexpr char kSpentPrefix[] = "auth/spent/";

}  // namespace

Status SessionStore::Load(storage::Store& store, int64_t now_s) {
  const std::pair<const char*, Entries*> kinds[] = {{kEndedPrefix, &ended_},
                                                    {kSpentPrefix, &spent_}};
  for (const auto& [prefix, entries] : kinds) {
    const auto records = store.NewIterator(storage::Family::kSystem, {prefix, PrefixEnd(prefix)});
    for (records->SeekToFirst(); records->Valid(); records->Next()) {
      Entry entry{};
      const std::string value(records->value());
      if (std::sscanf(value.c_str(), "%" SCNd64 " %" SCNd64, &entry.since_us, &entry.expires_s) !=
          2)
        continue;
      if (entry.expires_s < now_s) continue;
      entries->emplace(records->key().substr(std::string_view(prefix).size()), entry);
    }
    KALAM_RETURN_IF_ERROR(records->status());
  }
  return {};
}

bool SessionStore::IsEnded(const std::string& session_id) const {
  const std::lock_guard lock(mutex_);
  return ended_.count(session_id) != 0;
}

int64_t SessionStore::SpentSinceUs(const std::string& token_id) const {
  const std::lock_guard lock(mutex_);
  const auto found = spent_.find(token_id);
  return found == spent_.end() ? 0 : found->second.since_us;
}

Status SessionStore::End(const std::string& session_id, int64_t now_us, int64_t expires_s) {
  return Write(kEndedPrefix, &ended_, session_id, {now_us, expires_s});
}

Status SessionStore::Spend(const std::string& token_id, int64_t now_us, int64_t expires_s) {
  return Write(kSpentPrefix, &spent_, token_id, {now_us, expires_s});
}

Status SessionStore::Write(const char* prefix, Entries* entries, const std::string& id,
                           Entry entry) {
  catalog::RecordWrites writes;
  {
    const std::lock_guard lock(mutex_);
    if (!entries->emplace(id, entry).second) return {};
    // Each write takes what has run out with it, so that the set stays as small as the tokens that
    // are alive.
    for (auto old = entries->begin(); old != entries->end();) {
      if (old->second.expires_s >= entry.since_us / 1'000'000) {
        ++old;
        continue;
      }
      writes.push_back({storage::Family::kSystem, prefix + old->first, std::nullopt});
      old = entries->erase(old);
    }
  }
  writes.push_back({storage::Family::kSystem, prefix + id,
                    std::to_string(entry.since_us) + " " + std::to_string(entry.expires_s)});
  return write_records_(std::move(writes));
}

}  // namespace kalam::auth
