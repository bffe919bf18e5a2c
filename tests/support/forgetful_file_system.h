// A file system for tests that can lose power, run full and fail, over the machine's own.
#pragma once

#include <rocksdb/file_system.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

namespace kalam::testing_support {

/// Passes everything through and remembers what was made durable, as POSIX promises it and no more:
/// bytes of a file up to its last Sync; files that were made, renamed or deleted once their
/// directory was synced. `LosePower` then puts the files into a state that a machine could find
/// after a power failure: anything not durable may be gone, may be there in part, and may be
/// garbage. Hand it to StoreOptions::file_system. Thread-safety: any thread.
class ForgetfulFileSystem : public rocksdb::FileSystemWrapper {
 public:
  /// `attic` is a directory of its own on the same file system, for deleted files that may come
  /// back.
  ForgetfulFileSystem(std::string attic, uint64_t seed);

  /// From the `operations`-th write, sync, creation, renaming or deletion on, everything fails, as
  /// when the plug is pulled.
  void CutPowerAfter(uint64_t operations);
  bool has_power() const;
  /// Forgets what was not durable and restores power. Every file must be closed.
  void LosePower();

  /// Free bytes; appends beyond them write what fits and fail. Negative: unlimited. `told`: whether
  /// GetFreeSpace knows, or speaks of plenty, as with a quota.
  void SetFreeBytes(int64_t bytes, bool told = true);
  /// Every Sync fails with EIO from now on.
  void FailSyncs(bool fail);
  /// The next `times` files whose names end so cannot be created.
  void FailCreations(std::string suffix, int times);
  /// Runs before each Sync of a file, on the syncing thread.
  void SetBeforeSync(std::function<void(const std::string& path)> hook);
  /// Syncs of files so far.
  uint64_t sync_count() const;

  const char* Name() const override { return "ForgetfulFileSystem"; }
  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                       std::unique_ptr<rocksdb::FSWritableFile>* file,
                                       rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path,
                                      const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewDirectory(const std::string& path, const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* directory,
                                 rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus GetFreeSpace(const std::string& path, const rocksdb::IOOptions& options,
                                 uint64_t* free_bytes, rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus LinkFile(const std::string& from, const std::string& to,
                             const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override;

 private:
  class TrackedFile;
  class TrackedDirectory;

  /// What a write inside a file has replaced.
  struct Overwrite {
    uint64_t offset = 0;
    std::string before;
  };
  struct FileState {
    uint64_t written_bytes = 0;
    uint64_t synced_bytes = 0;
    std::vector<Overwrite> overwrites;  // not synced yet, oldest first
  };
  /// One change of a directory that is not durable yet. `saved`: where the file that it hid lies
  /// now, or empty.
  struct EntryChange {
    enum Kind { kMade, kRenamed, kDeleted } kind;
    std::string path;
    std::string new_path;  // kRenamed
    std::string saved;
  };

  rocksdb::IOStatus Operate();                                                 // mutex_ held
  rocksdb::IOStatus MoveToAttic(const std::string& path, std::string* saved);  // mutex_ held
  void MoveFile(const std::string& from, const std::string& to);               // mutex_ held
  void Undo(const EntryChange& change);                                        // mutex_ held
  /// Takes back the youngest writes inside a file; one of them may be left half done.
  void ForgetOverwrites(const std::string& path, const FileState& state);  // mutex_ held
  void ForgetTail(const std::string& path, const FileState& state);        // mutex_ held
  std::vector<EntryChange>& ChangesOf(const std::string& path);            // mutex_ held

  rocksdb::IOStatus BeginAppend(const std::string& path, uint64_t size, uint64_t* fits);
  void EndAppend(const std::string& path, uint64_t size);
  /// Remembers what lies at `offset` now.
  void BeginOverwrite(const std::string& path, uint64_t offset, uint64_t size);
  rocksdb::IOStatus BeginSync(const std::string& path, FileState* written);
  void EndSync(const std::string& path, const FileState& written);

  const std::string attic_;
  mutable std::mutex mutex_;
  // Guarded by mutex_:
  std::mt19937_64 random_;
  bool power_ = true;
  bool power_limited_ = false;
  uint64_t operations_left_ = 0;
  int64_t free_bytes_ = -1;
  bool free_bytes_told_ = true;
  bool syncs_fail_ = false;
  std::string failing_suffix_;
  int failing_creations_ = 0;
  uint64_t sync_count_ = 0;
  uint64_t saved_count_ = 0;
  std::function<void(const std::string&)> before_sync_;
  std::map<std::string, FileState> files_;
  std::map<std::string, std::vector<EntryChange>> changes_;  // by directory
};

}  // namespace kalam::testing_support
