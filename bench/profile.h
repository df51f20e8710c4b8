// A Backend that times each operation of another one. The CPU's operations are done when they return, so the clock
// around a call is the operation's time; in parts that threads compute apart, the sum of theirs.
#ifndef UNMASK_BENCH_PROFILE_H_
#define UNMASK_BENCH_PROFILE_H_

#include <array>
#include <cstdint>
#include <memory>

#include "kernels/backend.h"

namespace unmask::bench {

// SwiGLU counts as the product that it is a part of.
enum class Operation { kEmbed, kNorm, kMatMul, kRotate, kAttend, kAdd, kTakeRows, kPick };
constexpr int kOperations = 8;
const char* NameOf(Operation operation);

// Of all calls since the last Clear().
struct Profile {
  std::array<double, kOperations> seconds{};
  double flop = 0;  // Of the matrix products, the head's included.

  double& operator[](Operation operation) { return seconds[static_cast<int>(operation)]; }
  void Clear() { *this = Profile(); }
};

// `profile` must outlive the backend.
std::unique_ptr<Backend> MakeProfilingBackend(std::unique_ptr<Backend> backend, Profile* profile);

}  // namespace unmask::bench

#endif  // UNMASK_BENCH_PROFILE_H_
