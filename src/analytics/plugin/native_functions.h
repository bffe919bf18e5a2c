// The scalar functions of the native plans, callable in the engine: one implementation, so that
// both paths agree.
#pragma once

#include <string>

namespace duckdb {
class ExtensionLoader;
}

namespace kalam::analytics {

/// Registers every native scalar function as kalam_<name>, with the overloads of its signature.
void RegisterNativeFunctions(duckdb::ExtensionLoader& loader);

/// kalam_text(x): the text that CAST(x AS TEXT) gives.
inline constexpr const char* kTextFunctionName = "kalam_text";

/// The name under which a function of the statement is to be called: kalam_<name> when there is one
/// of ours.
std::string FunctionInEngine(const std::string& name);

}  // namespace kalam::analytics
