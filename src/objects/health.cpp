// The health probe.
#include "objects/health.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/id_generators.h"

namespace kalam::objects {
namespace {

constexpr std::string_view kProbeFolder = ".kalamdb-health-check";
constexpr std::string_view kProbeBody = "KALAMDB_HEALTH\n";

bool Note(const Status& status, std::string* first_error) {
  if (!status.ok() && first_error->empty()) *first_error = status.message();
  return status.ok();
}

}  // namespace

std::string_view StorageHealth::status() const {
  if (writable && listable && readable && deletable) return "healthy";
  return writable || listable || readable || deletable ? "degraded" : "unreachable";
}

StorageHealth CheckHealth(ObjectStorage& storage) {
  StorageHealth health;
  const int64_t begun_us = SystemClock().SteadyUs();
  const std::string path =
      fmt::format("{}/{}-{}.tmp", kProbeFolder, SystemClock().NowUs() / 1000, RandomHex(8));
  health.writable = Note(storage.Put(path, kProbeBody), &health.error);
  bool seen = false;
  health.listable = Note(storage.List(std::string(kProbeFolder) + "/",
                                      [&](const ObjectEntry& entry) {
                                        seen = seen || entry.path == path;
                                        return !seen;
                                      }),
                         &health.error);
  if (health.writable) {
    // Without the object there is nothing to tell reading and deleting by.
    if (health.listable && !seen) {
      health.listable = false;
      Note(Status(ErrorKind::StorageIo, "A new object is missing in the listing"), &health.error);
    }
    const auto read = storage.Read(path, 0, -1);
    health.readable = Note(read.status(), &health.error);
    if (health.readable && *read != kProbeBody) {
      health.readable = false;
      Note(Status(ErrorKind::StorageIo, "A new object reads back with other content"),
           &health.error);
    }
    health.deletable = Note(storage.Delete(path), &health.error);
  }
  health.latency_us = SystemClock().SteadyUs() - begun_us;
  return health;
}

bool ReadSpace(const ObjectStorage& storage, FileSystemSpace* space) {
  std::string folder = storage.LocalPath("x");
  if (folder.size() < 2) return false;
  folder.resize(folder.size() - 2);
  struct statvfs found {};
  if (statvfs(folder.empty() ? "/" : folder.c_str(), &found) != 0) return false;
  const auto block = static_cast<int64_t>(found.f_frsize);
  space->total_bytes = static_cast<int64_t>(found.f_blocks) * block;
  space->used_bytes = static_cast<int64_t>(found.f_blocks - found.f_bfree) * block;
  return true;
}

}  // namespace kalam::objects
