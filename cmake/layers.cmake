# The one place where the arrows between the layers live: who may include and link whom.
#
#   kalam_layer(<name> USES <layer>... SOURCES <file>... LIBRARIES <external>...)
#
# Each layer is a static library with its own include root (<build>/roots/<layer>/<layer> -> src/<layer>),
# linked PRIVATE, so that an include of a layer that is not listed does not compile. `base` and `types`
# are visible to everyone above them.

set(KALAM_ROOTS "${CMAKE_BINARY_DIR}/roots")

set(KALAM_USES_base)
set(KALAM_USES_types)
set(KALAM_USES_sql)
set(KALAM_USES_storage)
set(KALAM_USES_objects)
set(KALAM_USES_catalog storage sql)
set(KALAM_USES_replication catalog storage)
set(KALAM_USES_segments catalog objects storage)
set(KALAM_USES_tables replication segments catalog storage)
# The files of FILE columns: uploaded before, removed after the rows that name them.
set(KALAM_USES_files tables replication catalog objects storage)
# `query` calls the engine through `analytics`' host interface, and `analytics` reads through `tables`.
set(KALAM_USES_analytics tables catalog)
# Vector indexes give candidates; whoever plans reads the rows.
set(KALAM_USES_vectors tables replication catalog objects storage)
set(KALAM_USES_query analytics vectors tables replication catalog sql storage)
set(KALAM_USES_tiering analytics tables segments replication catalog objects storage)
set(KALAM_USES_backup tiering files tables segments replication catalog objects storage)
set(KALAM_USES_exports analytics files tables replication catalog objects storage)
set(KALAM_USES_live query tables replication catalog storage sql)
set(KALAM_USES_topics tables catalog)
set(KALAM_USES_jobs exports backup tiering analytics segments files tables replication catalog objects storage)
set(KALAM_USES_auth catalog storage)
set(KALAM_USES_statements live topics jobs exports backup tiering auth files vectors query analytics segments tables replication catalog objects sql
    storage)
set(KALAM_USES_server statements live topics jobs exports backup tiering auth files vectors query analytics tables segments replication
    catalog objects storage sql)
set(KALAM_USES_client)

# Layers in which threads meet: their unit tests also run under the thread sanitizer (tools/test.sh).
set(KALAM_CONCURRENT_LAYERS base auth replication live jobs)

function(kalam_layer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES;TESTS;TEST_USES;TEST_LIBRARIES" ${ARGN})
  set(root "${KALAM_ROOTS}/${name}")
  file(MAKE_DIRECTORY "${root}")
  if(NOT EXISTS "${root}/${name}")
    file(CREATE_LINK "${CMAKE_SOURCE_DIR}/src/${name}" "${root}/${name}" SYMBOLIC)
  endif()
  set_property(GLOBAL APPEND PROPERTY KALAM_LAYERS ${name})
  if(NOT ARG_SOURCES)
    add_library(kalam_${name} INTERFACE)
    target_include_directories(kalam_${name} INTERFACE "${root}")
  else()
    add_library(kalam_${name} STATIC ${ARG_SOURCES})
    target_include_directories(kalam_${name} PUBLIC "${root}")
    target_link_libraries(kalam_${name} PRIVATE kalam_flags ${ARG_LIBRARIES})
    foreach(used IN LISTS KALAM_USES_${name})
      target_link_libraries(kalam_${name} PRIVATE kalam_${used})
    endforeach()
    if(name STREQUAL "types")
      target_link_libraries(kalam_types PUBLIC kalam_base)
    elseif(NOT name STREQUAL "base")
      target_link_libraries(kalam_${name} PUBLIC kalam_types kalam_base)
    endif()
  endif()
  # Unit tests of a layer are one binary, built from the *_test.cpp beside the code.
  if(ARG_TESTS AND KALAM_BUILD_TESTS)
    add_executable(${name}_test ${ARG_TESTS})
    target_link_libraries(${name}_test PRIVATE kalam_${name} kalam_flags GTest::gmock GTest::gtest_main
                          ${ARG_TEST_LIBRARIES})
    foreach(used IN LISTS KALAM_USES_${name} ARG_TEST_USES)
      target_link_libraries(${name}_test PRIVATE kalam_${used})
    endforeach()
    add_test(NAME unit_${name} COMMAND ${name}_test)
    set(labels unit)
    if(name IN_LIST KALAM_CONCURRENT_LAYERS)
      list(APPEND labels concurrent)
    endif()
    set_tests_properties(unit_${name} PROPERTIES LABELS "${labels}" TIMEOUT 600
      ENVIRONMENT "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/tsan_suppressions.txt")
  endif()
endfunction()
