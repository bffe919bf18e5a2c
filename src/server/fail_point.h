// Ends the process at a step of background work, for tests of crashes.
#pragma once

#include <functional>
#include <string_view>

namespace kalam::server {

/// Called with the name of a step that was just done.
using FailPoint = std::function<void(std::string_view step)>;

/// What the environment asks for: KALAMDB_END_AT names a step, `flush.put`, and how often it is
/// passed before, `flush.put:2`; the process ends there as if it had been killed. Empty when it
/// asks for nothing.
FailPoint FailPointOfTest();

}  // namespace kalam::server
