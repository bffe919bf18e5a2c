// Reading JSON bodies with simdjson.
#include "server/request_reader.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>

namespace kalam::server {

namespace {

// A parser that a large request has grown is given back after it: it holds fourteen times the text.
constexpr size_t kParserBytesKept = 32 << 10;

constexpr size_t kUnchargedJsonBytes = 16 << 10;
// Of the parser for each bracket, comma and colon with the value behind it (its index and its
// tape), and of a parameter that is made of it. Measured; a text of nothing else takes 10 to 24
// beside.
constexpr int64_t kBytesPerMark = 24 + sizeof(Value);

// The most that reading the text takes beside the text: its strings, and what stands between them.
int64_t ParserBytes(std::string_view text) {
  size_t marks = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      in_string = !in_string;
    } else if (in_string) {
      if (c == '\\') ++i;
    } else if (c == ',' || c == ':' || c == '[' || c == ']' || c == '{' || c == '}') {
      ++marks;
    }
  }
  return static_cast<int64_t>(text.size()) + static_cast<int64_t>(marks) * kBytesPerMark;
}

Result<Value> ReadParameter(const simdjson::dom::element& element, size_t number) {
  switch (element.type()) {
    case simdjson::dom::element_type::NULL_VALUE:
      return Value::Null();
    case simdjson::dom::element_type::BOOL:
      return Value::Boolean(element.get_bool().value_unsafe());
    case simdjson::dom::element_type::INT64:
      return Value::BigInt(element.get_int64().value_unsafe());
    case simdjson::dom::element_type::UINT64:
      return Value::Double(static_cast<double>(element.get_uint64().value_unsafe()));
    case simdjson::dom::element_type::DOUBLE:
      return Value::Double(element.get_double().value_unsafe());
    case simdjson::dom::element_type::STRING:
      return Value::Text(element.get_string().value_unsafe());
    case simdjson::dom::element_type::ARRAY:
      return Status(ErrorKind::InvalidParameter,
                    fmt::format("Parameter ${} invalid: arrays are not supported", number));
    case simdjson::dom::element_type::OBJECT:
      return Status(ErrorKind::InvalidParameter,
                    fmt::format("Parameter ${} invalid: objects are not supported", number));
  }
  return Status(ErrorKind::InvalidParameter, fmt::format("Parameter ${} invalid", number));
}

Result<std::vector<Value>> ReadArray(const simdjson::dom::element& element) {
  simdjson::dom::array array;
  if (element.get_array().get(array) != simdjson::SUCCESS) {
    return Status(ErrorKind::InvalidInput, "'params' must be an array");
  }
  std::vector<Value> parameters;
  parameters.reserve(array.size());
  for (const simdjson::dom::element entry : array) {
    auto value = ReadParameter(entry, parameters.size() + 1);
    if (!value.ok()) return std::move(value).status();
    parameters.push_back(std::move(*value));
  }
  return parameters;
}

}  // namespace

struct RequestReader::Rep {
  simdjson::dom::parser parser;

  MemoryCharge charge;

  explicit Rep(MemoryAccount& account) : charge(account, 0) {}

  // Parses; the result lives until Done.
  Result<simdjson::dom::element> Parse(const std::string& text) {
    if (text.size() > kUnchargedJsonBytes && !charge.TryResize(ParserBytes(text)))
      return Status(ErrorKind::Busy, "Too many large requests at once; try again");
    const bool padded = text.capacity() - text.size() >= simdjson::SIMDJSON_PADDING;
    simdjson::dom::element root;
    const auto error = parser.parse(text.data(), text.size(), !padded).get(root);
    if (error != simdjson::SUCCESS) {
      return Status(ErrorKind::InvalidInput, fmt::format("The request body is not valid JSON: {}",
                                                         simdjson::error_message(error)));
    }
    return root;
  }

  Result<simdjson::dom::object> ParseObject(const std::string& text) {
    KALAM_ASSIGN_OR_RETURN(const simdjson::dom::element root, Parse(text));
    simdjson::dom::object object;
    if (root.get_object().get(object) != simdjson::SUCCESS) {
      return Status(ErrorKind::InvalidInput, "The request body must be a JSON object");
    }
    return object;
  }

  void Done() {
    if (parser.capacity() > kParserBytesKept) parser = simdjson::dom::parser();
    charge.Resize(0);
  }
};

namespace {

// Lets go of what a large body took, on every way out.
struct Reading {
  RequestReader::Rep& rep;
  ~Reading() { rep.Done(); }
};

}  // namespace

RequestReader::RequestReader(MemoryAccount& account) : rep_(std::make_unique<Rep>(account)) {}
RequestReader::~RequestReader() = default;

Result<SqlRequestBody> RequestReader::ReadSql(const std::string& body) {
  const Reading reading{*rep_};
  KALAM_ASSIGN_OR_RETURN(const simdjson::dom::object object, rep_->ParseObject(body));
  SqlRequestBody request;
  bool has_sql = false;
  for (const auto [key, value] : object) {
    if (key == "sql") {
      std::string_view text;
      if (value.get_string().get(text) != simdjson::SUCCESS) {
        return Status(ErrorKind::InvalidInput, "'sql' must be a string");
      }
      request.sql = text;
      has_sql = true;
    } else if (key == "params" && !value.is_null()) {
      KALAM_ASSIGN_OR_RETURN(request.parameters, ReadArray(value));
    } else if (key == "namespace_id" && !value.is_null()) {
      std::string_view text;
      if (value.get_string().get(text) != simdjson::SUCCESS) {
        return Status(ErrorKind::InvalidInput, "'namespace_id' must be a string");
      }
      if (!text.empty()) request.namespace_id = text;
    }
  }
  if (!has_sql) return Status(ErrorKind::InvalidInput, "The request body has no 'sql'");
  return request;
}

Result<std::vector<Value>> RequestReader::ReadParameters(const std::string& json) {
  const Reading reading{*rep_};
  KALAM_ASSIGN_OR_RETURN(const simdjson::dom::element root, rep_->Parse(json));
  return ReadArray(root);
}

Result<std::map<std::string, std::string>> RequestReader::ReadTexts(
    const std::string& body, std::span<const std::string_view> names) {
  const Reading reading{*rep_};
  KALAM_ASSIGN_OR_RETURN(const simdjson::dom::object object, rep_->ParseObject(body));
  std::map<std::string, std::string> texts;
  for (const auto [key, value] : object) {
    if (std::find(names.begin(), names.end(), key) == names.end()) {
      return Status(ErrorKind::InvalidInput, fmt::format("unknown field '{}'", key));
    }
    if (value.is_null()) continue;
    std::string_view text;
    if (value.get_string().get(text) != simdjson::SUCCESS) {
      return Status(ErrorKind::InvalidInput, fmt::format("'{}' must be a string", key));
    }
    texts[std::string(key)] = text;
  }
  return texts;
}

}  // namespace kalam::server
