# The CUDA backend, in the same tree: `make cuda` sets UNMASK_CUDA and builds the target `cuda`. UNMASK_CUDA_ROOT is a
# toolkit (scripts/cuda_toolkit.sh): bin/nvcc, include, lib.
if(NOT UNMASK_CUDA_ROOT)
  message(FATAL_ERROR "UNMASK_CUDA needs UNMASK_CUDA_ROOT, a CUDA toolkit with cuBLASLt and NCCL: scripts/cuda_toolkit.sh prints one")
endif()
set(CMAKE_CUDA_COMPILER ${UNMASK_CUDA_ROOT}/bin/nvcc)
set(CUDAToolkit_ROOT ${UNMASK_CUDA_ROOT})
set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real CACHE STRING "")
set(CMAKE_CUDA_FLAGS_RELWITHDEBINFO "-O3 -DNDEBUG")
enable_language(CUDA)
set(CMAKE_CUDA_STANDARD 17)  # CMake 3.25 does not know that nvcc knows C++20.
set(CMAKE_CUDA17_STANDARD_COMPILE_OPTION -std=c++20)
if(CCACHE)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
endif()

# What a source that calls CUDA, cuBLASLt or NCCL is compiled with, and what its program links: the runtime goes into the
# program; the libraries are looked for where they were, and beside it (scripts/gpu.sh).
add_library(unmask_cuda_toolkit INTERFACE)
target_include_directories(unmask_cuda_toolkit SYSTEM INTERFACE ${UNMASK_CUDA_ROOT}/include)
find_library(UNMASK_CUDART cudart_static PATHS ${UNMASK_CUDA_ROOT}/lib64 ${UNMASK_CUDA_ROOT}/lib NO_DEFAULT_PATH REQUIRED)
find_library(UNMASK_CUBLASLT cublasLt PATHS ${UNMASK_CUDA_ROOT}/lib64 ${UNMASK_CUDA_ROOT}/lib NO_DEFAULT_PATH REQUIRED)
find_library(UNMASK_NCCL nccl PATHS ${UNMASK_CUDA_ROOT}/lib64 ${UNMASK_CUDA_ROOT}/lib REQUIRED)
target_link_libraries(unmask_cuda_toolkit INTERFACE ${UNMASK_CUBLASLT} ${UNMASK_NCCL} ${UNMASK_CUDART} Threads::Threads dl rt)

add_custom_target(cuda)  # What `make cuda` builds; folders add to it.

# unmask_cuda_binary(NAME OUTPUT file SRCS file... LIBS lib...): a program with the CUDA backend and NCCL, built on demand.
function(unmask_cuda_binary name)
  cmake_parse_arguments(ARG "" "OUTPUT" "SRCS;LIBS" ${ARGN})
  add_executable(${name} EXCLUDE_FROM_ALL ${ARG_SRCS} $<TARGET_OBJECTS:unmask_cuda> $<TARGET_OBJECTS:unmask_cuda_kernels>
    $<TARGET_OBJECTS:unmask_nccl>)
  target_link_libraries(${name} PRIVATE unmask_options ${ARG_LIBS} unmask_cluster unmask_kernels unmask_cuda_toolkit)
  cmake_path(GET ARG_OUTPUT PARENT_PATH folder)
  cmake_path(GET ARG_OUTPUT FILENAME file)
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX OUTPUT_NAME ${file}
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/cuda/${folder} BUILD_RPATH "$ORIGIN/../lib;${UNMASK_CUDA_ROOT}/lib")
  add_dependencies(cuda ${name})
endfunction()

# unmask_gpu_test(NAME SRCS file... LIBS lib... [ENV name=value...]): a GoogleTest program that runs where there is a GPU and is skipped, with
# the reason, elsewhere (tests/kernels/gpu_main.cc). Label: gpu.
function(unmask_gpu_test name)
  cmake_parse_arguments(ARG "" "" "SRCS;LIBS;ENV" ${ARGN})
  unmask_cuda_binary(${name} OUTPUT tests/bin/${name} SRCS ${ARG_SRCS} LIBS ${ARG_LIBS} GTest::gmock GTest::gtest)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 600 LABELS gpu SKIP_RETURN_CODE 77
    ENVIRONMENT "UNMASK_SOURCE_DIR=${CMAKE_SOURCE_DIR};UNMASK_BIN_DIR=${CMAKE_BINARY_DIR}/cuda/bin;${ARG_ENV}")
endfunction()
