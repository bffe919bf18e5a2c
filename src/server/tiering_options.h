// How the cold tier works, from the configuration.
#pragma once

#include "server/fail_point.h"
#include "server/settings.h"
#include "tiering/open_tiering.h"

namespace kalam::server {

tiering::TieringOptions TieringOptionsFrom(const Settings& settings, const FailPoint& fail_point);

}  // namespace kalam::server
