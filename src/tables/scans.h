// The scans behind RowScan: over rows by key, over the order index, over STREAM records, with cold
// rows merged in, and staged rows laid over them.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "segments/cold_rows.h"
#include "storage/store.h"
#include "tables/staged_rows.h"
#include "tables/table_reader.h"

namespace kalam::tables {

/// What a scan is asked for, with the position that it goes on from.
struct ScanRequest {
  const ReadScope& scope;
  const ScanOptions& options;
  std::string_view resume_after;
  int64_t now_us = 0;
};

std::unique_ptr<RowScan> OpenKeyScan(storage::Store& store, const ScanRequest& request);
std::unique_ptr<RowScan> OpenSeqScan(storage::Store& store, const ScanRequest& request);
/// By `_seq` without reading the rows: only `seq`, `deleted` and `encoded_pk` are known.
std::unique_ptr<RowScan> OpenOrderScan(storage::Store& store, const ScanRequest& request);
std::unique_ptr<RowScan> OpenStreamScan(storage::Store& store, const ScanRequest& request);

// cold_scans.cpp: the same over hot and cold rows.
Result<std::unique_ptr<RowScan>> OpenMergedKeyScan(storage::Store& store,
                                                   segments::ColdRows& cold_rows,
                                                   const ScanRequest& request);
enum class SeqRows : uint8_t { kWhole, kOrderOnly };  // as OpenSeqScan, as OpenOrderScan
Result<std::unique_ptr<RowScan>> OpenMergedSeqScan(storage::Store& store,
                                                   segments::ColdRows& cold_rows,
                                                   const ScanRequest& request, SeqRows rows);

/// Rows staged before now, merged over `base` (a key scan) in key order; staged versions replace
/// those of the base.
std::unique_ptr<RowScan> OverlayByKey(std::unique_ptr<RowScan> base, const StagedRows& staged,
                                      const ScanRequest& request);
/// True for a position that lies among staged rows, which a stored scan does not understand.
bool IsStagedPosition(std::string_view position);
/// The same for scans by `_seq`, STREAM tables among them: staged rows are newer than all others.
std::unique_ptr<RowScan> OverlayBySeq(std::unique_ptr<RowScan> base, const StagedRows& staged,
                                      const ScanRequest& request);

}  // namespace kalam::tables
