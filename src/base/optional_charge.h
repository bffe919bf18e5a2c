// A charge of an account that need not be there.
#pragma once

#include <cstdint>

#include "base/memory_account.h"

namespace kalam {

/// `bytes` charged to `account` for as long as the result lives; without an account nothing is ever
/// charged, also by Resize.
inline MemoryCharge ChargeIfAny(MemoryAccount* account, int64_t bytes = 0) {
  return account == nullptr ? MemoryCharge() : MemoryCharge(*account, bytes);
}

}  // namespace kalam
