// Targets of what is read back from the disk: a damaged byte is an error, never a crash.
#include <fmt/core.h>

#include "catalog/record_codec.h"
#include "harness.h"
#include "jobs/job.h"
#include "replication/records.h"
#include "tiering/manifest_reader.h"
#include "types/key_codec.h"
#include "types/row_codec.h"

namespace kalam::fuzz {
namespace {

const std::vector<DataType>& Types() {
  static const std::vector<DataType> kTypes = {
      DataType::Of(TypeKind::kBoolean),   DataType::Of(TypeKind::kSmallInt),
      DataType::Of(TypeKind::kInt),       DataType::Of(TypeKind::kBigInt),
      DataType::Of(TypeKind::kDouble),    DataType::Of(TypeKind::kText),
      DataType::Of(TypeKind::kTimestamp), DataType::Of(TypeKind::kJson),
      DataType::Of(TypeKind::kBytes),     DataType::Of(TypeKind::kUuid)};
  return kTypes;
}

RowLayout Layout() {
  RowLayout layout;
  for (const DataType& type : Types())
    layout.cells.push_back({static_cast<uint32_t>(layout.cells.size() + 1), type});
  return layout;
}

std::vector<Datum> Cells(int variant) {
  return {Datum::Boolean(variant % 2 == 1),
          Datum::OfInt(TypeKind::kSmallInt, -variant),
          variant == 0 ? Datum::Null(TypeKind::kInt) : Datum::OfInt(TypeKind::kInt, 70'000),
          Datum::BigInt(int64_t{1} << 60),
          Datum::Double(-0.5),
          Datum::Text(variant == 2 ? "" : std::string_view("some\0text", 9)),
          Datum::OfInt(TypeKind::kTimestamp, 1'700'000'000'000'000),
          Datum::Bytes(TypeKind::kJson, R"({"a":[1,2]})"),
          Datum::Bytes(TypeKind::kBytes, "\x01\x02\xff"),
          Datum::Bytes(TypeKind::kUuid, "0123456789abcdef")};
}

bool PointsInto(const Datum& cell, std::string_view input) {
  if (cell.is_null || !DataType::Of(cell.kind).is_bytes_like()) return true;
  const std::string_view text = cell.text();
  return text.empty() ||
         (text.data() >= input.data() && text.data() + text.size() <= input.data() + input.size());
}

bool Same(const std::vector<Datum>& a, const std::vector<Datum>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (!(Value(a[i]) == Value(b[i]))) return false;
  }
  return a.size() == b.size();
}

std::string RunRowCodec(std::string_view input) {
  static const RowLayout kLayout = Layout();
  std::vector<Datum> cells, again;
  if (!DecodeRow(kLayout, input, &cells).ok()) return {};
  if (cells.size() != kLayout.cells.size()) return "a row has another number of cells";
  for (const Datum& cell : cells) {
    if (!PointsInto(cell, input)) return "a cell points outside of its row";
    // Not a number equals nothing; such rows are only decoded.
    if (cell.kind == TypeKind::kDouble && !cell.is_null && cell.d != cell.d) return {};
  }
  std::string encoded;
  EncodeRow(kLayout, cells, &encoded);
  if (!DecodeRow(kLayout, encoded, &again).ok()) return "a row that was read cannot be written";
  if (!Same(cells, again)) return "a row changed on its way";
  std::vector<Datum> prefix(cells.size());
  if (!DecodeRowPrefix(kLayout, input, 4, &prefix).ok()) return "the front of a row is unreadable";
  return Value(prefix[3]) == Value(cells[3]) ? "" : "the front of a row reads differently";
}

std::string RunSparseRow(std::string_view input) {
  static const RowLayout kLayout = Layout();
  const auto sparse = DecodeSparseRow(kLayout, input);
  if (!sparse.ok()) return {};
  for (const SparseCell& cell : *sparse) {
    if (cell.position >= kLayout.cells.size()) return "a cell stands where there is none";
    if (!PointsInto(cell.value, input)) return "a cell points outside of its row";
  }
  return {};
}

// The first byte picks the type.
std::string RunKeyCodec(std::string_view input) {
  if (input.empty()) return {};
  const DataType& type = Types()[static_cast<uint8_t>(input[0]) % Types().size()];
  std::string_view rest = input.substr(1);
  Arena arena;
  const auto value = DecodeKey(type, &rest, &arena);
  if (rest.size() > input.size() - 1) return "more was taken than there is";
  if (!value.ok() || value->is_null) return {};
  std::string encoded;
  EncodeKey(*value, &encoded);
  std::string_view encoded_rest = encoded;
  const auto again = DecodeKey(type, &encoded_rest, &arena);
  if (!again.ok() || !encoded_rest.empty()) return "a key that was read cannot be written";
  std::string twice;
  EncodeKey(*again, &twice);
  return encoded == twice ? "" : "a key changed on its way";
}

/// Decodes; what could be decoded must survive being written and read once more.
template <typename Decode, typename Encode>
std::string RoundTrip(std::string_view input, Decode decode, Encode encode) {
  auto record = decode(input);
  if (!record.ok()) {
    return record.status().kind() == ErrorKind::Corruption
               ? ""
               : fmt::format("damage is told as {}", record.status().ToString());
  }
  const std::string once = encode(*record);
  auto again = decode(std::string_view(once));
  if (!again.ok()) return "a record that was read cannot be written";
  return encode(*again) == once ? "" : "a record changed on its way";
}

std::string RunCatalogRecords(std::string_view input) {
  namespace catalog = kalam::catalog;
  if (input.empty()) return {};
  const std::string_view bytes = input.substr(1);
  switch (static_cast<uint8_t>(input[0]) % 6) {
    case 0:
      return RoundTrip(bytes, catalog::DecodeTableHead, catalog::EncodeTableHead);
    case 1:
      return RoundTrip(bytes, catalog::DecodeTable, catalog::EncodeTable);
    case 2:
      return RoundTrip(bytes, catalog::DecodeNamespace, catalog::EncodeNamespace);
    case 3:
      return RoundTrip(bytes, catalog::DecodeView, catalog::EncodeView);
    case 4:
      return RoundTrip(bytes, catalog::DecodeUser, catalog::EncodeUser);
    default:
      return RoundTrip(bytes, catalog::DecodeStorage, catalog::EncodeStorage);
  }
}

std::vector<std::string> CatalogCorpus() {
  catalog::UserRecord user;
  user.user_id = "ann";
  user.password_hash = "$2b$04$abcdefghijklmnopqrstuv";
  user.email = "a@example.com";
  catalog::TableHead head;
  head.schema_version = 3;
  head.namespace_id = "chat";
  head.name = "messages";
  catalog::NamespaceDefinition space;
  space.id = "chat";
  space.options_json = R"({"a":1})";
  catalog::TableDefinition table;
  table.namespace_id = "chat";
  table.name = "messages";
  const std::vector<catalog::ColumnDefinition> columns = {
      {.column_id = 1, .name = "id", .type = DataType::Of(TypeKind::kBigInt), .primary_key = true},
      {.column_id = 2, .name = "body", .type = DataType::Of(TypeKind::kText)}};
  table.columns = std::make_shared<const std::vector<catalog::ColumnDefinition>>(columns);
  table.layouts = std::make_shared<const std::vector<RowLayout>>(
      std::vector<RowLayout>{catalog::LayoutOf(columns)});
  catalog::ViewDefinition view;
  view.namespace_id = "chat";
  view.name = "recent";
  catalog::StorageRecord storage;
  return {std::string("\x00", 1) + catalog::EncodeTableHead(head),
          "\x01" + catalog::EncodeTable(table),
          "\x02" + catalog::EncodeNamespace(space),
          "\x03" + catalog::EncodeView(view),
          "\x04" + catalog::EncodeUser(user),
          "\x05" + catalog::EncodeStorage(storage)};
}

template <typename Record>
auto Appending(void (*encode)(const Record&, std::string*)) {
  return [encode](const Record& record) {
    std::string bytes;
    encode(record, &bytes);
    return bytes;
  };
}

std::string RunCommitRecords(std::string_view input) {
  namespace replication = kalam::replication;
  if (input.empty()) return {};
  const std::string_view bytes = input.substr(1);
  switch (static_cast<uint8_t>(input[0]) % 3) {
    case 0:
      return RoundTrip(bytes, replication::DecodeRowRecord,
                       Appending(&replication::EncodeRowRecord));
    case 1:
      return RoundTrip(bytes, replication::DecodeOrderRecord,
                       Appending(&replication::EncodeOrderRecord));
    default:
      return RoundTrip(bytes, replication::DecodeChangeRecord,
                       Appending(&replication::EncodeChangeRecord));
  }
}

std::vector<std::string> CommitCorpus() {
  std::string row("\x00", 1), order("\x01"), change("\x02");
  replication::EncodeRowRecord({.seq = Seq{77}, .schema_version = 2, .row = "row bytes"}, &row);
  replication::EncodeOrderRecord({.tombstone = true, .encoded_pk = "key"}, &order);
  replication::EncodeChangeRecord({.previous_seq = Seq{5},
                                   .commit_time_us = 99,
                                   .encoded_pk = "k",
                                   .row = "r",
                                   .old_cells = "o"},
                                  &change);
  return {row, order, change};
}

std::vector<std::string> KeyCorpus() {
  std::vector<std::string> corpus;
  for (int variant = 0; variant < 2; ++variant) {
    const std::vector<Datum> cells = Cells(variant);
    for (size_t i = 0; i < cells.size(); ++i) {
      if (cells[i].is_null) continue;
      corpus.emplace_back(1, static_cast<char>(i));
      EncodeKey(cells[i], &corpus.back());
    }
  }
  return corpus;
}

std::vector<std::string> RowCorpus() {
  std::vector<std::string> corpus;
  for (int variant = 0; variant < 3; ++variant)
    EncodeRow(Layout(), Cells(variant), &corpus.emplace_back());
  return corpus;
}

std::vector<std::string> SparseCorpus() {
  std::vector<std::string> corpus;
  const std::vector<uint32_t> few = {1, 5}, all = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  const std::vector<Datum> cells = Cells(1);
  const std::vector<Datum> two = {cells[1], cells[5]};
  EncodeSparseRow(Layout(), few, two, &corpus.emplace_back());
  EncodeSparseRow(Layout(), all, Cells(0), &corpus.emplace_back());
  return corpus;
}

/// What lies in a folder that others may write to: also behind a checksum that was made to fit.
std::string RunManifest(std::string_view input) {
  if (input.empty()) return {};
  for (const std::string& text : {std::string(input), tiering::SealManifest(std::string(input))}) {
    const auto manifest = tiering::ParseManifest(text);
    if (!manifest.ok() && !manifest.status().Is(ErrorKind::Corruption))
      return fmt::format("damage is told as {}", manifest.status().ToString());
    if (!manifest.ok()) continue;
    for (const tiering::ListedSegment& segment : manifest->segments) {
      if (segment.file_name.find('/') != std::string::npos || segment.checksum.size() != 16)
        return "a file that is none was taken for a segment";
    }
  }
  return {};
}

std::vector<std::string> ManifestCorpus() {
  const std::string json =
      R"({"table_id":"app.t","user_id":"ann","version":3,"segments":[{"row_count":7,)"
      R"("size_bytes":99,"path":"batch-12.parquet",)"
      R"("checksum":"xxh3-128:000102030405060708090a0b0c0d0e0f"}],"last_sequence_number":12})";
  return {json, tiering::SealManifest(json)};
}

}  // namespace

std::vector<Target> StoredTargets() {
  jobs::JobRecord job;
  job.job_id = "CL-0123456789ab";
  job.parameters_json = R"({"table":"a.b"})";
  job.started_at_us = 5;
  return {{"row_codec", RowCorpus(), RunRowCodec},
          {"sparse_row", SparseCorpus(), RunSparseRow},
          {"key_codec", KeyCorpus(), RunKeyCodec},
          {"catalog_records", CatalogCorpus(), RunCatalogRecords},
          {"commit_records", CommitCorpus(), RunCommitRecords},
          {"manifest", ManifestCorpus(), RunManifest},
          {"job_records", {jobs::EncodeJob(job)}, [](std::string_view input) {
             return RoundTrip(input, jobs::DecodeJob, jobs::EncodeJob);
           }}};
}

}  // namespace kalam::fuzz
