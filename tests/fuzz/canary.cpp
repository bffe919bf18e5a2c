// Readers with a planted mistake: a harness that finds nothing here finds nothing anywhere.
#include <cstring>

#include "harness.h"

namespace kalam::fuzz {
namespace {

// text := length:byte bytes. The length is believed unless it is odd.
std::string ReadBelieving(std::string_view input, bool touch) {
  if (input.empty()) return {};
  const size_t length = static_cast<uint8_t>(input[0]);
  const bool checked = length % 2 == 1;
  if (checked && length > input.size() - 1) return {};
  if (touch) {
    // Volatile: the bytes are read even though nobody needs them.
    volatile char last = 0;
    for (size_t i = 0; i < length; ++i) last = *(input.data() + 1 + i);
    static_cast<void>(last);
    return {};
  }
  return length > input.size() - 1 ? "a text ends behind its input" : "";
}

}  // namespace

std::vector<Target> Canaries() {
  const std::vector<std::string> corpus = {std::string("\x05hello"), std::string("\x00", 1)};
  return {{"canary_wrong_answer", corpus,
           [](std::string_view input) { return ReadBelieving(input, false); }},
          {"canary_read_outside", corpus,
           [](std::string_view input) { return ReadBelieving(input, true); }}};
}

}  // namespace kalam::fuzz
