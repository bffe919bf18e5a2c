// JSON functions over text; whatever is not JSON gives NULL.
#include "query/functions.h"
#include "query/json_path.h"
#include "types/convert.h"

namespace kalam::query {

namespace {

std::optional<JsonMember> Member(std::span<const Datum> arguments, bool with_parts = false) {
  if (arguments[0].is_null) return std::nullopt;
  return FindJsonMember(arguments[0].text(), arguments.subspan(1), with_parts);
}

void SetJson(EvalContext& context, std::string_view text, Datum* out) {
  *out = Datum::Bytes(TypeKind::kJson, context.arena->Copy(text));
}

std::string JsonText(const JsonMember& member) {
  if (member.kind != JsonKind::kString) return member.text;
  std::string quoted;
  AppendJsonString(member.text, &quoted);
  return quoted;
}

Status GetJson(EvalContext& context, std::span<const Datum> arguments, Datum* out) {
  if (const auto member = Member(arguments)) SetJson(context, JsonText(*member), out);
  return {};
}

Status GetText(EvalContext& context, std::span<const Datum> arguments, Datum* out) {
  const auto member = Member(arguments);
  if (member.has_value() && member->kind != JsonKind::kNull) SetText(context, member->text, out);
  return {};
}

Status ContainsMember(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  if (arguments[0].is_null) return {};
  if (!FindJsonMember(arguments[0].text(), {}, false).has_value()) return {};
  *out = Datum::Boolean(Member(arguments).has_value());
  return {};
}

Status GetString(EvalContext& context, std::span<const Datum> arguments, Datum* out) {
  const auto member = Member(arguments);
  if (member.has_value() && member->kind == JsonKind::kString) SetText(context, member->text, out);
  return {};
}

Status GetInteger(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  const auto member = Member(arguments);
  if (member.has_value() && member->kind == JsonKind::kInteger)
    *out = Datum::BigInt(member->integer);
  return {};
}

Status GetFloat(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  const auto member = Member(arguments);
  if (member.has_value() &&
      (member->kind == JsonKind::kInteger || member->kind == JsonKind::kDouble)) {
    *out = Datum::Double(member->number);
  }
  return {};
}

Status GetBoolean(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  const auto member = Member(arguments);
  if (member.has_value() && member->kind == JsonKind::kBoolean)
    *out = Datum::Boolean(member->boolean);
  return {};
}

Status GetArray(EvalContext& context, std::span<const Datum> arguments, Datum* out) {
  const auto member = Member(arguments);
  if (member.has_value() && member->kind == JsonKind::kArray) SetJson(context, member->text, out);
  return {};
}

Status Length(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  const auto member = Member(arguments);
  if (!member.has_value()) return {};
  if (member->kind == JsonKind::kArray || member->kind == JsonKind::kObject)
    *out = Datum::BigInt(member->length);
  return {};
}

/// The keys as a JSON array: there is no list type outside the engine.
Status Keys(EvalContext& context, std::span<const Datum> arguments, Datum* out) {
  const auto member = Member(arguments, true);
  if (!member.has_value() || member->kind != JsonKind::kObject) return {};
  std::string text = "[";
  for (const std::string& key : member->parts) {
    if (text.size() > 1) text += ',';
    AppendJsonString(key, &text);
  }
  text += ']';
  SetJson(context, text, out);
  return {};
}

Status FromScalar(EvalContext& context, std::span<const Datum> arguments, Datum* out) {
  const Datum& value = arguments[0];
  if (value.is_null) {
    SetJson(context, "null", out);
    return {};
  }
  const DataType type = DataType::Of(value.kind);
  std::string text;
  if (type.is_numeric() || value.kind == TypeKind::kBoolean) {
    text = ToText(value);
  } else {
    AppendJsonString(type.is_text() ? std::string(value.text()) : ToText(value), &text);
  }
  SetJson(context, text, out);
  return {};
}

Status IsValid(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  *out = Datum::Boolean(FindJsonMember(arguments[0].text(), {}, false).has_value());
  return {};
}

constexpr FunctionSpec kFunctions[] = {
    {"json_get_json", "ta*:j", GetJson},
    {"json_get", "ta*:j", GetJson},
    {"json_as_text", "ta*:t", GetText},
    {"json_contains", "ta*:b", ContainsMember},
    {"json_get_str", "ta*:t", GetString},
    {"json_get_int", "ta*:i", GetInteger},
    {"json_get_float", "ta*:d", GetFloat},
    {"json_get_bool", "ta*:b", GetBoolean},
    {"json_get_array", "ta*:j", GetArray},
    {"json_length", "t?a*:i", Length},
    {"json_array_length", "t?a*:i", Length},
    {"json_object_keys", "t?a*:j", Keys},
    {"json_keys", "t?a*:j", Keys},
    {"json_from_scalar", "a:j", FromScalar, NullRule::kCalled},
    {"json_extract_path", "ta*:j", GetJson},
    {"json_extract_path_text", "ta*:t", GetText},
    {"json_valid", "t:b", IsValid},
};

}  // namespace

std::span<const FunctionSpec> JsonFunctions() { return kFunctions; }

}  // namespace kalam::query
