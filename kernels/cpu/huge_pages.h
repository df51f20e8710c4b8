// Memory that each step reads over and over: weights, activations, long K/V. In pages of 4 KiB a step spends a tenth to
// a quarter of its time on finding them (docs/performance.md); where the kernel gives pages of 2 MiB to who asks, these
// ask.
#ifndef UNMASK_KERNELS_CPU_HUGE_PAGES_H_
#define UNMASK_KERNELS_CPU_HUGE_PAGES_H_

#include <cstddef>
#include <map>
#include <new>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"

namespace unmask {

constexpr size_t kCacheLine = 64;

// Uninitialised and aligned to kCacheLine; null where there is no memory; for std::free. The whole huge pages in it are
// asked for, so that not a byte more than `bytes` becomes resident.
void* AllocateInHugePages(size_t bytes);

// Blocks smaller than a huge page, side by side in some. By any thread.
class HugePagePool {
 public:
  static HugePagePool& Shared();  // Of the process, until its end.

  // As AllocateInHugePages. A chunk of the pool is freed with the last of its blocks.
  void* Take(size_t bytes);
  void Return(void* block);

 private:
  struct Chunk {
    size_t size = 0;
    size_t used = 0;
    size_t blocks = 0;  // Those not returned yet.
  };

  Mutex mutex_;
  std::map<char*, Chunk> chunks_ ABSL_GUARDED_BY(mutex_);  // By where they begin.
  char* open_ ABSL_GUARDED_BY(mutex_) = nullptr;           // The chunk to take from, if any.
};

// A vector whose elements lie there.
template <typename T>
struct HugePageAllocator {
  using value_type = T;
  HugePageAllocator() = default;
  template <typename U>
  HugePageAllocator(const HugePageAllocator<U>&) {}  // NOLINT: an allocator must convert.
  T* allocate(size_t n) {
    void* block = HugePagePool::Shared().Take(n * sizeof(T));
    if (block == nullptr) throw std::bad_alloc();
    return static_cast<T*>(block);
  }
  void deallocate(T* block, size_t) { HugePagePool::Shared().Return(block); }
  friend bool operator==(const HugePageAllocator&, const HugePageAllocator&) { return true; }
};
template <typename T>
using HugePageVector = std::vector<T, HugePageAllocator<T>>;

}  // namespace unmask

#endif  // UNMASK_KERNELS_CPU_HUGE_PAGES_H_
