// Pages of the program's code that nothing runs any more.
#pragma once

namespace kalam {

/// Unmaps all code of the program and its libraries. What runs on is mapped again as it runs, from
/// the page cache and without a disk, in some 100 us altogether; what only the start needed, a
/// third of what was resident, stays away. Breakpoints that a debugger has set before are lost.
/// Thread-safety: any thread.
void UnmapIdleCode();

}  // namespace kalam
