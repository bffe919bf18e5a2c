// Settings of the cold tier, and the step at which a test ends the process.
#include "server/tiering_options.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

namespace kalam::server {
namespace {

// Of a test that ends the process at a step of its choice.
constexpr int kExitAtFailPoint = 86;

}  // namespace

tiering::TieringOptions TieringOptionsFrom(const Settings& settings) {
  tiering::TieringOptions options;
  options.flush_defaults = {
      .row_limit = static_cast<uint32_t>(settings.number("flush.default_row_limit")),
      .interval_seconds = static_cast<uint32_t>(settings.number("flush.default_time_interval"))};
  options.temp_directory = settings.text("storage.data_path") + "/tmp/segments";
  // Twice as long as anything that holds a view may take.
  options.retired_grace_seconds =
      std::max({options.retired_grace_seconds, 2 * settings.number("transaction_timeout_secs"),
                2 * settings.number("execution.handler_timeout_seconds")});
  // A test names a step of the cold tier, `flush.put`, and how often it is passed before,
  // `flush.put:2`; the process ends there as if it had been killed.
  if (const char* variable = std::getenv("KALAMDB_END_AT")) {
    const std::string text = variable;
    const size_t colon = text.find(':');
    auto left = std::make_shared<std::atomic<int>>(
        colon == text.npos ? 0 : std::atoi(text.c_str() + colon + 1));
    options.fail_point = [point = text.substr(0, colon), left](std::string_view reached) {
      if (reached == point && left->fetch_sub(1) == 0) _exit(kExitAtFailPoint);
    };
  }
  return options;
}

}  // namespace kalam::server
