// What clients send: JSON or MessagePack maps with a `type`, into ClientMessage.
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "live/live_hub.h"
#include "live/message_pack.h"

namespace kalam::live {
namespace {

using nlohmann::json;

Status Invalid(std::string text) {
  return Status(ErrorKind::InvalidInput, "Invalid message: " + std::move(text));
}

const json* Find(const json& map, const char* key) {
  const auto found = map.find(key);
  return found == map.end() || found->is_null() ? nullptr : &*found;
}

/// A string field; absent is an error when `required`.
Status ReadText(const json& map, const char* key, bool required, std::string* out) {
  const json* value = Find(map, key);
  if (value == nullptr) {
    return required ? Invalid(std::string("missing field '") + key + "'") : Status();
  }
  if (!value->is_string()) return Invalid(std::string("'") + key + "' must be a string");
  *out = value->get<std::string>();
  return Status();
}

/// An integer, or a string of digits as clients without 64-bit integers send them.
Status ReadInteger(const json& map, const char* key, std::optional<int64_t>* out) {
  const json* value = Find(map, key);
  if (value == nullptr) return Status();
  const Status wrong = Invalid(std::string("'") + key + "' must be an integer");
  if (value->is_number_unsigned()) {
    if (value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) return wrong;
    *out = value->get<int64_t>();
  } else if (value->is_number_integer()) {
    *out = value->get<int64_t>();
  } else if (value->is_number_float()) {
    const double number = value->get<double>();
    if (!(number >= -9.0e15 && number <= 9.0e15) ||
        number != static_cast<double>(static_cast<int64_t>(number))) {
      return wrong;
    }
    *out = static_cast<int64_t>(number);
  } else if (value->is_string()) {
    const auto& text = value->get_ref<const std::string&>();
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return wrong;
    *out = number;
  } else {
    return wrong;
  }
  return Status();
}

Status ReadProtocol(const json& map, std::optional<WireFormat>* out) {
  const json* protocol = Find(map, "protocol");
  if (protocol == nullptr) return Status();
  if (!protocol->is_object()) return Invalid("'protocol' must be an object");
  std::string serialization = "json";
  std::string compression = "gzip";
  KALAM_RETURN_IF_ERROR(ReadText(*protocol, "serialization", false, &serialization));
  KALAM_RETURN_IF_ERROR(ReadText(*protocol, "compression", false, &compression));
  if (serialization != "json" && serialization != "msgpack") {
    return Invalid("unknown serialization '" + serialization + "'");
  }
  if (compression != "none" && compression != "gzip") {
    return Invalid("unknown compression '" + compression + "'");
  }
  *out = WireFormat{.msgpack = serialization == "msgpack", .gzip = compression == "gzip"};
  return Status();
}

Status ReadOptions(const json& subscription, SubscribeOptions* options) {
  const json* map = Find(subscription, "options");
  if (map == nullptr) return Status();
  if (!map->is_object()) return Invalid("'options' must be an object");
  options->present = true;
  std::optional<int64_t> batch_size;
  std::optional<int64_t> last_rows;
  KALAM_RETURN_IF_ERROR(ReadInteger(*map, "batch_size", &batch_size));
  KALAM_RETURN_IF_ERROR(ReadInteger(*map, "last_rows", &last_rows));
  KALAM_RETURN_IF_ERROR(ReadInteger(*map, "from_seq_id", &options->from_seq));
  KALAM_RETURN_IF_ERROR(ReadInteger(*map, "from", &options->from_seq));
  if (batch_size) {
    if (*batch_size < 0) return Invalid("'batch_size' must not be negative");
    // 0 would never make progress; it means the default.
    if (*batch_size > 0) options->batch_size = static_cast<uint64_t>(*batch_size);
  }
  if (last_rows) {
    if (*last_rows < 0 || *last_rows > INT64_C(0xffffffff))
      return Invalid("'last_rows' is out of range");
    options->last_rows = static_cast<uint32_t>(*last_rows);
  }
  if (const json* flag = Find(*map, "reports_cursor_too_old");
      flag != nullptr && flag->is_boolean()) {
    options->reports_cursor_too_old = flag->get<bool>();
  }
  return Status();
}

Result<ClientMessage> FromTree(const json& tree) {
  if (!tree.is_object()) return Invalid("expected a map");
  std::string type;
  KALAM_RETURN_IF_ERROR(ReadText(tree, "type", true, &type));
  ClientMessage message;
  if (type == "ping") return message;
  if (type == "authenticate") {
    message.type = ClientMessage::Type::kAuthenticate;
    KALAM_RETURN_IF_ERROR(ReadText(tree, "method", true, &message.method));
    if (message.method != "jwt")
      return Invalid("unknown authentication method '" + message.method + "'");
    KALAM_RETURN_IF_ERROR(ReadText(tree, "token", true, &message.token));
    KALAM_RETURN_IF_ERROR(ReadProtocol(tree, &message.protocol));
  } else if (type == "subscribe") {
    message.type = ClientMessage::Type::kSubscribe;
    const json* subscription = Find(tree, "subscription");
    if (subscription == nullptr || !subscription->is_object())
      return Invalid("missing field 'subscription'");
    KALAM_RETURN_IF_ERROR(ReadText(*subscription, "id", true, &message.subscription_id));
    KALAM_RETURN_IF_ERROR(ReadText(*subscription, "sql", true, &message.sql));
    KALAM_RETURN_IF_ERROR(ReadOptions(*subscription, &message.options));
  } else if (type == "next_batch") {
    message.type = ClientMessage::Type::kNextBatch;
    KALAM_RETURN_IF_ERROR(ReadText(tree, "subscription_id", true, &message.subscription_id));
    KALAM_RETURN_IF_ERROR(ReadInteger(tree, "last_seq_id", &message.last_seq));
  } else if (type == "unsubscribe") {
    message.type = ClientMessage::Type::kUnsubscribe;
    KALAM_RETURN_IF_ERROR(ReadText(tree, "subscription_id", true, &message.subscription_id));
  } else {
    return Invalid("unknown type '" + type.substr(0, 64) + "'");
  }
  return message;
}

}  // namespace

namespace {

// Smaller messages cannot hold so many that it matters.
constexpr size_t kUncountedBytes = 4 << 10;

/// Counts the values of a text and stops at the limit; nothing is kept.
class ValueCounter final : public nlohmann::json_sax<json> {
 public:
  bool null() override { return Count(); }
  bool boolean(bool) override { return Count(); }
  bool number_integer(number_integer_t) override { return Count(); }
  bool number_unsigned(number_unsigned_t) override { return Count(); }
  bool number_float(number_float_t, const string_t&) override { return Count(); }
  bool string(string_t&) override { return Count(); }
  bool binary(binary_t&) override { return Count(); }
  bool start_object(std::size_t) override { return Count(); }
  bool key(string_t&) override { return Count(); }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return Count(); }
  bool end_array() override { return true; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }
  bool has_too_many() const { return count_ > kMessageValuesMax; }

 private:
  bool Count() { return ++count_ <= kMessageValuesMax; }

  size_t count_ = 0;
};

bool HasTooManyValues(std::string_view bytes) {
  if (bytes.size() <= kUncountedBytes) return false;
  ValueCounter counter;
  json::sax_parse(bytes.begin(), bytes.end(), &counter);
  return counter.has_too_many();
}

}  // namespace

Result<ClientMessage> DecodeClientMessage(std::string_view bytes, bool msgpack) {
  try {
    if (msgpack) {
      KALAM_ASSIGN_OR_RETURN(const json tree, DecodeMessagePack(bytes));
      return FromTree(tree);
    }
    if (HasTooManyValues(bytes)) return Invalid("too many values");
    const json tree = json::parse(bytes.begin(), bytes.end(), nullptr, /*allow_exceptions=*/false);
    if (tree.is_discarded()) return Invalid("not JSON");
    return FromTree(tree);
  } catch (const std::exception& error) {
    return Invalid(error.what());
  }
}

}  // namespace kalam::live
