// A MessagePack decoder of our own: library decoders recurse as deep as the input says.
#include "live/message_pack.h"

#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

namespace kalam::live {
namespace {

constexpr int kDepthMax = 32;

Status Malformed() { return Status(ErrorKind::InvalidInput, "Invalid MessagePack data"); }

class Decoder {
 public:
  explicit Decoder(std::string_view bytes) : rest_(bytes) {}

  Result<nlohmann::json> Value(int depth) {
    if (depth > kDepthMax || rest_.empty() || ++value_count_ > kMessageValuesMax)
      return Malformed();
    const auto tag = static_cast<uint8_t>(rest_[0]);
    rest_.remove_prefix(1);
    if (tag <= 0x7f) return nlohmann::json(static_cast<int64_t>(tag));
    if (tag >= 0xe0) return nlohmann::json(static_cast<int64_t>(static_cast<int8_t>(tag)));
    if (tag >= 0xa0 && tag <= 0xbf) return Text(tag & 0x1f);
    if (tag >= 0x90 && tag <= 0x9f) return Array(tag & 0x0f, depth);
    if (tag >= 0x80 && tag <= 0x8f) return Map(tag & 0x0f, depth);
    switch (tag) {
      case 0xc0:
        return nlohmann::json(nullptr);
      case 0xc2:
        return nlohmann::json(false);
      case 0xc3:
        return nlohmann::json(true);
      case 0xca:
      case 0xcb:
        return Float(tag == 0xcb);
      case 0xc4:
      case 0xd9:
        return Sized(1, [this](uint64_t size) { return Text(size); });
      case 0xc5:
      case 0xda:
        return Sized(2, [this](uint64_t size) { return Text(size); });
      case 0xc6:
      case 0xdb:
        return Sized(4, [this](uint64_t size) { return Text(size); });
      case 0xdc:
        return Sized(2, [this, depth](uint64_t size) { return Array(size, depth); });
      case 0xdd:
        return Sized(4, [this, depth](uint64_t size) { return Array(size, depth); });
      case 0xde:
        return Sized(2, [this, depth](uint64_t size) { return Map(size, depth); });
      case 0xdf:
        return Sized(4, [this, depth](uint64_t size) { return Map(size, depth); });
      default:
        return Integer(tag);
    }
  }

  bool at_end() const { return rest_.empty(); }

 private:
  std::optional<uint64_t> BigEndian(size_t width) {
    if (rest_.size() < width) return std::nullopt;
    uint64_t value = 0;
    for (size_t i = 0; i < width; ++i) value = value << 8 | static_cast<uint8_t>(rest_[i]);
    rest_.remove_prefix(width);
    return value;
  }

  template <typename F>
  Result<nlohmann::json> Sized(size_t width, F decode) {
    const std::optional<uint64_t> size = BigEndian(width);
    if (!size) return Malformed();
    return decode(*size);
  }

  Result<nlohmann::json> Text(uint64_t size) {
    if (rest_.size() < size) return Malformed();
    nlohmann::json value(std::string(rest_.substr(0, size)));
    rest_.remove_prefix(size);
    return value;
  }

  Result<nlohmann::json> Array(uint64_t count, int depth) {
    if (rest_.size() < count) return Malformed();  // every element takes a byte at least
    nlohmann::json array = nlohmann::json::array();
    for (uint64_t i = 0; i < count; ++i) {
      KALAM_ASSIGN_OR_RETURN(nlohmann::json element, Value(depth + 1));
      array.push_back(std::move(element));
    }
    return array;
  }

  Result<nlohmann::json> Map(uint64_t count, int depth) {
    if (rest_.size() / 2 < count) return Malformed();
    nlohmann::json map = nlohmann::json::object();
    for (uint64_t i = 0; i < count; ++i) {
      KALAM_ASSIGN_OR_RETURN(nlohmann::json key, Value(depth + 1));
      if (!key.is_string()) return Malformed();
      KALAM_ASSIGN_OR_RETURN(nlohmann::json element, Value(depth + 1));
      map[key.get_ref<const std::string&>()] = std::move(element);
    }
    return map;
  }

  Result<nlohmann::json> Float(bool is_double) {
    const std::optional<uint64_t> bits = BigEndian(is_double ? 8 : 4);
    if (!bits) return Malformed();
    if (is_double) {
      double value;
      std::memcpy(&value, &*bits, sizeof(value));
      return nlohmann::json(value);
    }
    const auto low = static_cast<uint32_t>(*bits);
    float value;
    std::memcpy(&value, &low, sizeof(value));
    return nlohmann::json(static_cast<double>(value));
  }

  Result<nlohmann::json> Integer(uint8_t tag) {
    const bool is_signed = tag >= 0xd0;
    if (tag < 0xcc || tag > 0xd3) return Malformed();  // extensions and 0xc1
    const size_t width = size_t{1} << (tag & 3);
    const std::optional<uint64_t> bits = BigEndian(width);
    if (!bits) return Malformed();
    if (!is_signed) return nlohmann::json(*bits);
    const int shift = static_cast<int>(64 - 8 * width);
    return nlohmann::json(static_cast<int64_t>(*bits << shift) >> shift);
  }

  std::string_view rest_;
  size_t value_count_ = 0;
};

}  // namespace

Result<nlohmann::json> DecodeMessagePack(std::string_view bytes) {
  Decoder decoder(bytes);
  Result<nlohmann::json> value = decoder.Value(0);
  if (value.ok() && !decoder.at_end()) return Malformed();
  return value;
}

}  // namespace kalam::live
