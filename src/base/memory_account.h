// The tree of memory accounts: who holds how many bytes.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace kalam {

/// Sees what accounts do not: pages. Thread-safety: any thread.
class MemoryRoom {
 public:
  virtual ~MemoryRoom() = default;
  /// Whether the process may grow by so many bytes.
  virtual bool Has(int64_t bytes) = 0;
};

/// One named account; charging it charges every ancestor. Accounts live as long as the process'
/// root account. Thread-safety: all methods may be called from any thread; Charge and Release are a
/// few relaxed atomic adds.
class MemoryAccount {
 public:
  /// `limit_bytes` 0 means no limit of its own.
  MemoryAccount(std::string name, MemoryAccount* parent, int64_t limit_bytes = 0);
  MemoryAccount(const MemoryAccount&) = delete;
  MemoryAccount& operator=(const MemoryAccount&) = delete;
  ~MemoryAccount();

  /// Returns the child of that name, made on first use.
  MemoryAccount& Child(std::string_view name);

  /// Adds without asking.
  void Charge(int64_t bytes);
  /// Adds if no limit on the way to the root would be passed, and the root's reserve is left; false
  /// (and nothing charged) otherwise. Charges that are not small ask the root's room as well, the
  /// large ones each time, the others whenever they add up to a large one.
  [[nodiscard]] bool TryCharge(int64_t bytes);
  static constexpr int64_t kSmallBytes = 16 << 10;
  static constexpr int64_t kLargeBytes = 256 << 10;
  void Release(int64_t bytes) { Charge(-bytes); }

  void set_limit_bytes(int64_t bytes) { limit_bytes_.store(bytes, std::memory_order_relaxed); }
  /// Of a root: what those who ask leave of its limit to those who do not.
  void set_reserve_bytes(int64_t bytes) { reserve_bytes_.store(bytes, std::memory_order_relaxed); }
  /// Of a root; null: none. It must live until another one is set.
  void set_room(MemoryRoom* room) { room_.store(room, std::memory_order_release); }
  int64_t limit_bytes() const { return limit_bytes_.load(std::memory_order_relaxed); }
  int64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }
  int64_t peak_bytes() const { return peak_bytes_.load(std::memory_order_relaxed); }
  const std::string& name() const { return name_; }
  /// A copy of the list of children, for reports.
  std::vector<const MemoryAccount*> children() const;

 private:
  bool HasRoom(int64_t bytes);
  /// Of this account alone.
  bool TryAdd(int64_t bytes);

  const std::string name_;
  MemoryAccount* const parent_;
  std::atomic<int64_t> limit_bytes_;
  std::atomic<int64_t> reserve_bytes_{0};
  std::atomic<int64_t> used_bytes_{0};
  std::atomic<int64_t> peak_bytes_{0};
  std::atomic<MemoryRoom*> room_{nullptr};
  std::atomic<int64_t> unasked_bytes_{0};  // charged since the room was asked
  mutable std::mutex children_mutex_;
  std::vector<std::unique_ptr<MemoryAccount>> children_;  // guarded by children_mutex_
};

/// Bytes charged for as long as this object lives.
class MemoryCharge {
 public:
  MemoryCharge() = default;
  MemoryCharge(MemoryAccount& account, int64_t bytes) : account_(&account), bytes_(bytes) {
    account.Charge(bytes);
  }
  MemoryCharge(MemoryCharge&& other) noexcept { *this = static_cast<MemoryCharge&&>(other); }
  MemoryCharge& operator=(MemoryCharge&& other) noexcept;
  ~MemoryCharge() { Reset(); }
  void Reset();
  /// Changes the amount held.
  void Resize(int64_t bytes);
  /// The same, but growth asks: false, and nothing changed, when a limit would be passed.
  [[nodiscard]] bool TryResize(int64_t bytes);
  int64_t bytes() const { return bytes_; }

 private:
  MemoryAccount* account_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace kalam
