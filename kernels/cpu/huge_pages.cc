#include "kernels/cpu/huge_pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>

namespace unmask {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kChunk = 4 * kHugePage;

constexpr size_t RoundUp(size_t bytes, size_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

}  // namespace

void* AllocateInHugePages(size_t bytes) {
  void* data = nullptr;
  if (posix_memalign(&data, bytes < kHugePage ? kCacheLine : kHugePage, std::max(bytes, kCacheLine)) != 0)
    return nullptr;
  const size_t whole = bytes / kHugePage * kHugePage;
  if (whole > 0) madvise(data, whole, MADV_HUGEPAGE);  // Where refused, 4 KiB will do.
  return data;
}

HugePagePool& HugePagePool::Shared() {
  static auto* const pool = new HugePagePool;
  return *pool;
}

void* HugePagePool::Take(size_t bytes) {
  bytes = RoundUp(std::max<size_t>(bytes, 1), kCacheLine);
  MutexLock lock(&mutex_);
  auto chunk = open_ == nullptr ? chunks_.end() : chunks_.find(open_);
  if (chunk == chunks_.end() || chunk->second.size - chunk->second.used < bytes) {
    const size_t size = RoundUp(bytes, kChunk);
    char* begin = static_cast<char*>(AllocateInHugePages(size));
    if (begin == nullptr) return nullptr;
    chunk = chunks_.emplace(begin, Chunk{.size = size}).first;
    open_ = begin;
  }
  char* block = chunk->first + chunk->second.used;
  chunk->second.used += bytes;
  ++chunk->second.blocks;
  return block;
}

void HugePagePool::Return(void* block) {
  MutexLock lock(&mutex_);
  const auto chunk = std::prev(chunks_.upper_bound(static_cast<char*>(block)));
  if (--chunk->second.blocks > 0) return;
  if (open_ == chunk->first) open_ = nullptr;
  std::free(chunk->first);
  chunks_.erase(chunk);
}

}  // namespace unmask
