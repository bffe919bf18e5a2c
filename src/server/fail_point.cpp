// KALAMDB_END_AT.
#include "server/fail_point.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>

namespace kalam::server {
namespace {

constexpr int kExitAtFailPoint = 86;

}  // namespace

FailPoint FailPointOfTest() {
  const char* variable = std::getenv("KALAMDB_END_AT");
  if (variable == nullptr) return {};
  const std::string text = variable;
  const size_t colon = text.find(':');
  auto left = std::make_shared<std::atomic<int>>(
      colon == text.npos ? 0 : std::atoi(text.c_str() + colon + 1));
  return [point = text.substr(0, colon), left](std::string_view reached) {
    if (reached == point && left->fetch_sub(1) == 0) _exit(kExitAtFailPoint);
  };
}

}  // namespace kalam::server
