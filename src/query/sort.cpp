// In-memory sorting and top-N.
#include "query/sort.h"

#include <algorithm>
#include <cstring>

#include "query/datum_order.h"

namespace kalam::query {

namespace {

size_t HeapBytes(const Datum& datum) {
  return !datum.is_null && DataType::Of(datum.kind).is_bytes_like() ? datum.size : 0;
}

}  // namespace

RowSorter::RowSorter(std::vector<SortOrder> orders, std::optional<size_t> keep,
                     StatementMemory& memory)
    : orders_(std::move(orders)), keep_(keep), memory_(memory) {}

RowSorter::~RowSorter() {
  int64_t bytes = 0;
  for (const Row& row : rows_) bytes += row.byte_size;
  memory_.Release(bytes);
}

int RowSorter::CompareKeys(const Datum* a, const Datum* b) {
  for (size_t i = 0; i < orders_.size(); ++i) {
    if (a[i].is_null || b[i].is_null) {
      if (a[i].is_null == b[i].is_null) continue;
      return a[i].is_null == orders_[i].nulls_first ? -1 : 1;
    }
    int order = 0;
    if (Status status = CompareDatums(a[i], b[i], &order); !status.ok() && error_.ok())
      error_ = std::move(status);
    if (order != 0) return orders_[i].descending ? -order : order;
  }
  return 0;
}

bool RowSorter::ComesBefore(const Row& a, const Row& b) {
  const int order = CompareKeys(a.data.get(), b.data.get());
  return order != 0 ? order < 0 : a.ordinal < b.ordinal;
}

Status RowSorter::Add(std::span<const Datum> keys, std::span<const Datum> cells) {
  const auto before = [this](const Row& a, const Row& b) { return ComesBefore(a, b); };
  const uint64_t ordinal = next_ordinal_++;
  if (keep_.has_value()) {
    if (*keep_ == 0) return {};
    // A later row that equals the last kept one does not displace it.
    if (rows_.size() == *keep_ && CompareKeys(keys.data(), rows_.front().data.get()) >= 0)
      return error_;
  }
  Row row;
  size_t bytes = 0;
  for (const Datum& datum : keys) bytes += HeapBytes(datum);
  for (const Datum& datum : cells) bytes += HeapBytes(datum);
  const size_t count = keys.size() + cells.size();
  row.byte_size = static_cast<int64_t>(bytes + count * sizeof(Datum) + sizeof(Row));
  KALAM_RETURN_IF_ERROR(memory_.Reserve(row.byte_size));
  row.data = std::make_unique<Datum[]>(count);
  if (bytes > 0) row.bytes = std::make_unique_for_overwrite<char[]>(bytes);
  row.cell_count = cells.size();
  row.ordinal = ordinal;
  char* next = row.bytes.get();
  for (size_t i = 0; i < count; ++i) {
    Datum datum = i < keys.size() ? keys[i] : cells[i - keys.size()];
    if (const size_t size = HeapBytes(datum); size > 0) {
      std::memcpy(next, datum.data, size);
      datum.data = next;
      next += size;
    }
    row.data[i] = datum;
  }
  rows_.push_back(std::move(row));
  if (!keep_.has_value()) return {};
  std::push_heap(rows_.begin(), rows_.end(), before);
  if (rows_.size() > *keep_) {
    std::pop_heap(rows_.begin(), rows_.end(), before);
    memory_.Release(rows_.back().byte_size);
    rows_.pop_back();
  }
  return error_;
}

Status RowSorter::Finish() {
  std::sort(rows_.begin(), rows_.end(),
            [this](const Row& a, const Row& b) { return ComesBefore(a, b); });
  return error_;
}

std::span<const Datum> RowSorter::cells(size_t row) const {
  return {rows_[row].data.get() + orders_.size(), rows_[row].cell_count};
}

}  // namespace kalam::query
