// Finds and loads libkalam_analytics.so.
#include "analytics/plugin_library.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <string_view>
#include <vector>

namespace kalam::analytics {
namespace {

constexpr std::string_view kFileName = "libkalam_analytics.so";

std::string ExecutableDirectory() {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  if (size <= 0) return ".";
  const std::string_view text(path, static_cast<size_t>(size));
  return std::string(text.substr(0, text.rfind('/')));
}

std::vector<std::string> Candidates(const std::string& directory) {
  if (!directory.empty()) return {directory + "/" + std::string(kFileName)};
  const std::string beside = ExecutableDirectory();
  return {beside + "/" + std::string(kFileName),
          beside + "/../lib/kalamdb/" + std::string(kFileName)};
}

/// The first candidate that is there, else the first.
std::string FindFile(const std::string& directory) {
  const std::vector<std::string> candidates = Candidates(directory);
  for (const std::string& candidate : candidates) {
    if (access(candidate.c_str(), R_OK) == 0) return candidate;
  }
  return candidates.front();
}

Status CannotLoad(const std::string& why) {
  return Status(ErrorKind::NotAvailable, "The analytical engine cannot be loaded: " + why);
}

}  // namespace

Result<PluginLibrary> PluginLibrary::Load(const std::string& directory) {
  const std::string path = FindFile(directory);
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return CannotLoad(dlerror());
  const auto version =
      reinterpret_cast<KalamPluginVersionFunction>(dlsym(library, kKalamPluginVersionSymbol));
  const auto open =
      reinterpret_cast<KalamOpenInstanceFunction>(dlsym(library, kKalamOpenInstanceSymbol));
  if (version == nullptr || open == nullptr) return CannotLoad(path + " is not our plugin");
  if (std::string_view(version()) != kPluginVersion) {
    return CannotLoad(path + " is of version " + version() + ", this server needs " +
                      kPluginVersion);
  }
  return PluginLibrary(open);
}

Status PluginLibrary::CheckIsThere(const std::string& directory) {
  const std::string path = FindFile(directory);
  if (access(path.c_str(), R_OK) == 0) return Status::Ok();
  return CannotLoad(path + ": " + std::strerror(errno));
}

Result<std::unique_ptr<Instance>> PluginLibrary::OpenInstance(
    const InstanceOptions& options) const {
  Result<std::unique_ptr<Instance>> opened(
      Status(ErrorKind::Internal, "the plugin did not answer"));
  open_(&options, &opened);
  return opened;
}

}  // namespace kalam::analytics
