// The control interface of jemalloc, for a process that was started with it preloaded.
#pragma once

#include <cstddef>
#include <optional>

namespace kalam {

/// mallctl(3) of jemalloc, looked up in what the process has loaded. The server itself links
/// glibc's allocator (docs/adr/0011-allocator.md). Thread-safety: any thread.
class AllocatorControl {
 public:
  AllocatorControl();
  /// False: the allocator is not jemalloc, and nothing below does anything.
  bool present() const { return call_ != nullptr; }
  /// A value of type T by its name; nullopt when there is none of that name and size.
  template <typename T>
  std::optional<T> Read(const char* name) const {
    T value{};
    size_t size = sizeof(value);
    if (!present() || call_(name, &value, &size, nullptr, 0) != 0 || size != sizeof(value))
      return std::nullopt;
    return value;
  }
  /// Sets a value; false when that was refused.
  template <typename T>
  bool Write(const char* name, T value) const {
    return present() && call_(name, nullptr, nullptr, &value, sizeof(value)) == 0;
  }
  /// Does what the name says.
  bool Run(const char* name) const {
    return present() && call_(name, nullptr, nullptr, nullptr, 0) == 0;
  }

 private:
  using Call = int (*)(const char* name, void* old_value, size_t* old_bytes, void* new_value,
                       size_t new_bytes);
  Call call_;
};

}  // namespace kalam
