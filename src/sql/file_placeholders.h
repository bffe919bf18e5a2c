// FILE('name') in a statement: where the files of a multipart request go.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kalam::sql {

struct FilePlaceholder {
  int begin = 0;  // byte offsets of the whole call; end is not inside
  int end = 0;
  std::string name;
  std::string media_type;  // of FindLocalFiles; empty: not given
};

/// All `FILE('name')` and `FILE("name")` outside of texts and comments, in order; the keyword in
/// any case. Costs one look at every parenthesis when there is none.
std::vector<FilePlaceholder> FindFilePlaceholders(std::string_view text);

/// The same for what a shell replaces by an upload: `file('path')` and `file('path', 'type')`.
std::vector<FilePlaceholder> FindLocalFiles(std::string_view text);

/// `text` with each placeholder replaced by a string literal of the value at the same index.
std::string ReplaceFilePlaceholders(std::string_view text,
                                    const std::vector<FilePlaceholder>& placeholders,
                                    const std::vector<std::string>& values);

}  // namespace kalam::sql
