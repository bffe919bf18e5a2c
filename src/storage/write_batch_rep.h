// The inside of WriteBatch, shared with Store::Write.
#pragma once

#include <cstdint>
#include <string>

#include "storage/store.h"

namespace kalam::storage {

struct WriteBatch::Rep {
  std::string bytes;
  uint32_t count = 0;
  uint32_t families_with_ranges = 0;  // bits by Family, of DeleteRange
};

}  // namespace kalam::storage
