// Times the codecs that every statement passes through: rows, keys and the JSON of cells. For
// finding hot spots, not a gate.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "types/convert.h"
#include "types/key_codec.h"
#include "types/row_codec.h"

namespace kalam {
namespace {

/// A chat message: id, conversation, sender, text, price, time.
const RowLayout& Layout() {
  static const RowLayout layout{{{1, DataType::Of(TypeKind::kBigInt)},
                                 {2, DataType::Of(TypeKind::kBigInt)},
                                 {3, DataType::Of(TypeKind::kText)},
                                 {4, DataType::Of(TypeKind::kText)},
                                 {5, DataType::Decimal(10, 2)},
                                 {6, DataType::Of(TypeKind::kTimestamp)}}};
  return layout;
}

std::vector<Datum> Cells() {
  return {Datum::BigInt(310'001'234'567'890),
          Datum::BigInt(42),
          Datum::Text("ann.smith@example.org"),
          Datum::Text("Shall we meet at the \"usual\" place at noon, or a little later? Grüße"),
          Datum::Decimal(1990, 2),
          Datum::OfInt(TypeKind::kTimestamp, 1'750'000'000'123'456)};
}

std::string Row() {
  std::string row;
  EncodeRow(Layout(), Cells(), &row);
  return row;
}

void EncodeSixCells(benchmark::State& state) {
  std::vector<Datum> cells = Cells();
  std::string row;
  for (auto _ : state) {
    row.clear();
    EncodeRow(Layout(), cells, &row);
    benchmark::DoNotOptimize(row.data());
  }
}
BENCHMARK(EncodeSixCells);

void DecodeSixCells(benchmark::State& state) {
  std::string row = Row();
  std::vector<Datum> cells;
  for (auto _ : state) {
    if (!DecodeRow(Layout(), row, &cells).ok()) state.SkipWithError("cannot decode");
    benchmark::DoNotOptimize(cells.data());
  }
}
BENCHMARK(DecodeSixCells);

void DecodeTwoCells(benchmark::State& state) {
  std::string row = Row();
  std::vector<Datum> cells;
  for (auto _ : state) {
    if (!DecodeRowPrefix(Layout(), row, 2, &cells).ok()) state.SkipWithError("cannot decode");
    benchmark::DoNotOptimize(cells.data());
  }
}
BENCHMARK(DecodeTwoCells);

void JsonOfSixCells(benchmark::State& state) {
  std::vector<Datum> cells = Cells();
  std::string out;
  for (auto _ : state) {
    out.clear();
    out.push_back('[');
    for (size_t i = 0; i < cells.size(); ++i) {
      if (i > 0) out.push_back(',');
      AppendCellJson(cells[i], Layout().cells[i].type, &out);
    }
    out.push_back(']');
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * out.size()));
}
BENCHMARK(JsonOfSixCells);

void JsonOfDouble(benchmark::State& state) {
  std::string out;
  for (auto _ : state) {
    out.clear();
    AppendCellJson(Datum::Double(1234.5678), {}, &out);
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(JsonOfDouble);

void JsonOfLongText(benchmark::State& state) {
  std::string text;
  while (text.size() < 4096) text += "plain words and some more of them, ";
  std::string out;
  for (auto _ : state) {
    out.clear();
    AppendJsonString(text, &out);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}
BENCHMARK(JsonOfLongText);

void JsonOfForeignText(benchmark::State& state) {
  std::string text;
  while (text.size() < 4096) text += "Привет, как дела? 你好吗 ";
  std::string out;
  for (auto _ : state) {
    out.clear();
    AppendJsonString(text, &out);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}
BENCHMARK(JsonOfForeignText);

void EncodeTextKey(benchmark::State& state) {
  std::string key;
  for (auto _ : state) {
    key.clear();
    EncodeKey(Datum::Text("0189f7a0-1234-7abc-8def-0123456789ab"), &key);
    benchmark::DoNotOptimize(key.data());
  }
}
BENCHMARK(EncodeTextKey);

}  // namespace
}  // namespace kalam

BENCHMARK_MAIN();
