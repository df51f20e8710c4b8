# The few commands that every folder's CMakeLists uses.

add_library(unmask_options INTERFACE)
target_include_directories(unmask_options INTERFACE ${CMAKE_SOURCE_DIR})
# No contraction of a*b+c behind our back: noise and results must be the same bits from every compiler.
target_compile_options(unmask_options INTERFACE -Wall -Wextra -Werror -Wno-missing-field-initializers -ffp-contract=off
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>)
# Debian's Abseil and gRPC headers are not ours to warn about; they are found as system headers.

# unmask_library(NAME SRCS file... [PUBLIC lib...] [PRIVATE lib...]): one static library, our warnings, our include root.
function(unmask_library name)
  cmake_parse_arguments(ARG "" "" "SRCS;PUBLIC;PRIVATE" ${ARGN})
  add_library(${name} STATIC ${ARG_SRCS})
  unmask_sanitized(${name})
  target_link_libraries(${name} PUBLIC ${ARG_PUBLIC} PRIVATE unmask_options ${ARG_PRIVATE})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
endfunction()

# unmask_binary(NAME SRCS file... LIBS lib...): a program under build/bin.
function(unmask_binary name)
  cmake_parse_arguments(ARG "" "" "SRCS;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  unmask_sanitized(${name})
  target_link_libraries(${name} PRIVATE unmask_options ${ARG_LIBS})
endfunction()

set(UNMASK_PATIENCE 1 CACHE STRING "How much more time than usual tests take in this build; they find it in their environment")

# scripts/test.sh runs two tests at once. Those that start processes and measure their patience do not like company: one at a time,
# and first. Beside them run those that compute or compile and measure no time, with what the others leave of the machine.
set(UNMASK_ASIDE nice -n 19)  # What their command begins with.
function(unmask_alone)  # (TEST...)
  if(UNMASK_PATIENCE EQUAL 1)  # More of it stands company.
    set_tests_properties(${ARGN} PROPERTIES RESOURCE_LOCK patience COST 1000)
  endif()
endfunction()

# unmask_test(NAME SRCS file... LIBS lib... [RANKS n...] [ENV name=value...] [ASIDE]): a GoogleTest program as one CTest test, bounded
# in time; with RANKS it runs under mpirun, once for each number, as NAME@n. Test data is found relative to UNMASK_SOURCE_DIR,
# programs in UNMASK_BIN_DIR.
function(unmask_test name)
  cmake_parse_arguments(ARG "ASIDE" "TIMEOUT" "SRCS;LIBS;ENV;LABELS;RANKS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  unmask_sanitized(${name})
  target_compile_options(${name} PRIVATE -O0)  # What it tests is optimised; this saves a quarter of its own compilation.
  target_link_libraries(${name} PRIVATE unmask_options ${ARG_LIBS} GTest::gmock GTest::gtest)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/bin)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * ${UNMASK_PATIENCE}")
  set(environment "UNMASK_SOURCE_DIR=${CMAKE_SOURCE_DIR};UNMASK_BIN_DIR=${CMAKE_BINARY_DIR}/bin;OMP_WAIT_POLICY=passive")
  list(APPEND environment UNMASK_PATIENCE=${UNMASK_PATIENCE} ${ARG_ENV})
  set(aside)
  if(ARG_ASIDE)
    set(aside ${UNMASK_ASIDE})
  endif()
  set(tests)
  if(ARG_RANKS)
    foreach(ranks ${ARG_RANKS})
      add_test(NAME ${name}@${ranks} COMMAND ${aside} ${CMAKE_SOURCE_DIR}/scripts/mpirun.sh ${ranks} $<TARGET_FILE:${name}>)
      list(APPEND tests ${name}@${ranks})
    endforeach()
  else()
    add_test(NAME ${name} COMMAND ${aside} $<TARGET_FILE:${name}>)
    set(tests ${name})
  endif()
  set_tests_properties(${tests} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}" ENVIRONMENT "${environment}")
  if(NOT ARG_ASIDE)
    unmask_alone(${tests})
  endif()
endfunction()
