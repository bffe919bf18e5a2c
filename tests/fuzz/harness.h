// Mutants of good input, given to a reader one after the other.
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace kalam::fuzz {

/// A reader under test.
struct Target {
  std::string name;
  std::vector<std::string> corpus;  // good inputs, not empty
  /// Reads `input`; returns what is wrong with the outcome, empty when all is well. Crashes and
  /// sanitizer reports speak for themselves.
  std::function<std::string(std::string_view input)> run;
};

/// Bytes out of bytes. The same seed gives the same mutants.
class Mutator {
 public:
  Mutator(uint64_t seed, const std::vector<std::string>& corpus) : random_(seed), corpus_(corpus) {}
  /// A corpus entry with up to eight changes; now and then the entry itself.
  std::string Next();
  /// A number below `bound` > 0.
  size_t Below(size_t bound) { return random_() % bound; }

 private:
  void Change(std::string* bytes);
  void Insert(std::string* bytes);

  std::mt19937_64 random_;
  const std::vector<std::string>& corpus_;
};

/// Feeds `count` mutants to the target and tells the first failure on standard output. True when
/// there was none.
bool Run(const Target& target, uint64_t seed, int64_t count);

std::vector<Target> StoredTargets();
std::vector<Target> WireTargets();
std::vector<Target> Canaries();

}  // namespace kalam::fuzz
