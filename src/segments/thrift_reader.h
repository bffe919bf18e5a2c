// Reads structures in Thrift's compact protocol, the form of Parquet's footers and page headers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace kalam::segments {

/// Trusts no byte: after the first one that does not fit everything reads as zero and `ok` is
/// false. Not thread-safe.
class ThriftReader {
 public:
  enum Type : uint8_t {
    kStop = 0,
    kTrue = 1,
    kFalse = 2,
    kByte = 3,
    kInt16 = 4,
    kInt32 = 5,
    kInt64 = 6,
    kDouble = 7,
    kBinary = 8,
    kList = 9,
    kSet = 10,
    kMap = 11,
    kStruct = 12,
  };

  explicit ThriftReader(std::string_view bytes) : rest_(bytes), size_(bytes.size()) {}
  bool ok() const { return ok_; }
  size_t consumed() const { return size_ - rest_.size(); }

  /// Reads one structure: calls `visit(field id, type)` for every field; false from it means that
  /// it did not read the field, which is then skipped.
  template <typename Visit>
  void Struct(Visit visit) {
    int16_t id = 0;
    Type type = kStop;
    while (NextField(&id, &type)) {
      if (!visit(id, type)) Skip(type);
    }
  }
  /// Reads one list: calls `visit()` for every element. Elements must be of `type`.
  template <typename Visit>
  void List(Type type, Visit visit) {
    for (size_t left = ListBegin(type); left > 0 && ok_; --left) visit();
  }

  /// An integer of any width.
  int64_t Integer();
  std::string_view Binary();
  void Skip(Type type) { Skip(type, 0); }

 private:
  bool NextField(int16_t* id, Type* type);
  size_t ListBegin(Type type);
  size_t ListHeader(Type* type);
  void Skip(Type type, int depth);
  void SkipElements(Type type, size_t count, int depth);
  uint64_t Varint();
  uint8_t Byte();

  std::string_view rest_;
  size_t size_;
  bool ok_ = true;
};

}  // namespace kalam::segments
