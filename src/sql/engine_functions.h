// Which functions may reach the analytical engine, and how each is written there.
#pragma once

#include <cstdint>
#include <string_view>

namespace kalam::sql {

enum class EngineForm : uint8_t {
  kUnknown,    // not on the list
  kCall,       // name(args), the engine's or ours under the same name
  kRename,     // EngineFunction::name(args)
  kSum,        // a sum of integers is a BIGINT or an error
  kTimestamp,  // the statement's time as a literal: timestamp, date, time of day
  kDate,
  kTime,
  kUser,  // the caller's id and role as literals
  kRole,
};

struct EngineFunction {
  EngineForm form = EngineForm::kUnknown;
  std::string_view name;  // in the engine
};

/// `name` is folded.
EngineFunction FindEngineFunction(std::string_view name);
/// generate_series, range, unnest.
bool IsEngineTableFunction(std::string_view name);

}  // namespace kalam::sql
