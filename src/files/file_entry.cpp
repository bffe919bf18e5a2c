// Names of stored files, and the bytes of their records:
//   entry := format:1 (1)  id size created_at_us:varint  sub name mime sha256 stored_name
//   storage_id
//            path: each length:varint bytes
#include "files/file_entry.h"

#include <fmt/format.h>

#include <charconv>

#include "types/row_codec.h"

namespace kalam::files {
namespace {

constexpr char kFormat = 1;
constexpr size_t kStemBytesMax = 50;
constexpr size_t kExtensionBytesMax = 10;

// The letter or digit in lower case, or 0.
char Plain(char c) {
  if (c >= 'A' && c <= 'Z') return static_cast<char>(c + 32);
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '\0';
}

std::string Stem(std::string_view text) {
  std::string stem;
  for (const char c : text) {
    if (stem.size() >= kStemBytesMax) break;
    if (const char plain = Plain(c); plain != '\0') {
      stem += plain;
    } else if (!stem.empty() && stem.back() != '-') {
      stem += '-';
    }
  }
  while (stem.ends_with('-')) stem.pop_back();
  return stem;
}

std::string Extension(std::string_view text) {
  std::string extension;
  for (const char c : text) {
    const char plain = Plain(c);
    if (plain == '\0') return "bin";
    extension += plain;
  }
  return extension.empty() || extension.size() > kExtensionBytesMax ? "bin" : extension;
}

void PutText(std::string_view text, std::string* out) {
  PutVarint(out, text.size());
  *out += text;
}

bool GetText(std::string_view* in, std::string* text) {
  uint64_t size = 0;
  if (!GetVarint(in, &size) || size > in->size()) return false;
  *text = in->substr(0, size);
  in->remove_prefix(size);
  return true;
}

bool GetNumber(std::string_view* in, int64_t* number) {
  uint64_t value = 0;
  if (!GetVarint(in, &value) || value > INT64_MAX) return false;
  *number = static_cast<int64_t>(value);
  return true;
}

}  // namespace

std::string StoredName(int64_t id, std::string_view file_name) {
  const size_t point = file_name.rfind('.');
  const bool has_extension = point != std::string_view::npos;
  const std::string stem = Stem(file_name.substr(0, point));
  const std::string extension = has_extension ? Extension(file_name.substr(point + 1)) : "bin";
  return stem.empty() ? fmt::format("{}.{}", id, extension)
                      : fmt::format("{}-{}.{}", id, stem, extension);
}

std::string FolderName(int64_t folder_number) { return fmt::format("f{:04}", folder_number); }

int64_t IdOfStoredName(std::string_view name) {
  int64_t id = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
  if (error != std::errc() || id <= 0) return 0;
  const std::string_view rest(end, static_cast<size_t>(name.data() + name.size() - end));
  return rest.empty() || rest.starts_with('-') || rest.starts_with('.') ? id : 0;
}

std::string EncodeFileEntry(const FileEntry& entry) {
  const FileReference& reference = entry.reference;
  std::string bytes(1, kFormat);
  PutVarint(&bytes, static_cast<uint64_t>(reference.id));
  PutVarint(&bytes, static_cast<uint64_t>(reference.size_bytes));
  PutVarint(&bytes, static_cast<uint64_t>(entry.created_at_us));
  for (const std::string* text :
       {&reference.sub, &reference.name, &reference.mime, &reference.sha256, &entry.stored_name,
        &entry.storage_id, &entry.path}) {
    PutText(*text, &bytes);
  }
  return bytes;
}

Result<FileEntry> DecodeFileEntry(std::string_view bytes) {
  FileEntry entry;
  FileReference& reference = entry.reference;
  bool good = !bytes.empty() && bytes.front() == kFormat;
  if (good) bytes.remove_prefix(1);
  for (int64_t* number : {&reference.id, &reference.size_bytes, &entry.created_at_us}) {
    good = good && GetNumber(&bytes, number);
  }
  for (std::string* text : {&reference.sub, &reference.name, &reference.mime, &reference.sha256,
                            &entry.stored_name, &entry.storage_id, &entry.path}) {
    good = good && GetText(&bytes, text);
  }
  if (!good || !bytes.empty()) {
    return Status(ErrorKind::Corruption, "the record of a stored file cannot be decoded");
  }
  return entry;
}

}  // namespace kalam::files
