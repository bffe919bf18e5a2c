// Where a restore lies in the data directory on its way.
#pragma once

#include <string>

namespace kalam::backup {

struct RestoreFolders {
  std::string staging;    // the fetched backup
  std::string ready;      // its listing: it is complete, the next start checks and takes it
  std::string swapping;   // the listing again: it was checked, the renames are under way
  std::string activated;  // the listing again: the swap is done, jobs of the backup are not settled
  std::string previous;   // what was there before the last restore
  std::string refused;    // the listing of a staged backup that was damaged
};

inline RestoreFolders RestoreFoldersOf(const std::string& data_directory) {
  const std::string base = data_directory + "/restore/";
  return {.staging = base + "staging",
          .ready = base + "ready.json",
          .swapping = base + "swapping.json",
          .activated = base + "activated.json",
          .previous = base + "previous",
          .refused = base + "refused.json"};
}

}  // namespace kalam::backup
