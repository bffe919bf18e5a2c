// The mutator and the loop around a target.
#include "harness.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

namespace kalam::fuzz {
namespace {

constexpr size_t kInputBytesMax = 64 << 10;

// Lengths, tags and characters that readers treat in a way of their own.
constexpr std::array<std::string_view, 24> kWords = {std::string_view("\0", 1),
                                                     "\xff",
                                                     "\x7f",
                                                     "\x80",
                                                     std::string_view("\0\0\0\0", 4),
                                                     "\xff\xff\xff\xff",
                                                     "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                                                     "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
                                                     "\xef\xbf\xbd",
                                                     "\xc3\x28",
                                                     "\xed\xa0\x80",
                                                     "\"",
                                                     "\\u0000",
                                                     "\\",
                                                     "{",
                                                     "[[[[[[[[[[[[[[[[",
                                                     "}",
                                                     "null",
                                                     "-1",
                                                     "1e999",
                                                     "18446744073709551616",
                                                     "\r\n",
                                                     "\n",
                                                     ":"};

std::string Quoted(std::string_view bytes) {
  std::string text;
  for (const char c : bytes.substr(0, 400)) {
    const auto byte = static_cast<uint8_t>(c);
    text += byte >= 0x20 && byte < 0x7f && c != '\\' ? std::string(1, c)
                                                     : fmt::format("\\x{:02x}", byte);
  }
  return bytes.size() > 400 ? text + "..." : text;
}

}  // namespace

void Mutator::Insert(std::string* bytes) {
  const size_t at = Below(bytes->size() + 1);
  if (Below(3) > 0) {
    bytes->insert(at, kWords[Below(kWords.size())]);
    return;
  }
  const std::string& other = corpus_[Below(corpus_.size())];
  const size_t begin = Below(other.size() + 1);
  bytes->insert(at, other, begin, Below(other.size() - begin + 1));
}

void Mutator::Change(std::string* bytes) {
  if (bytes->empty()) return Insert(bytes);
  const size_t at = Below(bytes->size());
  switch (Below(7)) {
    case 0:
      (*bytes)[at] = static_cast<char>(random_());
      return;
    case 1:
      (*bytes)[at] = static_cast<char>((*bytes)[at] ^ (1 << Below(8)));
      return;
    case 2:
      bytes->erase(at, 1 + Below(8));
      return;
    case 3:
      bytes->resize(at);
      return;
    case 4: {
      const std::string piece = bytes->substr(at, 1 + Below(32));
      bytes->insert(Below(bytes->size() + 1), piece);
      return;
    }
    case 5: {
      const std::string_view word = kWords[Below(kWords.size())];
      bytes->replace(at, std::min(word.size(), bytes->size() - at), word);
      return;
    }
    default:
      Insert(bytes);
  }
}

std::string Mutator::Next() {
  std::string bytes = corpus_[Below(corpus_.size())];
  for (size_t changes = Below(9); changes > 0; --changes) Change(&bytes);
  if (bytes.size() > kInputBytesMax) bytes.resize(kInputBytesMax);
  return bytes;
}

bool Run(const Target& target, uint64_t seed, int64_t count) {
  Mutator mutator(seed, target.corpus);
  for (int64_t event = 0; event < count; ++event) {
    const std::string bytes = mutator.Next();
    // Exactly as large as the input, so that a step beyond it is seen.
    const auto exact = std::make_unique<char[]>(bytes.size());
    if (!bytes.empty()) std::memcpy(exact.get(), bytes.data(), bytes.size());
    const std::string problem = target.run({exact.get(), bytes.size()});
    if (problem.empty()) continue;
    fmt::print("{}: {}\n  input {} of seed {}: {}\n  again: fuzz {} --seed {} --count {}\n",
               target.name, problem, event, seed, Quoted(bytes), target.name, seed, event + 1);
    return false;
  }
  fmt::print("{}: {} inputs, nothing found\n", target.name, count);
  return true;
}

}  // namespace kalam::fuzz
