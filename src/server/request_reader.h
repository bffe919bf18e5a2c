// JSON bodies of requests: the SQL request and flat objects of texts.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/memory_account.h"
#include "base/status.h"
#include "types/value.h"

namespace kalam::server {

struct SqlRequestBody {
  std::string sql;
  std::vector<Value> parameters;
  std::string namespace_id = "default";
};

/// Keeps its buffers between requests (bounded). What reading a large body takes is asked of
/// `account` first; all methods fail with Busy when there is no room. Not thread-safe: one per
/// core.
class RequestReader {
 public:
  explicit RequestReader(MemoryAccount& account);
  ~RequestReader();

  /// {"sql", "params"?, "namespace_id"?}; unknown members are ignored. Errors: InvalidInput,
  /// InvalidParameter.
  Result<SqlRequestBody> ReadSql(const std::string& body);
  /// A JSON array of parameters. Errors: InvalidInput, InvalidParameter.
  Result<std::vector<Value>> ReadParameters(const std::string& json);
  /// An object whose members are texts (or null) with these names. Errors: InvalidInput, also for
  /// other members.
  Result<std::map<std::string, std::string>> ReadTexts(const std::string& body,
                                                       std::span<const std::string_view> names);

  struct Rep;

 private:
  const std::unique_ptr<Rep> rep_;
};

}  // namespace kalam::server
