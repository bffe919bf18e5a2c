// Ends the process, or holds it up, at a step of background work, for tests of crashes.
#pragma once

#include <functional>
#include <string_view>

namespace kalam::server {

/// Called with the name of a step that was just done.
using FailPoint = std::function<void(std::string_view step)>;

/// What the environment asks for. KALAMDB_END_AT names a step, `flush.put`, and how often it is
/// passed before, `flush.put:2`; the process ends there as if it had been killed. KALAMDB_HOLD_AT
/// names one where the work waits: it writes a byte into the pipe that KALAMDB_HOLD_PIPE names and
/// goes on when nobody has that pipe open for reading any more. Empty when it asks for nothing.
FailPoint FailPointOfTest();

}  // namespace kalam::server
