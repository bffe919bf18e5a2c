# External libraries, all Debian 12 packages (tools/packages.txt) but the analytical engine (package-lock.json).
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(GTest REQUIRED)
find_package(fmt REQUIRED)

# RocksDB is linked statically: with --gc-sections the server starts 4-5 MB lighter than with the shared library.
add_library(kalam_rocksdb INTERFACE)
target_link_libraries(kalam_rocksdb INTERFACE
  /usr/lib/x86_64-linux-gnu/librocksdb.a snappy lz4 zstd bz2 ZLIB::ZLIB Threads::Threads dl)

add_library(kalam_pg_query INTERFACE)
target_link_libraries(kalam_pg_query INTERFACE /usr/lib/x86_64-linux-gnu/libpg_query.a protobuf-c xxhash Threads::Threads)
target_include_directories(kalam_pg_query SYSTEM INTERFACE /usr/include/pg_query)
