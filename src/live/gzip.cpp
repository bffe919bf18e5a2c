// Gzip members over zlib, with small windows: a message is a few kilobytes and the state is made
// per call.
#include "live/gzip.h"

#include <zlib.h>

#include "live/live_hub.h"

namespace kalam::live {
namespace {

constexpr char kGzipHeader[] = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff";
constexpr size_t kGzipHeaderSize = 10;
constexpr size_t kTrailerSize = 8;
constexpr int kRawDeflate = -1;

/// A window and a hash table that fit the input: 16 KB of state for small messages instead of 256
/// KB.
struct DeflateShape {
  int window_bits;
  int memory_level;
};
DeflateShape ShapeFor(size_t size) {
  if (size <= (8u << 10)) return {12, 4};
  if (size <= (64u << 10)) return {14, 6};
  return {15, 8};
}

void AppendLittleEndian32(uint32_t value, std::string* out) {
  for (int shift = 0; shift < 32; shift += 8) out->push_back(static_cast<char>(value >> shift));
}

uint32_t Crc(std::string_view bytes) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

/// Appends raw deflate blocks of `raw` to `out`; false when zlib has no memory.
bool AppendDeflated(std::string_view raw, int flush, std::string* out) {
  z_stream stream{};
  const DeflateShape shape = ShapeFor(raw.size());
  if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kRawDeflate * shape.window_bits,
                   shape.memory_level, Z_DEFAULT_STRATEGY) != Z_OK) {
    return false;
  }
  const size_t begin = out->size();
  // A flush adds up to an empty stored block to what deflateBound promises.
  out->resize(begin + deflateBound(&stream, raw.size()) + 16);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(raw.data()));
  stream.avail_in = static_cast<uInt>(raw.size());
  stream.next_out = reinterpret_cast<Bytef*>(out->data() + begin);
  stream.avail_out = static_cast<uInt>(out->size() - begin);
  const int outcome = deflate(&stream, flush);
  out->resize(begin + stream.total_out);
  deflateEnd(&stream);
  return (flush == Z_FINISH ? outcome == Z_STREAM_END : outcome == Z_OK) && stream.avail_in == 0;
}

}  // namespace

std::string Gzip(std::string_view bytes) {
  std::string out(kGzipHeader, kGzipHeaderSize);
  if (!AppendDeflated(bytes, Z_FINISH, &out) || out.size() + kTrailerSize >= bytes.size())
    return {};
  AppendLittleEndian32(Crc(bytes), &out);
  AppendLittleEndian32(static_cast<uint32_t>(bytes.size()), &out);
  return out;
}

SharedDeflate DeflateShared(std::string_view raw) {
  SharedDeflate shared;
  shared.bytes.assign(kGzipHeader, kGzipHeaderSize);
  if (!AppendDeflated(raw, Z_SYNC_FLUSH, &shared.bytes)) {
    shared.bytes.clear();
    return shared;
  }
  shared.bytes.shrink_to_fit();
  shared.crc = Crc(raw);
  shared.raw_size = raw.size();
  return shared;
}

std::string GzipTail(const SharedDeflate& shared, std::string_view raw_tail) {
  const auto size = static_cast<uint16_t>(raw_tail.size());
  const auto inverted = static_cast<uint16_t>(~size);
  std::string out;
  out.reserve(raw_tail.size() + 5 + kTrailerSize);
  out.push_back(1);  // final, stored (RFC 1951, 3.2.4)
  for (uint16_t number : {size, inverted}) {
    out.push_back(static_cast<char>(number));
    out.push_back(static_cast<char>(number >> 8));
  }
  out += raw_tail;
  const auto combined = static_cast<uint32_t>(
      crc32_combine(shared.crc, Crc(raw_tail), static_cast<z_off_t>(raw_tail.size())));
  AppendLittleEndian32(combined, &out);
  AppendLittleEndian32(static_cast<uint32_t>(shared.raw_size + raw_tail.size()), &out);
  return out;
}

Result<std::string> Gunzip(std::string_view bytes, size_t bytes_max) {
  constexpr int kGzipWindow = 15 + 16;
  constexpr size_t kStep = 16 << 10;
  z_stream stream{};
  if (inflateInit2(&stream, kGzipWindow) != Z_OK) {
    return Status(ErrorKind::MemoryExceeded, "no memory to inflate a message");
  }
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  int outcome = Z_OK;
  while (outcome == Z_OK && out.size() <= bytes_max) {
    const size_t begin = out.size();
    const size_t step = std::min(kStep + begin, bytes_max + 1 - begin);
    out.resize(begin + step);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + begin);
    stream.avail_out = static_cast<uInt>(step);
    outcome = inflate(&stream, Z_NO_FLUSH);
    out.resize(begin + step - stream.avail_out);
    if (outcome == Z_OK && stream.avail_in == 0 && stream.avail_out != 0) outcome = Z_BUF_ERROR;
  }
  const bool trailing_bytes = stream.avail_in != 0;
  inflateEnd(&stream);
  if (out.size() > bytes_max) {
    return Status(ErrorKind::TooLarge,
                  "Message exceeds " + std::to_string(bytes_max) + " bytes after decompression");
  }
  if (outcome != Z_STREAM_END || trailing_bytes) {
    return Status(ErrorKind::InvalidInput, "Invalid gzip data");
  }
  return out;
}

}  // namespace kalam::live
