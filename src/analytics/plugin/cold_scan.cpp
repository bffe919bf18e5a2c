// The cold half of a scan: rows of Parquet files without those that hot rows or newer files hide.
//
// What hot rows hide is known by place: of a file whose keys lie beside all hot ones nothing is
// asked; else a thread that comes to a row group asks once which of its rows are hidden, so that a
// group that nobody has touched costs no look at its keys. What newer files hide is known by key.
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

/// Chooses the first `count` rows.
void KeepFirst(duckdb::idx_t count, duckdb::SelectionVector* visible) {
  for (duckdb::idx_t i = 0; i < count; ++i) visible->set_index(i, i);
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
  if (!scan->HideOldVersions()) {
    query.ReturnMemory(scan->reserved_bytes_);
    return nullptr;
  }
  scan->OpenScan(columns, hints);
  return scan;
}

bool ColdScan::Reserve() {
  const int64_t missing_bytes = hidden_.size_bytes() - reserved_bytes_;
  if (hidden_.size() > kHiddenKeysMax) return false;
  if (missing_bytes <= 0) return true;
  if (!query_.ReserveMemory(context_, missing_bytes)) return false;
  reserved_bytes_ += missing_bytes;
  return true;
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
  if (!hidden_.empty()) {
    key_place_ = place(cold_->key_column());
    seq_place_ = place(cold_->seq_column());
  }
  request.row_number = FindHotFiles();
  request.file_index = request.row_number || !hidden_.empty();
  file_place_ = request.wanted.size();
  row_place_ = file_place_ + 1;
  scan_ = std::make_unique<ParquetScan>(context_, query_, std::move(request));
}

bool ColdScan::FindHotFiles() {
  std::vector<bool> hot(cold_->files().size());
  for (size_t i = 0; i < hot.size(); ++i) {
    const Result<bool> may_be_hidden = cold_->MayBeHidden(i);
    if (!may_be_hidden.ok()) query_.Fail(may_be_hidden.status());
    hot[i] = *may_be_hidden;
  }
  if (std::find(hot.begin(), hot.end(), true) == hot.end()) return false;
  hot_files_ = std::move(hot);
  return true;
}

std::unique_ptr<ColdScan::Local> ColdScan::OpenLocal(duckdb::ExecutionContext& context) {
  auto local = std::make_unique<Local>();
  local->scan = scan_->OpenLocal(context);
  local->chunk.Initialize(context.client, scan_->types());
  if (!hidden_.empty()) local->keys.emplace(scan_->types()[key_place_]);
  return local;
}

/// Learns which rows of the run around a row are hidden by hot versions.
void ColdScan::MeetRun(Local& local, uint64_t file, int64_t row) const {
  if (!hot_files_[file]) {
    local.run_file = file;
    local.run_begin = 0;
    local.run_end = cold_->files()[file].row_count;
    local.run_hidden.clear();
    return;
  }
  const Result<tables::HiddenRows> hidden = cold_->FindHiddenRows(file, row);
  if (!hidden.ok()) query_.Fail(hidden.status());
  local.run_file = file;
  local.run_begin = hidden->row_begin;
  local.run_end = hidden->row_end;
  local.run_hidden.clear();
  if (hidden->rows.empty()) return;
  local.run_hidden.resize(static_cast<size_t>(local.run_end - local.run_begin));
  for (const uint32_t place : hidden->rows) local.run_hidden[place] = true;
}

/// The rows of the chunk that no hot version hides; `visible` is left alone when those are all.
duckdb::idx_t ColdScan::DropHot(Local& local, duckdb::SelectionVector* visible) const {
  const duckdb::idx_t count = local.chunk.size();
  duckdb::UnifiedVectorFormat files, rows;
  local.chunk.data[file_place_].ToUnifiedFormat(count, files);
  local.chunk.data[row_place_].ToUnifiedFormat(count, rows);
  const auto* file_of = duckdb::UnifiedVectorFormat::GetData<uint64_t>(files);
  const auto* number_of = duckdb::UnifiedVectorFormat::GetData<int64_t>(rows);
  const auto is_in_run = [&](duckdb::idx_t i) {
    const int64_t row = number_of[rows.sel->get_index(i)];
    return file_of[files.sel->get_index(i)] == local.run_file && row >= local.run_begin &&
           row < local.run_end;
  };
  // Rows come in the order of their file, so that what holds for both ends holds between them.
  if (!is_in_run(0))
    MeetRun(local, file_of[files.sel->get_index(0)], number_of[rows.sel->get_index(0)]);
  if (local.run_hidden.empty() && is_in_run(count - 1)) return count;
  duckdb::idx_t kept = 0;
  for (duckdb::idx_t i = 0; i < count; ++i) {
    const uint64_t file = file_of[files.sel->get_index(i)];
    const int64_t row = number_of[rows.sel->get_index(i)];
    if (file != local.run_file || row < local.run_begin || row >= local.run_end) {
      MeetRun(local, file, row);
    }
    if (!local.run_hidden.empty() && local.run_hidden[static_cast<size_t>(row - local.run_begin)]) {
      if (kept == i) KeepFirst(i, visible);
      continue;
    }
    if (kept < i) visible->set_index(kept, i);
    ++kept;
  }
  return kept;
}

/// Of the rows that are visible so far, those that no newer file has another version of.
duckdb::idx_t ColdScan::DropOld(Local& local, duckdb::idx_t count,
                                duckdb::SelectionVector* visible) const {
  const duckdb::idx_t chunk_rows = local.chunk.size();
  if (count == chunk_rows) KeepFirst(count, visible);
  local.keys->Begin(&local.chunk.data[key_place_], chunk_rows);
  duckdb::UnifiedVectorFormat keys, seqs, files;
  local.chunk.data[key_place_].ToUnifiedFormat(chunk_rows, keys);
  local.chunk.data[seq_place_].ToUnifiedFormat(chunk_rows, seqs);
  local.chunk.data[file_place_].ToUnifiedFormat(chunk_rows, files);
  const bool are_numbers = scan_->types()[key_place_].id() == duckdb::LogicalTypeId::BIGINT;
  duckdb::idx_t kept = 0;
  for (duckdb::idx_t i = 0; i < count; ++i) {
    const duckdb::idx_t row = visible->get_index(i);
    const HiddenKeys::Version version{
        seqs.GetData<int64_t>(seqs)[seqs.sel->get_index(row)],
        static_cast<uint32_t>(files.GetData<uint64_t>(files)[files.sel->get_index(row)])};
    bool is_hidden = false;
    if (are_numbers) {
      const int64_t key = keys.GetData<int64_t>(keys)[keys.sel->get_index(row)];
      is_hidden = hidden_.IsHidden(static_cast<uint64_t>(key) ^ (uint64_t{1} << 63), version);
    } else {
      ReadKey(query_, local, row);
      is_hidden = hidden_.IsHidden(local.key, version);
    }
    if (!is_hidden) visible->set_index(kept++, row);
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
    duckdb::SelectionVector visible(count);
    duckdb::idx_t kept = hot_files_.empty() ? count : DropHot(local, &visible);
    if (!hidden_.empty()) kept = DropOld(local, kept, &visible);
    if (kept == 0) continue;
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
