// Reading the bound of block cache and memtables, and what they hold.
#include "suite/cache_fill.h"

#include <cstdlib>
#include <string>
#include <string_view>

namespace kalam::bench {
namespace {

/// The number behind `name=` in the options that the server reports; 0 when it is not there.
int64_t OptionIn(const std::string& text, std::string_view name) {
  const size_t at = text.find(std::string(name) + "=");
  return at == std::string::npos ? 0 : std::atoll(text.c_str() + at + name.size() + 1);
}

}  // namespace

Result<CacheFill> CacheFill::Of(Environment& environment) {
  KALAM_ASSIGN_OR_RETURN(
      const std::string options,
      environment.Admin("SELECT detail FROM system.memory WHERE account = 'rocksdb.options'"));
  const int64_t bound_bytes =
      OptionIn(options, "block_cache_size") + OptionIn(options, "write_buffer_size");
  if (bound_bytes == 0) return Status(ErrorKind::Execution, options);
  return CacheFill(environment, bound_bytes);
}

Result<bool> CacheFill::IsFull() {
  KALAM_ASSIGN_OR_RETURN(const int64_t blocks, environment_.AccountBytes("server.block_cache"));
  KALAM_ASSIGN_OR_RETURN(const int64_t memtables, environment_.AccountBytes("server.memtables"));
  held_bytes_ = blocks + memtables;
  was_full_ = was_full_ || held_bytes_ >= bound_bytes_ / 50 * 49;
  return was_full_;
}

}  // namespace kalam::bench
