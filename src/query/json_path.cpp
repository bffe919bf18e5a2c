// Reading members of JSON documents, over simdjson.
#include "query/json_path.h"

#include <simdjson.h>

namespace kalam::query {

namespace {

using simdjson::dom::element;

/// One step; false when there is no such member.
bool Step(const Datum& key, element* current) {
  if (key.is_null) return false;
  if (DataType::Of(key.kind).is_text()) {
    simdjson::dom::object object;
    if (current->get(object) != simdjson::SUCCESS) return false;
    return object.at_key(key.text()).get(*current) == simdjson::SUCCESS;
  }
  if (!DataType::Of(key.kind).is_integer()) return false;
  simdjson::dom::array array;
  if (current->get(array) != simdjson::SUCCESS) return false;
  int64_t index = key.i;
  if (index < 0) index += static_cast<int64_t>(array.size());
  if (index < 0) return false;
  return array.at(static_cast<size_t>(index)).get(*current) == simdjson::SUCCESS;
}

void FillContainer(const element& found, bool with_parts, JsonMember* member) {
  if (member->kind == JsonKind::kArray) {
    const simdjson::dom::array array = found.get_array().value_unsafe();
    for (const element item : array) {
      ++member->length;
      if (with_parts) member->parts.push_back(simdjson::minify(item));
    }
    return;
  }
  const simdjson::dom::object object = found.get_object().value_unsafe();
  for (const simdjson::dom::key_value_pair field : object) {
    ++member->length;
    if (with_parts) member->parts.emplace_back(field.key);
  }
}

JsonMember Describe(const element& found, bool with_parts) {
  JsonMember member;
  switch (found.type()) {
    case simdjson::dom::element_type::NULL_VALUE:
      member.kind = JsonKind::kNull;
      break;
    case simdjson::dom::element_type::BOOL:
      member.kind = JsonKind::kBoolean;
      member.boolean = found.get_bool().value_unsafe();
      break;
    case simdjson::dom::element_type::INT64:
      member.kind = JsonKind::kInteger;
      member.integer = found.get_int64().value_unsafe();
      member.number = static_cast<double>(member.integer);
      break;
    case simdjson::dom::element_type::UINT64:
      member.kind = JsonKind::kDouble;
      member.number = static_cast<double>(found.get_uint64().value_unsafe());
      break;
    case simdjson::dom::element_type::DOUBLE:
      member.kind = JsonKind::kDouble;
      member.number = found.get_double().value_unsafe();
      break;
    case simdjson::dom::element_type::STRING:
      member.kind = JsonKind::kString;
      member.text = std::string(found.get_string().value_unsafe());
      return member;
    case simdjson::dom::element_type::ARRAY:
      member.kind = JsonKind::kArray;
      FillContainer(found, with_parts, &member);
      break;
    case simdjson::dom::element_type::OBJECT:
      member.kind = JsonKind::kObject;
      FillContainer(found, with_parts, &member);
      break;
  }
  member.text = simdjson::minify(found);
  return member;
}

}  // namespace

std::optional<JsonMember> FindJsonMember(std::string_view document, std::span<const Datum> path,
                                         bool with_parts) {
  try {
    // One parser per thread keeps its buffers from row to row; a large document's buffers are given
    // back.
    constexpr size_t kKeptBytesMax = 256 << 10;
    thread_local simdjson::dom::parser parser;
    element current;
    const bool parsed =
        parser.parse(document.data(), document.size()).get(current) == simdjson::SUCCESS;
    std::optional<JsonMember> member;
    bool found = parsed;
    for (size_t i = 0; found && i < path.size(); ++i) found = Step(path[i], &current);
    if (found) member = Describe(current, with_parts);
    if (parser.capacity() > kKeptBytesMax) parser = simdjson::dom::parser();
    return member;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

}  // namespace kalam::query
