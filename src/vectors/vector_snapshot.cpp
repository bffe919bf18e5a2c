// The bytes of a snapshot, little-endian, texts as u32 length and bytes:
//
//   "KVIX1"  codec:u8 (3)  table:text  column:text  dimension:u32  metric:u8  generated_at_us:i64
//   last_applied:i64  count:u32  (encoded primary key:text)*count   in the order of the labels
//   graph size:u64  graph (hnswlib)  checksum:u64 (xxh64 of all before it)
#include "vectors/vector_snapshot.h"

#include <xxhash.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace kalam::vectors {
namespace {

constexpr std::string_view kMagic = "KVIX1";
constexpr uint8_t kCodec = 3;
constexpr size_t kPieceBytes = 1 << 20;
constexpr uint32_t kTextBytesMax = 1 << 20;

struct RemoveFile {
  std::string path;
  ~RemoveFile() {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
};

struct FreeHash {
  void operator()(XXH64_state_t* state) const { XXH64_freeState(state); }
};

// A checksum over what goes by.
class Checksum {
 public:
  Checksum() : state_(XXH64_createState()) { XXH64_reset(state_.get(), 0); }
  void Add(std::string_view bytes) { XXH64_update(state_.get(), bytes.data(), bytes.size()); }
  uint64_t value() const { return XXH64_digest(state_.get()); }

 private:
  std::unique_ptr<XXH64_state_t, FreeHash> state_;
};

class Writer {
 public:
  explicit Writer(const std::string& path) : file_(path, std::ios::binary | std::ios::trunc) {}
  void Bytes(std::string_view bytes) {
    checksum_.Add(bytes);
    file_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  template <typename Number>
  void Put(Number number) {
    std::array<char, sizeof number> bytes;
    std::memcpy(bytes.data(), &number, sizeof number);
    Bytes({bytes.data(), bytes.size()});
  }
  void Text(std::string_view text) {
    Put(static_cast<uint32_t>(text.size()));
    Bytes(text);
  }
  bool Finish() {
    Put(checksum_.value());
    file_.close();
    return file_.good();
  }

 private:
  std::ofstream file_;
  Checksum checksum_;
};

class Reader {
 public:
  explicit Reader(const std::string& path) : file_(path, std::ios::binary) {}
  std::string Bytes(size_t size) {
    std::string bytes(size, '\0');
    good_ = good_ && file_.read(bytes.data(), static_cast<std::streamsize>(size)).good();
    return bytes;
  }
  template <typename Number>
  Number Get() {
    Number number{};
    const std::string bytes = Bytes(sizeof number);
    std::memcpy(&number, bytes.data(), sizeof number);
    return number;
  }
  std::string Text() {
    const auto size = Get<uint32_t>();
    good_ = good_ && size <= kTextBytesMax;
    return good_ ? Bytes(size) : std::string();
  }
  bool CopyTo(const std::string& path, uint64_t size) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    while (good_ && size > 0) {
      const std::string piece = Bytes(std::min<uint64_t>(size, kPieceBytes));
      out.write(piece.data(), static_cast<std::streamsize>(piece.size()));
      size -= piece.size();
    }
    out.close();
    return good_ && out.good();
  }
  bool good() const { return good_; }

 private:
  std::ifstream file_;
  bool good_ = true;
};

Status Damaged(const std::string& path) {
  return Status(ErrorKind::Corruption, "the vector snapshot " + path + " is damaged");
}

// Brings the object to a local file; its checksum is verified on the way.
Status Fetch(objects::ObjectStorage& storage, const std::string& path, const std::string& local) {
  std::ofstream out(local, std::ios::binary | std::ios::trunc);
  Checksum checksum;
  std::string tail;  // the last 8 bytes are not part of what they sum up
  int64_t offset = 0;
  while (true) {
    KALAM_ASSIGN_OR_RETURN(const std::string piece,
                           storage.Read(path, offset, static_cast<int64_t>(kPieceBytes)));
    offset += static_cast<int64_t>(piece.size());
    out.write(piece.data(), static_cast<std::streamsize>(piece.size()));
    tail += piece;
    if (tail.size() > sizeof(uint64_t)) {
      checksum.Add(std::string_view(tail).substr(0, tail.size() - sizeof(uint64_t)));
      tail.erase(0, tail.size() - sizeof(uint64_t));
    }
    if (piece.size() < kPieceBytes) break;
  }
  out.close();
  if (!out.good()) return Status(ErrorKind::StorageIo, "cannot write " + local);
  uint64_t expected = 0;
  if (tail.size() != sizeof expected) return Damaged(path);
  std::memcpy(&expected, tail.data(), sizeof expected);
  return expected == checksum.value() ? Status() : Damaged(path);
}

}  // namespace

Status WriteSnapshot(const SnapshotHead& head, const VectorGraph& graph, const std::string& scratch,
                     objects::ObjectStorage& storage, const std::string& path) {
  const RemoveFile blob{scratch + ".graph"}, whole{scratch + ".vix"};
  KALAM_RETURN_IF_ERROR(graph.Save(blob.path));
  {
    Writer writer(whole.path);
    writer.Bytes(kMagic);
    writer.Put(kCodec);
    writer.Text(head.table);
    writer.Text(head.column);
    writer.Put(static_cast<uint32_t>(graph.dimension()));
    writer.Put(static_cast<uint8_t>(graph.metric()));
    writer.Put(head.generated_at_us);
    writer.Put(head.last_applied.value);
    const std::vector<std::string> keys = graph.Keys();
    writer.Put(static_cast<uint32_t>(keys.size()));
    for (const std::string& key : keys) writer.Text(key);
    std::error_code error;
    const uint64_t size = std::filesystem::file_size(blob.path, error);
    writer.Put(size);
    std::ifstream in(blob.path, std::ios::binary);
    std::string piece(kPieceBytes, '\0');
    for (uint64_t left = size; left > 0;) {
      const uint64_t wanted = std::min<uint64_t>(left, kPieceBytes);
      if (!in.read(piece.data(), static_cast<std::streamsize>(wanted))) {
        return Status(ErrorKind::StorageIo, "cannot read " + blob.path);
      }
      writer.Bytes({piece.data(), wanted});
      left -= wanted;
    }
    if (error || !writer.Finish()) {
      return Status(ErrorKind::StorageIo, "cannot write " + whole.path);
    }
  }
  return storage.PutFile(whole.path, path);
}

Result<LoadedSnapshot> ReadSnapshot(objects::ObjectStorage& storage, const std::string& path,
                                    const std::string& scratch, size_t dimension, Metric metric) {
  const RemoveFile blob{scratch + ".graph"}, whole{scratch + ".vix"};
  KALAM_RETURN_IF_ERROR(Fetch(storage, path, whole.path));
  Reader reader(whole.path);
  LoadedSnapshot loaded;
  if (reader.Bytes(kMagic.size()) != kMagic || reader.Get<uint8_t>() != kCodec) {
    return Damaged(path);
  }
  loaded.head.table = reader.Text();
  loaded.head.column = reader.Text();
  const auto stored_dimension = reader.Get<uint32_t>();
  const auto stored_metric = static_cast<Metric>(reader.Get<uint8_t>());
  loaded.head.generated_at_us = reader.Get<int64_t>();
  loaded.head.last_applied = Seq{reader.Get<int64_t>()};
  const auto count = reader.Get<uint32_t>();
  if (!reader.good() || stored_dimension != dimension || stored_metric != metric) {
    return Damaged(path);
  }
  std::vector<std::string> keys;
  for (uint32_t i = 0; i < count && reader.good(); ++i) keys.push_back(reader.Text());
  const auto size = reader.Get<uint64_t>();
  if (!reader.good() || !reader.CopyTo(blob.path, size)) return Damaged(path);
  KALAM_ASSIGN_OR_RETURN(loaded.graph,
                         VectorGraph::Load(blob.path, dimension, metric, std::move(keys)));
  return loaded;
}

}  // namespace kalam::vectors
