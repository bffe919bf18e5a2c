// Writes a zip archive entry by entry.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/memory_account.h"
#include "base/status.h"

namespace kalam::exports {

/// An archive that appears under its name when Close has made it durable; without Close there is
/// none. Entries and archives may be larger than 4 GB. Not thread-safe.
class ZipWriter {
 public:
  enum class Compression : uint8_t { kStore, kDeflate };

  /// `memory`: charged with the library's buffers, the compressor while an entry is deflated, and
  /// the list of entries, which stays until the end; may be null. Errors: StorageIo.
  static Result<std::unique_ptr<ZipWriter>> Create(const std::string& path,
                                                   MemoryAccount* memory = nullptr);
  ~ZipWriter();

  /// Begins the next entry; Write adds to it. Errors: StorageIo.
  Status BeginEntry(const std::string& name, Compression compression);
  Status Write(std::string_view bytes);
  /// The bytes of a local file as the next entry.
  Status AddFile(const std::string& name, const std::string& local_path, Compression compression);
  /// How many bytes the archive has. Errors: StorageIo; then there is none.
  Result<int64_t> Close();

  struct Rep;
  explicit ZipWriter(std::unique_ptr<Rep> rep);

 private:
  const std::unique_ptr<Rep> rep_;
};

}  // namespace kalam::exports
