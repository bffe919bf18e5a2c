// Finds and loads libkalam_analytics.so.
#include "analytics/plugin_library.h"

#include <dlfcn.h>
#include <unistd.h>

#include <climits>
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

Status CannotLoad(const std::string& why) {
  return Status(ErrorKind::NotAvailable, "The analytical engine cannot be loaded: " + why);
}

}  // namespace

Result<PluginLibrary> PluginLibrary::Load(const std::string& directory) {
  std::string path;
  for (const std::string& candidate : Candidates(directory)) {
    if (access(candidate.c_str(), R_OK) == 0) {
      path = candidate;
      break;
    }
    path = path.empty() ? candidate : path;
  }
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

Result<std::unique_ptr<Instance>> PluginLibrary::OpenInstance(
    const InstanceOptions& options) const {
  Result<std::unique_ptr<Instance>> opened(
      Status(ErrorKind::Internal, "the plugin did not answer"));
  open_(&options, &opened);
  return opened;
}

}  // namespace kalam::analytics
