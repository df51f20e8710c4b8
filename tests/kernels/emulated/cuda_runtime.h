// CUDA's words for kernels, for a C++ compiler: see fibers.h for what runs them.
#ifndef UNMASK_TESTS_KERNELS_EMULATED_CUDA_RUNTIME_H_
#define UNMASK_TESTS_KERNELS_EMULATED_CUDA_RUNTIME_H_

#include <cuda_runtime_api.h>

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
// Blocks run one after another on one thread: what one block leaves, the next finds, as on a device.
#define __shared__ static

#endif  // UNMASK_TESTS_KERNELS_EMULATED_CUDA_RUNTIME_H_
