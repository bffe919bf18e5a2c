// The keys of rows that several cold files hold, each with the version that counts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kalam::analytics {

/// A set of encoded keys, each with its newest version. Built by one thread, then read by any.
class HiddenKeys {
 public:
  /// A version among the files: a higher `_seq` is newer; of equal ones the later file's counts.
  struct Version {
    int64_t seq = 0;
    uint32_t file = 0;
    bool operator<(const Version& other) const {
      return seq != other.seq ? seq < other.seq : file < other.file;
    }
  };

  /// Versions older than this one do not count.
  void HideOlder(std::string_view key, Version version);

  bool IsHidden(std::string_view key, Version version) const;
  /// The same for keys of 64-bit integers: `ordered` is the number that their 8 bytes stand for.
  bool IsHidden(uint64_t ordered, Version version) const {
    if (ordered < min_ordered_ || ordered > max_ordered_) return false;
    return IsHiddenWithin(ordered, version);
  }
  bool empty() const { return entries_.empty(); }
  size_t size() const { return entries_.size(); }
  int64_t size_bytes() const;

 private:
  struct Entry {
    uint64_t hash;
    uint64_t place;  // in bytes_; keys of at most 8 bytes are kept here themselves
    uint32_t size;
    Version version;  // the newest one
  };

  bool IsHiddenWithin(uint64_t ordered, Version version) const;
  bool MayContain(uint64_t hash) const;
  void AddToFilter(uint64_t hash);
  Entry* Insert(std::string_view key);
  const Entry* Find(std::string_view key, uint64_t hash) const;
  bool Equal(const Entry& entry, std::string_view key, uint64_t hash) const;
  void Grow();

  std::vector<uint32_t> slots_;   // index into entries_ + 1; 0: free
  std::vector<uint64_t> filter_;  // a bit for each hash: most keys are not here, and this tells
  std::vector<Entry> entries_;
  std::string bytes_;
  std::string min_key_, max_key_;
  uint64_t min_ordered_ = UINT64_MAX, max_ordered_ = 0;  // of keys of 8 bytes
};

}  // namespace kalam::analytics
