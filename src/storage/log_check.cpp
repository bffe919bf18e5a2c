// Reading RocksDB's log files (log_format.h), whose records are
//
//   record := sequence of its first operation:8  number of operations:4  ...
#include "storage/log_check.h"

#include <fmt/format.h>
#include <rocksdb/env.h>
#include <rocksdb/wal_filter.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/log_format.h"
#include "storage/rocksdb_internal.h"

namespace kalam::storage {
namespace {

constexpr size_t kRecordHeaderBytes = 12;

/// Follows the records of all files in order.
class LogChecker {
 public:
  void BeginFile(std::string path) {
    path_ = std::move(path);
    offset_ = 0;
  }

  /// Looks at one block; the last one of a file may be short.
  Status CheckBlock(std::string_view block) {
    uint64_t block_offset = offset_;
    offset_ += block.size();
    size_t position = 0;
    while (position + kFragmentHeaderBytes <= block.size()) {
      LogFragment fragment;
      switch (ReadFragment(block, position, &fragment)) {
        case FragmentState::kUnwritten:
          return Status::Ok();  // preallocated, never written
        case FragmentState::kDamaged:
          // The next block starts with a fragment.
          NoteDamage(block_offset + position);
          return Status::Ok();
        case FragmentState::kWhole:
          break;
      }
      if (fragment.type == FragmentType::kWhole || fragment.type == FragmentType::kFirst) {
        KALAM_RETURN_IF_ERROR(CheckRecord(fragment.bytes));
      }
      position += fragment.size_bytes;
    }
    return Status::Ok();
  }

 private:
  void NoteDamage(uint64_t offset) {
    if (damaged_) return;
    damaged_ = true;
    damaged_path_ = path_;
    damaged_offset_ = offset;
  }

  Status CheckRecord(std::string_view record) {
    if (record.size() < kRecordHeaderBytes) return Status::Ok();
    auto sequence = ReadLittleEndian<uint64_t>(record.data());
    auto count = ReadLittleEndian<uint32_t>(record.data() + 8);
    if (damaged_ && sequence > next_sequence_) {
      return Status(
          ErrorKind::Corruption,
          fmt::format(
              "the log file '{}' is damaged at byte {} and acknowledged writes follow the damage. "
              "Restore the data directory from a backup; or, to give up every write after the "
              "damage, move the younger log files away and run: truncate -s {} '{}'",
              damaged_path_, damaged_offset_, damaged_offset_, damaged_path_));
    }
    damaged_ = false;
    next_sequence_ = std::max(next_sequence_, sequence + count);
    return Status::Ok();
  }

  std::string path_;
  uint64_t offset_ = 0;
  uint64_t next_sequence_ = 0;
  bool damaged_ = false;
  std::string damaged_path_;
  uint64_t damaged_offset_ = 0;
};

/// Numbers of the log files ("000012.log"), ascending.
std::vector<std::pair<uint64_t, std::string>> LogFiles(const std::vector<std::string>& names) {
  std::vector<std::pair<uint64_t, std::string>> files;
  for (const std::string& name : names) {
    size_t digits = name.find_first_not_of("0123456789");
    if (digits == 0 || digits > 18 || name.substr(std::min(digits, name.size())) != ".log")
      continue;
    files.emplace_back(std::stoull(name.substr(0, digits)), name);
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// Sees which log files recovery starts from and stops it there.
class FirstLogObserver final : public rocksdb::WalFilter {
 public:
  void ColumnFamilyLogNumberMap(const std::map<uint32_t, uint64_t>& first_logs,
                                const std::map<std::string, uint32_t>&) override {
    if (first_logs.empty()) return;
    first_log_ = UINT64_MAX;
    for (const auto& [family, log] : first_logs) first_log_ = std::min(first_log_, log);
  }
  WalProcessingOption LogRecordFound(unsigned long long, const std::string&,
                                     const rocksdb::WriteBatch&, rocksdb::WriteBatch*,
                                     bool*) override {
    return WalProcessingOption::kStopReplay;
  }
  const char* Name() const override { return "kalam.first_log"; }
  uint64_t first_log() const { return first_log_; }

 private:
  uint64_t first_log_ = 0;
};

/// The number of the oldest log file that recovery reads, as the manifest has it.
Result<uint64_t> FirstNeededLog(const Tuning& tuning, const std::string& path) {
  FirstLogObserver observer;
  rocksdb::DBOptions options = tuning.options;
  options.wal_filter = &observer;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* opened = nullptr;
  rocksdb::Status status =
      rocksdb::DB::OpenForReadOnly(options, path, tuning.families, &handles, &opened);
  std::unique_ptr<rocksdb::DB> database(opened);
  if (!status.ok()) return ToStatus(status, "cannot read the manifest");
  uint64_t kept = 0;
  database->GetIntProperty(rocksdb::DB::Properties::kMinLogNumberToKeep, &kept);
  for (auto* handle : handles) database->DestroyColumnFamilyHandle(handle);
  return std::max(kept, observer.first_log());
}

Status CheckLogsFrom(uint64_t first, rocksdb::Env& env, const std::string& path) {
  std::vector<std::string> names;
  rocksdb::Status listed = env.GetChildren(path, &names);
  if (listed.IsNotFound() || listed.IsPathNotFound()) return Status::Ok();
  if (!listed.ok()) return ToStatus(listed, "cannot list the data directory");
  LogChecker checker;
  std::string buffer(kLogBlockBytes, '\0');
  for (const auto& [number, name] : LogFiles(names)) {
    if (number < first) continue;
    std::string file_path = path + "/" + name;
    std::unique_ptr<rocksdb::SequentialFile> file;
    rocksdb::Status status = env.NewSequentialFile(file_path, &file, rocksdb::EnvOptions());
    if (!status.ok()) return ToStatus(status, "cannot read the log file '" + file_path + "'");
    checker.BeginFile(file_path);
    while (true) {
      rocksdb::Slice block;
      status = file->Read(kLogBlockBytes, &block, buffer.data());
      if (!status.ok()) return ToStatus(status, "cannot read the log file '" + file_path + "'");
      if (block.empty()) break;
      KALAM_RETURN_IF_ERROR(checker.CheckBlock({block.data(), block.size()}));
    }
  }
  return Status::Ok();
}

}  // namespace

Status CheckLogs(const Tuning& tuning, const std::string& path) {
  Status status = CheckLogsFrom(0, *tuning.options.env, path);
  if (!status.Is(ErrorKind::Corruption)) return status;
  // A log that is no longer needed may lie there still: deleting it is the last thing that becomes
  // durable. Which logs are needed costs a look at the manifest, so it is only asked now.
  Result<uint64_t> first = FirstNeededLog(tuning, path);
  if (!first.ok()) return status;
  return CheckLogsFrom(*first, *tuning.options.env, path);
}

}  // namespace kalam::storage
