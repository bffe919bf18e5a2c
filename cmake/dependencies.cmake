# External libraries, all Debian 12 packages (tools/packages.txt) but the analytical engine (package-lock.json).
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(GTest REQUIRED)
find_package(fmt REQUIRED)
find_package(pugixml REQUIRED)
find_package(prometheus-cpp REQUIRED COMPONENTS core)

# RocksDB is linked statically: with --gc-sections the server starts 4-5 MB lighter than with the shared library.
add_library(kalam_rocksdb INTERFACE)
target_link_libraries(kalam_rocksdb INTERFACE
  /usr/lib/x86_64-linux-gnu/librocksdb.a snappy lz4 zstd bz2 ZLIB::ZLIB Threads::Threads dl)

add_library(kalam_pg_query INTERFACE)
# hnswlib (libhnswlib-dev) is headers alone.
find_path(KALAM_HNSWLIB_INCLUDE hnswlib/hnswlib.h REQUIRED)
target_link_libraries(kalam_pg_query INTERFACE /usr/lib/x86_64-linux-gnu/libpg_query.a protobuf-c xxhash Threads::Threads)
target_include_directories(kalam_pg_query SYSTEM INTERFACE /usr/include/pg_query)

# The analytical engine comes from npm, pinned (tools/fetch_engine.sh): library in node_modules, headers in .deps.
if(KALAM_WITH_ANALYTICS)
  set(KALAM_DUCKDB_LIBRARY "${CMAKE_SOURCE_DIR}/node_modules/@duckdb/node-bindings-linux-x64/libduckdb.so")
  set(KALAM_DUCKDB_INCLUDE "${CMAKE_SOURCE_DIR}/.deps/duckdb/include")
  execute_process(COMMAND "${CMAKE_SOURCE_DIR}/tools/fetch_engine.sh" RESULT_VARIABLE fetch_engine_result)
  if(NOT fetch_engine_result EQUAL 0)
    message(FATAL_ERROR "The analytical engine is missing: run tools/fetch_engine.sh (needs npm and its registry), "
                        "or configure with -DKALAM_WITH_ANALYTICS=OFF to build without complex queries.")
  endif()
  add_library(kalam_duckdb INTERFACE)
  target_include_directories(kalam_duckdb SYSTEM INTERFACE "${KALAM_DUCKDB_INCLUDE}")
  target_link_libraries(kalam_duckdb INTERFACE "${KALAM_DUCKDB_LIBRARY}")
endif()
