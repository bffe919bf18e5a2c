// The engine's library, loaded from beside this program, through the few calls of its C interface
// that are needed.
#include "suite/direct_engine.h"

#include <dlfcn.h>

#include <array>

#include "load/server_process.h"
#include "load/socket.h"

namespace kalam::bench {
namespace {

using Handle = void*;
/// Large enough for the library's own record of a result, which is only handed through.
struct ResultBytes {
  alignas(16) std::array<char, 256> bytes;
};

/// Functions of the library, by the names it gives them.
struct Calls {
  int (*open)(const char* path, Handle* database) = nullptr;
  int (*connect)(Handle database, Handle* connection) = nullptr;
  int (*query)(Handle connection, const char* sql, ResultBytes* result) = nullptr;
  const char* (*error)(ResultBytes* result) = nullptr;
  void (*destroy)(ResultBytes* result) = nullptr;
  void (*disconnect)(Handle* connection) = nullptr;
  void (*close)(Handle* database) = nullptr;
};

template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

Result<Calls> LoadLibrary() {
  const std::string program = load::ServerBesideThisProgram();
  const std::string path = program.substr(0, program.rfind('/')) + "/libduckdb.so";
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  Calls calls;
  const bool found = library != nullptr && Find(library, "duckdb_open", &calls.open) &&
                     Find(library, "duckdb_connect", &calls.connect) &&
                     Find(library, "duckdb_query", &calls.query) &&
                     Find(library, "duckdb_result_error", &calls.error) &&
                     Find(library, "duckdb_destroy_result", &calls.destroy) &&
                     Find(library, "duckdb_disconnect", &calls.disconnect) &&
                     Find(library, "duckdb_close", &calls.close);
  if (!found) return Status(ErrorKind::NotAvailable, "no analytical engine at " + path);
  return calls;
}

class LocalEngine final : public DirectEngine {
 public:
  explicit LocalEngine(const Calls& calls) : calls_(calls) {}
  LocalEngine(const LocalEngine&) = delete;
  LocalEngine& operator=(const LocalEngine&) = delete;
  ~LocalEngine() override {
    calls_.disconnect(&connection_);
    calls_.close(&database_);
  }

  Status Connect() {
    if (calls_.open(nullptr, &database_) == 0 && calls_.connect(database_, &connection_) == 0)
      return {};
    return Status(ErrorKind::Execution, "the engine does not open");
  }

  Result<double> TimeUs(const std::string& sql) override {
    const int64_t begin_ns = load::SteadyNs();
    ResultBytes result{};
    const bool failed = calls_.query(connection_, sql.c_str(), &result) != 0;
    const double us = static_cast<double>(load::SteadyNs() - begin_ns) / 1000.0;
    const char* error = calls_.error(&result);
    const std::string message = error == nullptr ? "" : error;
    calls_.destroy(&result);
    if (failed) return Status(ErrorKind::Execution, sql + ": " + message);
    return us;
  }

 private:
  const Calls calls_;
  Handle database_ = nullptr;
  Handle connection_ = nullptr;
};

}  // namespace

Result<std::unique_ptr<DirectEngine>> DirectEngine::Open(int threads,
                                                         const std::string& memory_limit) {
  KALAM_ASSIGN_OR_RETURN(const Calls calls, LoadLibrary());
  auto engine = std::make_unique<LocalEngine>(calls);
  KALAM_RETURN_IF_ERROR(engine->Connect());
  KALAM_RETURN_IF_ERROR(engine->TimeUs("SET threads = " + std::to_string(threads)).status());
  KALAM_RETURN_IF_ERROR(engine->TimeUs("SET memory_limit = '" + memory_limit + "'").status());
  return std::unique_ptr<DirectEngine>(std::move(engine));
}

}  // namespace kalam::bench
