// Settings of the cold tier.
#include "server/tiering_options.h"

#include <algorithm>

namespace kalam::server {

tiering::TieringOptions TieringOptionsFrom(const Settings& settings, const FailPoint& fail_point) {
  tiering::TieringOptions options;
  options.flush_defaults = {
      .row_limit = static_cast<uint32_t>(settings.number("flush.default_row_limit")),
      .interval_seconds = static_cast<uint32_t>(settings.number("flush.default_time_interval"))};
  options.temp_directory = settings.text("storage.data_path") + "/tmp/segments";
  // Twice as long as anything that holds a view may take.
  options.retired_grace_seconds =
      std::max({options.retired_grace_seconds, 2 * settings.number("transaction_timeout_secs"),
                2 * settings.number("execution.handler_timeout_seconds")});
  options.fail_point = fail_point;
  return options;
}

}  // namespace kalam::server
