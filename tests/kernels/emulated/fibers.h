// A block of GPU threads on one CPU thread: each is a fiber, and barriers and exchanges between lanes switch to the
// next. Deterministic; a barrier that not all reach ends the process with a message, where a device would hang.
#ifndef UNMASK_TESTS_KERNELS_EMULATED_FIBERS_H_
#define UNMASK_TESTS_KERNELS_EMULATED_FIBERS_H_

#include <cstdint>
#include <functional>

namespace unmask::emulated {

struct Index {
  unsigned x = 0, y = 0, z = 0;
};

// Of the fiber that runs.
extern Index thread_index, block_index, block_size;

// Runs `kernel` once for each of `threads` threads of each block of the grid.
void RunGrid(unsigned x, unsigned y, unsigned z, int threads, const std::function<void()>& kernel);

void SyncBlock();
void SyncWarp();

// What each lane of the warp gives, for all of them to read until each has come to another exchange: slot i is lane
// i's.
constexpr int kSlotBytes = 64;
const char (*Exchange(const void* bytes, int size))[kSlotBytes];

// This fiber's copies in flight: made, group by group, when all but the last `groups` groups are awaited. Null: zeros.
void CopyLater(void* to, const void* from, int bytes);
void EndGroupOfCopies();
void AwaitCopies(int groups);

}  // namespace unmask::emulated

#endif  // UNMASK_TESTS_KERNELS_EMULATED_FIBERS_H_
