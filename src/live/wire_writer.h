// One way to write maps, arrays and cells for both serializations of the WebSocket, JSON and
// MessagePack.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "types/value.h"

namespace kalam::live {

/// Appends values to a string. In JSON it sets the commas, in MessagePack the counts given to
/// BeginMap and BeginArray are what a reader relies on, so they must be right. At most 64 levels
/// deep.
class WireWriter {
 public:
  WireWriter(bool msgpack, std::string* out) : msgpack_(msgpack), out_(*out) {}

  void BeginMap(uint32_t entry_count);
  void EndMap();
  void BeginArray(uint32_t count);
  void EndArray();
  /// An array whose length is known only later: EndOpenArray gets what BeginOpenArray returned.
  size_t BeginOpenArray();
  void EndOpenArray(size_t mark, uint32_t count);

  void Key(std::string_view name);
  void Text(std::string_view text);
  void Integer(int64_t value);
  void Boolean(bool value);
  void Null();
  /// A cell by the conventions of SQL results: BIGINT and DECIMAL as strings, timestamps as
  /// numbers, ...
  void Cell(const Datum& cell, const DataType& type);
  /// `"BigInt"`, `{"Decimal":{...}}`.
  void TypeName(const DataType& type);

  /// Continues a map or array that was begun elsewhere: the next entry of a JSON map gets no comma
  /// before it.
  void Continue() { AfterOpen(); }

 private:
  void BeforeValue();
  void AfterOpen();
  void Double(double value);
  void Raw(std::string_view bytes) { out_ += bytes; }
  void PackHead(uint8_t fix, uint32_t fix_max, uint8_t tag16, uint32_t count);
  void PackBigEndian(uint64_t value, int width);

  const bool msgpack_;
  std::string& out_;
  int depth_ = 0;
  uint64_t has_entry_ = 0;  // bit per depth: something stands before, so that a comma is due
  bool after_key_ = false;
};

}  // namespace kalam::live
