// The inside of WriteBatch, shared with Store::Write.
#pragma once

#include <cstdint>
#include <string>

#include "storage/range_deletions.h"
#include "storage/store.h"

namespace kalam::storage {

struct WriteBatch::Rep {
  std::string bytes;
  uint32_t count = 0;
  DeletedRanges deleted_ranges;
};

}  // namespace kalam::storage
