#include "tests/kernels/emulated/fibers.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

// switch_fiber(&from, to): pushes what a call keeps, leaves the stack pointer in *from and takes up that of `to`.
asm(R"(
.text
.type unmask_switch_fiber, @function
unmask_switch_fiber:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size unmask_switch_fiber, .-unmask_switch_fiber
)");
extern "C" void unmask_switch_fiber(void** from, void* to);

namespace unmask::emulated {

Index thread_index, block_index, block_size;

namespace {

constexpr int kMostThreads = 1024;
constexpr size_t kStackBytes = 64 * 1024;
constexpr int kLanes = 32;

struct Barrier {
  int arrived = 0;
  uint64_t generation = 0;
};

struct Warp {
  Barrier barrier;
  int alive = 0;
  char slots[2][kLanes][kSlotBytes];
};

struct Copy {
  void* to;
  const void* from;
  int bytes;
};

struct Fiber {
  void* stack_pointer = nullptr;
  std::unique_ptr<char[]> stack;
  bool done = false;
  int exchanges = 0;
  std::vector<Copy> copies;  // Of the group that has not ended.
  std::deque<std::vector<Copy>> groups;
};

Fiber fibers[kMostThreads];
Warp warps[kMostThreads / kLanes];
Barrier block_barrier;
int threads_of_block = 0, alive = 0, running = 0;
uint64_t progress = 0;  // Counts what is not waiting.
void* scheduler = nullptr;
const std::function<void()>* kernel_of_block = nullptr;

void Yield() { unmask_switch_fiber(&fibers[running].stack_pointer, scheduler); }

// The last to come lets all go on.
void Wait(Barrier* barrier, const int* expected) {
  const uint64_t generation = barrier->generation;
  ++progress;
  if (++barrier->arrived == *expected) {
    barrier->arrived = 0;
    ++barrier->generation;
    return;
  }
  while (barrier->generation == generation) Yield();
}

void Enter() {
  (*kernel_of_block)();
  ++progress;
  fibers[running].done = true;
  --alive;
  --warps[running / kLanes].alive;
  Yield();
  std::abort();  // Nobody switches to what is done.
}

void Prepare(Fiber* fiber) {
  if (fiber->stack == nullptr) fiber->stack = std::make_unique<char[]>(kStackBytes);
  fiber->done = false;
  fiber->exchanges = 0;
  fiber->copies.clear();
  fiber->groups.clear();
  // As if it had called switch_fiber from Enter's first instruction: six registers and an address to return to. A
  // function begins with the stack 8 bytes off a multiple of 16.
  auto top = reinterpret_cast<uintptr_t>(fiber->stack.get() + kStackBytes) / 16 * 16;
  auto* frame = reinterpret_cast<void**>(top) - 8;
  for (int i = 0; i < 6; ++i) frame[i] = nullptr;
  frame[6] = reinterpret_cast<void*>(&Enter);
  frame[7] = nullptr;
  fiber->stack_pointer = frame;
}

void RunBlock() {
  alive = threads_of_block;
  block_barrier = {};
  for (Warp& warp : warps) warp.alive = 0, warp.barrier = {};
  for (int i = 0; i < threads_of_block; ++i) {
    Prepare(&fibers[i]);
    ++warps[i / kLanes].alive;
  }
  while (alive > 0) {
    const uint64_t before = progress;
    for (int i = 0; i < threads_of_block; ++i) {
      if (fibers[i].done) continue;
      running = i;
      thread_index.x = static_cast<unsigned>(i);
      unmask_switch_fiber(&scheduler, fibers[i].stack_pointer);
    }
    if (progress == before) {
      std::fprintf(stderr, "emulated device: %d threads of a block wait at a barrier that the others do not reach\n",
                   alive);
      std::abort();
    }
  }
}

}  // namespace

void RunGrid(unsigned x, unsigned y, unsigned z, int threads, const std::function<void()>& kernel) {
  if (threads < 1 || threads > kMostThreads || y > 65535 || z > 65535) {
    std::fprintf(stderr, "emulated device: no grid of (%u, %u, %u) blocks of %d threads\n", x, y, z, threads);
    std::abort();
  }
  kernel_of_block = &kernel;
  threads_of_block = threads;
  block_size = {static_cast<unsigned>(threads), 1, 1};
  for (block_index.z = 0; block_index.z < z; ++block_index.z) {
    for (block_index.y = 0; block_index.y < y; ++block_index.y) {
      for (block_index.x = 0; block_index.x < x; ++block_index.x) RunBlock();
    }
  }
}

void SyncBlock() { Wait(&block_barrier, &alive); }

void SyncWarp() {
  Warp& warp = warps[running / kLanes];
  Wait(&warp.barrier, &warp.alive);
}

const char (*Exchange(const void* bytes, int size))[kSlotBytes] {
  Warp& warp = warps[running / kLanes];
  // Two sets in turn: whoever writes one again has met, since, all who might still have read it.
  auto* slots = warp.slots[fibers[running].exchanges++ % 2];
  std::memcpy(slots[running % kLanes], bytes, size);
  SyncWarp();
  return slots;
}

void CopyLater(void* to, const void* from, int bytes) { fibers[running].copies.push_back({to, from, bytes}); }

void EndGroupOfCopies() {
  fibers[running].groups.push_back(std::move(fibers[running].copies));
  fibers[running].copies.clear();
}

void AwaitCopies(int groups) {
  auto& pending = fibers[running].groups;
  for (; static_cast<int>(pending.size()) > groups; pending.pop_front()) {
    for (const Copy& copy : pending.front()) {
      if (copy.from != nullptr) {
        std::memcpy(copy.to, copy.from, copy.bytes);
      } else {
        std::memset(copy.to, 0, copy.bytes);
      }
    }
  }
}

}  // namespace unmask::emulated
