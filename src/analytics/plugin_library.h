// Finds and loads libkalam_analytics.so, once, when the first complex statement needs it.
#pragma once

#include <memory>
#include <string>

#include "analytics/plugin_interface.h"
#include "base/status.h"

namespace kalam::analytics {

/// The loaded plugin. It is never unloaded: the engine's code stays mapped, its memory goes with
/// the instance.
class PluginLibrary {
 public:
  /// `directory` empty: beside the executable, or in ../lib/kalamdb from there. Errors:
  /// NotAvailable, naming the file.
  static Result<PluginLibrary> Load(const std::string& directory);

  /// Whether Load would find a file. Errors: NotAvailable, naming it.
  static Status CheckIsThere(const std::string& directory);

  Result<std::unique_ptr<Instance>> OpenInstance(const InstanceOptions& options) const;

 private:
  explicit PluginLibrary(KalamOpenInstanceFunction open) : open_(open) {}
  KalamOpenInstanceFunction open_;
};

}  // namespace kalam::analytics
