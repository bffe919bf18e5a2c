// What crosses the border between the server and libkalam_analytics.so: plain C++ interfaces, no
// type of the engine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "analytics/engine.h"
#include "base/status.h"
#include "types/row_stream.h"

namespace kalam::analytics {

/// Changes whenever anything in this header or in the headers it includes changes its shape.
inline constexpr const char kPluginVersion[] = "kalam-analytics-5";

struct InstanceOptions {
  int64_t memory_limit_bytes = 0;
  int threads = 1;
  std::string temp_directory;  // empty: no spilling
  int64_t temp_bytes_max = 0;
  std::function<int64_t()> next_snowflake_id;
  /// Asked before the buffer pool holds more than it was granted: for room for so many bytes in
  /// all. Returns what the pool may hold; no more comes into it. Any thread, at any depth in the
  /// engine. Empty: the whole limit.
  std::function<int64_t(int64_t bytes)> reach_pool_bytes;
};

/// One open engine. Thread-safety: any thread. Must outlive the streams that it gave out.
class Instance {
 public:
  virtual ~Instance() = default;
  virtual Result<std::unique_ptr<RowStream>> Execute(EngineQuery query) = 0;
  virtual Result<std::string> Explain(EngineQuery query) = 0;
  /// As Engine::WriteParquet; the caller removes what an error leaves.
  virtual Result<ParquetFileSummary> WriteParquet(const ParquetFile& file) = 0;
  /// Bytes that the engine's buffer pool holds or is about to. Takes no lock.
  virtual int64_t used_bytes() const = 0;
  /// True after an error that the engine does not survive: open another instance.
  virtual bool lost() const = 0;
};

}  // namespace kalam::analytics

extern "C" {
/// kPluginVersion of the build that made the plugin.
using KalamPluginVersionFunction = const char* (*)();
/// Opens an instance. Errors: NotAvailable (the engine's library is of another version), Execution.
using KalamOpenInstanceFunction =
    void (*)(const kalam::analytics::InstanceOptions* options,
             kalam::Result<std::unique_ptr<kalam::analytics::Instance>>* opened);
}
inline constexpr const char kKalamPluginVersionSymbol[] = "KalamPluginVersion";
inline constexpr const char kKalamOpenInstanceSymbol[] = "KalamOpenInstance";
