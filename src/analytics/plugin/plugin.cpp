// The two symbols that libkalam_analytics.so shows to the server.
#include "analytics/plugin/duckdb_instance.h"
#include "analytics/plugin_interface.h"

#define KALAM_EXPORTED __attribute__((visibility("default")))

extern "C" {

KALAM_EXPORTED const char* KalamPluginVersion();
KALAM_EXPORTED void KalamOpenInstance(
    const kalam::analytics::InstanceOptions* options,
    kalam::Result<std::unique_ptr<kalam::analytics::Instance>>* opened);

const char* KalamPluginVersion() { return kalam::analytics::kPluginVersion; }

void KalamOpenInstance(const kalam::analytics::InstanceOptions* options,
                       kalam::Result<std::unique_ptr<kalam::analytics::Instance>>* opened) {
  *opened = kalam::analytics::DuckDbInstance::Open(*options);
}
}
