// FileRef: what a FILE cell says of its file, as JSON text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kalam {

/// {"id":"<number>","sub":"f0001","name":"a.png","size":5,"mime":"image/png","sha256":"<hex>"}.
/// Clients read these members; further ones are ignored.
struct FileReference {
  int64_t id = 0;    // a snowflake number; greater than 0
  std::string sub;   // the folder below that of the scope: `f` and at least 4 digits
  std::string name;  // as the client called the file
  int64_t size_bytes = 0;
  std::string mime;
  std::string sha256;  // lower-case hexadecimal
  bool operator==(const FileReference&) const = default;
};

std::string FormatFileReference(const FileReference& reference);
/// The id that a cell names; nullopt when the text is no FileRef. Cells are stored as they were
/// written, so anything may stand there.
std::optional<int64_t> FileIdOf(std::string_view cell);

}  // namespace kalam
