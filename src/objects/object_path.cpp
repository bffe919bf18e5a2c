// The rules of object paths.
#include "objects/object_path.h"

#include <fmt/format.h>

namespace kalam::objects {
namespace {

Status Refused(std::string_view path, std::string_view why) {
  // The text may hold anything, so only what can be printed is repeated.
  std::string shown;
  for (const char c : path.substr(0, 200)) shown += c >= ' ' && c != 0x7f ? c : '?';
  return Status(ErrorKind::InvalidOperation, fmt::format("Object path '{}' {}", shown, why));
}

Status CheckPart(std::string_view path, std::string_view part) {
  if (part.empty()) return Refused(path, "has an empty part");
  if (part == "." || part == "..") return Refused(path, "must not contain '.' or '..' as a part");
  if (part.size() > kPathPartBytesMax) return Refused(path, "has a part longer than 255 bytes");
  if (part.starts_with(kTemporaryPrefix)) return Refused(path, "uses a name that is reserved");
  return {};
}

Status CheckText(std::string_view path) {
  if (path.size() > kObjectPathBytesMax) return Refused(path, "is longer than 900 bytes");
  for (const char c : path) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\') {
      return Refused(path, "contains a control character or a backslash");
    }
  }
  return {};
}

}  // namespace

Status CheckObjectPath(std::string_view path) {
  KALAM_RETURN_IF_ERROR(CheckText(path));
  size_t begin = 0;
  while (true) {
    const size_t end = std::min(path.find('/', begin), path.size());
    KALAM_RETURN_IF_ERROR(CheckPart(path, path.substr(begin, end - begin)));
    if (end == path.size()) return {};
    begin = end + 1;
  }
}

Status CheckObjectPrefix(std::string_view prefix) {
  // What stands before the last `/` are whole parts; behind it anything may be the beginning of
  // one.
  const size_t slash = prefix.rfind('/');
  if (slash == prefix.npos) {
    if (prefix == "..") return Refused(prefix, "must not contain '.' or '..' as a part");
    return CheckText(prefix);
  }
  if (prefix.substr(slash + 1) == "..") {
    return Refused(prefix, "must not contain '.' or '..' as a part");
  }
  KALAM_RETURN_IF_ERROR(CheckText(prefix));
  return CheckObjectPath(prefix.substr(0, slash));
}

std::string JoinPath(std::string_view base, std::string_view path) {
  while (base.ends_with('/') && base.size() > 1) base.remove_suffix(1);
  if (base.empty()) return std::string(path);
  return fmt::format("{}{}{}", base, base == "/" ? "" : "/", path);
}

}  // namespace kalam::objects
