// Fills dba.stats with the numbers of system.stats and removes old samples.
#pragma once

#include <map>
#include <string>

#include "statements/system_tables.h"

namespace kalam::statements {

struct SamplerOptions {
  bool is_enabled = true;
  int64_t retention_seconds = 7 * 86'400;  // 0: samples stay for ever
};

/// Samples one second after the start and every 30 s from then on. A metric that did not move since
/// its last sample is written again only every ten minutes, so that an idle server writes little.
/// Not thread-safe: Tick is called by one thread at a time.
class StatsSampler {
 public:
  /// `sources` must outlive the sampler.
  StatsSampler(const SystemSources& sources, const SamplerOptions& options);
  /// Samples and prunes if it is time. Errors of writing are logged, the next sample tries again.
  void Tick();

 private:
  Status Sample(int64_t now_us);
  /// Removes samples older than the retention, at most `kPruneBatch` rows a call; true when there
  /// may be more.
  Result<bool> Prune(int64_t now_us);

  const SystemSources& sources_;
  const SamplerOptions options_;
  int64_t next_sample_steady_us_;
  int64_t next_full_steady_us_ = 0;
  int64_t next_prune_steady_us_;
  std::map<std::string, std::string> last_values_;
};

}  // namespace kalam::statements
