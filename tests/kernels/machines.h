// Every way that a test's build can compute: on the CPU each instruction set this machine has, both compute dtypes,
// oneDNN's products and our own (cpu_machines.cc); CUDA's kernels on an emulated device or on a real one. One body of a
// test serves them all: which file is linked decides.
#ifndef UNMASK_TESTS_KERNELS_MACHINES_H_
#define UNMASK_TESTS_KERNELS_MACHINES_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace unmask::testing {

struct Machine {
  std::string name;
  DType dtype;
  std::function<std::unique_ptr<Backend>(int threads)> open;
  bool onednn = false;
  std::vector<int> threads = {1, 2, 3};  // Whose numbers are worth comparing.
  // Relative rounding of queries and of weights before attention multiplies them; 0: none beyond fp32's.
  double attention_unit = 0;

  std::unique_ptr<Backend> Open(int threads = 2) const { return open(threads); }
};

inline std::ostream& operator<<(std::ostream& out, const Machine& machine) { return out << machine.name; }

std::vector<Machine> AllMachines();

// Memory that host and machine both read and write, aligned to 64 bytes.
void* TakeMemory(size_t bytes);
void GiveMemory(void* memory);

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_KERNELS_MACHINES_H_
