// The cold half of a scan: rows of Parquet files without those that hot rows or newer files hide.
#include "analytics/plugin/cold_scan.h"

#include <algorithm>
#include <duckdb/main/client_context.hpp>
#include <duckdb/parallel/thread_context.hpp>
#include <numeric>

#include "types/key_codec.h"

namespace kalam::analytics {
namespace {

// Beyond so many the merged rows are cheaper than a set of keys that no cache holds.
constexpr size_t kHiddenKeysMax = 500'000;
// Keys between two looks at the memory they take.
constexpr size_t kReserveEvery = 16'384;

bool KeysOverlap(const tables::ColdFile& a, const tables::ColdFile& b) {
  return a.min_pk <= b.max_pk && b.min_pk <= a.max_pk;
}

/// By file: true when its keys have to be known, because a row of it may hide one of another file.
/// Of two that overlap it is the newer one; both, when neither is newer as a whole.
std::vector<size_t> HidingFiles(const std::vector<tables::ColdFile>& files) {
  std::vector<size_t> by_key(files.size());
  std::iota(by_key.begin(), by_key.end(), 0);
  std::sort(by_key.begin(), by_key.end(),
            [&](size_t a, size_t b) { return files[a].min_pk < files[b].min_pk; });
  std::vector<bool> hides(files.size());
  for (size_t i = 0; i < by_key.size(); ++i) {
    const tables::ColdFile& a = files[by_key[i]];
    for (size_t j = i + 1; j < by_key.size() && files[by_key[j]].min_pk <= a.max_pk; ++j) {
      const tables::ColdFile& b = files[by_key[j]];
      if (!KeysOverlap(a, b)) continue;
      if (a.max_seq >= b.min_seq) hides[by_key[i]] = true;
      if (b.max_seq >= a.min_seq) hides[by_key[j]] = true;
    }
  }
  std::vector<size_t> hiding;
  for (size_t i = 0; i < files.size(); ++i) {
    if (hides[i]) hiding.push_back(i);
  }
  return hiding;
}

/// Writes the encoded key of a row into local.key.
void ReadKey(QueryState& query, ColdScan::Local& local, duckdb::idx_t row) {
  local.arena.Reset();
  local.key.clear();
  const Result<Datum> key = local.keys->Read(row, &local.arena);
  if (!key.ok()) query.Fail(key.status());
  if (key->is_null) query.Fail(Status(ErrorKind::Corruption, "a cold row has no key"));
  EncodeKey(*key, &local.key);
}

}  // namespace

ColdScan::ColdScan(duckdb::ClientContext& context, QueryState& query, ResultSchema schema,
                   std::shared_ptr<tables::ColdFiles> cold)
    : context_(context), query_(query), schema_(std::move(schema)), cold_(std::move(cold)) {}

std::unique_ptr<ColdScan> ColdScan::Open(duckdb::ClientContext& context, QueryState& query,
                                         const ResultSchema& schema,
                                         std::shared_ptr<tables::ColdFiles> cold,
                                         const std::vector<uint32_t>& columns,
                                         const std::vector<tables::ScanHint>& hints) {
  auto scan = std::make_unique<ColdScan>(context, query, schema, std::move(cold));
  if (!scan->Hide()) {
    query.ReturnMemory(scan->reserved_bytes_);
    return nullptr;
  }
  scan->OpenScan(columns, hints);
  return scan;
}

bool ColdScan::Hide() {
  if (!HideHotKeys() || !HideOldVersions()) return false;
  hidden_.Seal();
  return Reserve();
}

bool ColdScan::Reserve() {
  const int64_t missing_bytes = hidden_.size_bytes() - reserved_bytes_;
  if (hidden_.size() > kHiddenKeysMax) return false;
  if (missing_bytes <= 0) return true;
  if (!query_.ReserveMemory(context_, missing_bytes)) return false;
  reserved_bytes_ += missing_bytes;
  return true;
}

bool ColdScan::HideHotKeys() {
  std::string min_pk, max_pk;
  for (const tables::ColdFile& file : cold_->files()) {
    if (max_pk.empty() || file.min_pk < min_pk) min_pk = file.min_pk;
    max_pk = std::max(max_pk, file.max_pk);
  }
  bool fits = true;
  size_t visited = 0;
  const Status status = cold_->VisitHotKeys([&](std::string_view key) {
    if (context_.interrupted) return false;
    if (key < min_pk || key > max_pk) return true;
    hidden_.HideAll(key);
    if (++visited % kReserveEvery == 0) fits = Reserve();
    return fits;
  });
  if (context_.interrupted) throw duckdb::InterruptException();
  if (!status.ok()) query_.Fail(status);
  return fits && Reserve();
}

bool ColdScan::HideOldVersions() {
  const std::vector<size_t> hiding = HidingFiles(cold_->files());
  if (hiding.empty()) return true;
  // In files of many scopes nobody knows before how many rows are this scope's.
  int64_t rows = 0;
  for (const size_t index : hiding) {
    const tables::ColdFile& file = cold_->files()[index];
    if (!file.many_scopes) rows += file.row_count;
  }
  if (rows > static_cast<int64_t>(kHiddenKeysMax)) return false;
  return ReadVersions(hiding);
}

bool ColdScan::ReadVersions(const std::vector<size_t>& files) {
  ParquetRequest request;
  request.cold = cold_;
  request.columns = schema_;
  request.files = files;
  request.wanted = {cold_->key_column(), cold_->seq_column()};
  request.file_index = true;
  request.live_only = false;
  ParquetScan scan(context_, query_, std::move(request));
  duckdb::ThreadContext thread(context_);
  duckdb::ExecutionContext execution(context_, thread, nullptr);
  Local local;
  local.scan = scan.OpenLocal(execution);
  local.chunk.Initialize(context_, scan.types());
  local.keys.emplace(scan.types()[0]);
  while (true) {
    if (context_.interrupted) throw duckdb::InterruptException();
    scan.Next(context_, local.scan.get(), local.chunk);
    if (local.chunk.size() == 0) return Reserve();
    local.chunk.Flatten();
    local.keys->Begin(&local.chunk.data[0], local.chunk.size());
    const auto* seqs = duckdb::FlatVector::GetData<int64_t>(local.chunk.data[1]);
    const auto* file_places = duckdb::FlatVector::GetData<uint64_t>(local.chunk.data[2]);
    for (duckdb::idx_t row = 0; row < local.chunk.size(); ++row) {
      ReadKey(query_, local, row);
      hidden_.HideOlder(local.key, {seqs[row], static_cast<uint32_t>(files[file_places[row]])});
    }
    if (!Reserve()) return false;
  }
}

void ColdScan::OpenScan(const std::vector<uint32_t>& columns,
                        const std::vector<tables::ScanHint>& hints) {
  ParquetRequest request;
  request.cold = cold_;
  request.columns = schema_;
  request.files.resize(cold_->files().size());
  std::iota(request.files.begin(), request.files.end(), 0);
  request.wanted = columns;
  request.hints = hints;
  asked_columns_ = columns.size();
  const auto place = [&request](uint32_t column) {
    const auto found = std::find(request.wanted.begin(), request.wanted.end(), column);
    const auto index = static_cast<size_t>(found - request.wanted.begin());
    if (found == request.wanted.end()) request.wanted.push_back(column);
    return index;
  };
  if (!hidden_.empty()) key_place_ = place(cold_->key_column());
  if (hidden_.needs_versions()) {
    seq_place_ = place(cold_->seq_column());
    file_place_ = request.wanted.size();
    request.file_index = true;
  }
  scan_ = std::make_unique<ParquetScan>(context_, query_, std::move(request));
}

std::unique_ptr<ColdScan::Local> ColdScan::OpenLocal(duckdb::ExecutionContext& context) {
  auto local = std::make_unique<Local>();
  local->scan = scan_->OpenLocal(context);
  local->chunk.Initialize(context.client, scan_->types());
  if (!hidden_.empty()) local->keys.emplace(scan_->types()[key_place_]);
  return local;
}

duckdb::idx_t ColdScan::Select(Local& local, duckdb::SelectionVector* visible) const {
  const duckdb::idx_t count = local.chunk.size();
  local.keys->Begin(&local.chunk.data[key_place_], count);
  duckdb::UnifiedVectorFormat seqs, files;
  if (hidden_.needs_versions()) {
    local.chunk.data[seq_place_].ToUnifiedFormat(count, seqs);
    local.chunk.data[file_place_].ToUnifiedFormat(count, files);
  }
  const auto version_of = [&](duckdb::idx_t row) {
    HiddenKeys::Version version;
    if (hidden_.needs_versions()) {
      version.seq = seqs.GetData<int64_t>(seqs)[seqs.sel->get_index(row)];
      version.file =
          static_cast<uint32_t>(files.GetData<uint64_t>(files)[files.sel->get_index(row)]);
    }
    return version;
  };
  duckdb::idx_t kept = 0;
  if (scan_->types()[key_place_].id() == duckdb::LogicalTypeId::BIGINT) {
    duckdb::UnifiedVectorFormat keys;
    local.chunk.data[key_place_].ToUnifiedFormat(count, keys);
    const auto* values = keys.GetData<int64_t>(keys);
    for (duckdb::idx_t row = 0; row < count; ++row) {
      const uint64_t ordered =
          static_cast<uint64_t>(values[keys.sel->get_index(row)]) ^ (uint64_t{1} << 63);
      if (!hidden_.IsHidden(ordered, version_of(row))) visible->set_index(kept++, row);
    }
    return kept;
  }
  for (duckdb::idx_t row = 0; row < count; ++row) {
    ReadKey(query_, local, row);
    if (!hidden_.IsHidden(local.key, version_of(row))) visible->set_index(kept++, row);
  }
  return kept;
}

bool ColdScan::Next(duckdb::ClientContext& context, Local& local,
                    const std::vector<size_t>& output_columns, duckdb::DataChunk& output) {
  while (true) {
    if (context.interrupted) throw duckdb::InterruptException();
    scan_->Next(context, local.scan.get(), local.chunk);
    const duckdb::idx_t count = local.chunk.size();
    if (count == 0) return false;
    duckdb::SelectionVector visible;
    duckdb::idx_t kept = count;
    if (!hidden_.empty()) {
      visible.Initialize(count);
      kept = Select(local, &visible);
      if (kept == 0) continue;
    }
    for (size_t i = 0; i < asked_columns_; ++i) {
      duckdb::Vector& to = output.data[output_columns[i]];
      if (kept == count) {
        to.Reference(local.chunk.data[i]);
      } else {
        to.Slice(local.chunk.data[i], visible, kept);
      }
    }
    output.SetCardinality(kept);
    return true;
  }
}

}  // namespace kalam::analytics
