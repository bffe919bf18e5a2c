// Reading RocksDB's log files: blocks of 32 KB that hold fragments.
//
//   fragment := masked crc32c of type and bytes:4  length:2  type:1 (1 whole, 2 first, 3 middle, 4
//   last)  bytes record   := sequence of its first operation:8  number of operations:4  ...
//
// All numbers are little-endian. A block ends with zeros when fewer than 7 bytes are left.
#include "storage/log_check.h"

#include <fmt/format.h>
#include <rocksdb/env.h>
#include <rocksdb/wal_filter.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/rocksdb_internal.h"

namespace kalam::storage {
namespace {

constexpr size_t kBlockBytes = 32 << 10;
constexpr size_t kFragmentHeaderBytes = 7;
constexpr size_t kRecordHeaderBytes = 12;
enum FragmentType : uint8_t { kZero = 0, kWhole = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0u);
    table[i] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = MakeCrcTable();

uint32_t MaskedCrc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (char c : bytes) crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<uint8_t>(c)) & 0xFF];
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

template <typename T>
T ReadLittleEndian(const char* bytes) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value |= static_cast<T>(static_cast<T>(static_cast<uint8_t>(bytes[i])) << (8 * i));
  }
  return value;
}

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
      const char* header = block.data() + position;
      size_t length = ReadLittleEndian<uint16_t>(header + 4);
      auto type = static_cast<uint8_t>(header[6]);
      if (type == kZero && length == 0) return Status::Ok();  // preallocated, never written
      bool whole = position + kFragmentHeaderBytes + length <= block.size() &&
                   ReadLittleEndian<uint32_t>(header) == MaskedCrc32c({header + 6, length + 1});
      if (!whole) {
        // Where the next fragment begins is unknown; the next block starts with one.
        NoteDamage(block_offset + position);
        return Status::Ok();
      }
      if (type == kWhole || type == kFirst) {
        KALAM_RETURN_IF_ERROR(CheckRecord({header + kFragmentHeaderBytes, length}));
      }
      position += kFragmentHeaderBytes + length;
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
  std::string buffer(kBlockBytes, '\0');
  for (const auto& [number, name] : LogFiles(names)) {
    if (number < first) continue;
    std::string file_path = path + "/" + name;
    std::unique_ptr<rocksdb::SequentialFile> file;
    rocksdb::Status status = env.NewSequentialFile(file_path, &file, rocksdb::EnvOptions());
    if (!status.ok()) return ToStatus(status, "cannot read the log file '" + file_path + "'");
    checker.BeginFile(file_path);
    while (true) {
      rocksdb::Slice block;
      status = file->Read(kBlockBytes, &block, buffer.data());
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
