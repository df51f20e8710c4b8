# What the sanitizers' presets compile otherwise.

# The headers that take most of an object's time, parsed once for all objects. Not in other builds: there a file must name what it
# uses. CMake's own precompiled headers hold the paths of their clone, so that ccache could serve no other one; this one, made of a
# system header in `/` and written to a pipe, has the same bytes in every clone, and so have the command lines that name it.
option(UNMASK_PRECOMPILED_HEADERS "Parse the large libraries' headers once (clang)" OFF)
if(UNMASK_PRECOMPILED_HEADERS)
  find_file(UNMASK_PRECOMPILED_FROM grpcpp/grpcpp.h REQUIRED)  # The largest; ccache wants a regular file.
  separate_arguments(flags UNIX_COMMAND "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_DEBUG}")
  set(headers)
  foreach(header
      google/protobuf/generated_message_reflection.h google/protobuf/map_field_inl.h google/protobuf/util/json_util.h
      absl/status/statusor.h absl/strings/str_cat.h absl/strings/str_format.h absl/strings/str_join.h absl/strings/str_split.h
      absl/time/clock.h nlohmann/json.hpp gmock/gmock.h gtest/gtest.h
      algorithm chrono filesystem fstream functional iostream map random set thread vector)
    list(APPEND headers -include ${header})
  endforeach()
  set(precompiled ${CMAKE_BINARY_DIR}/precompiled.pch)
  add_custom_command(OUTPUT ${precompiled} WORKING_DIRECTORY / COMMENT "Precompiling the large libraries' headers"
    COMMAND ${CMAKE_CXX_COMPILER} ${flags} -std=c++20 -DNOMINMAX -DGTEST_HAS_PTHREAD=1 -fpch-instantiate-templates
      -Xclang -fno-pch-timestamp ${headers} -x c++-header ${UNMASK_PRECOMPILED_FROM} -o - > ${precompiled})
  add_custom_target(unmask_precompiled DEPENDS ${precompiled})
endif()

set(UNMASK_IGNORELIST "" CACHE STRING "What the sanitizer leaves alone (clang), as seen from the build folder")

option(UNMASK_SEEN_ORDER "Show ThreadSanitizer the order that gRPC keeps" OFF)
if(UNMASK_SEEN_ORDER)
  add_library(unmask_seen_order OBJECT ${CMAKE_SOURCE_DIR}/tests/sanitizers/seen_order.cc)
endif()

function(unmask_sanitized name)
  if(UNMASK_PRECOMPILED_HEADERS)
    add_dependencies(${name} unmask_precompiled)
    target_compile_options(${name} PRIVATE "SHELL:-include-pch precompiled.pch")
  endif()
  if(UNMASK_IGNORELIST)
    target_compile_options(${name} PRIVATE -fsanitize-ignorelist=${UNMASK_IGNORELIST})
  endif()
  get_target_property(type ${name} TYPE)
  if(TARGET unmask_seen_order AND type STREQUAL EXECUTABLE)
    target_link_libraries(${name} PRIVATE $<TARGET_OBJECTS:unmask_seen_order> ${CMAKE_DL_LIBS})
  endif()
endfunction()
