#include "kernels/cpu/huge_pages.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace unmask {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

// Whether the kernel was told that this address is to lie in a huge page: "hg" among its mapping's flags.
bool IsAdvised(const void* address) {
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  std::ifstream maps("/proc/self/smaps");
  bool here = false;
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin, end;  // NOLINT: what sscanf wants.
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) here = begin <= wanted && wanted < end;
    if (here && line.rfind("VmFlags:", 0) == 0) return line.find(" hg") != std::string::npos;
  }
  return false;
}

bool KernelHasHugePages() { return std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled").good(); }

TEST(HugePagesTest, WholeOnesAreAskedForAndTheRestIsNot) {
  if (!KernelHasHugePages()) GTEST_SKIP() << "this kernel has no transparent huge pages";
  char* block = static_cast<char*>(AllocateInHugePages(5 * kMiB));
  ASSERT_NE(block, nullptr);
  EXPECT_TRUE(IsAdvised(block));
  EXPECT_TRUE(IsAdvised(block + 4 * kMiB - 1));
  EXPECT_FALSE(IsAdvised(block + 4 * kMiB)) << "a page of which a part is not ours would become resident";
  std::free(block);

  void* small = AllocateInHugePages(1000);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(small) % kCacheLine, 0u);
  EXPECT_FALSE(IsAdvised(small));
  std::free(small);
}

TEST(HugePagesTest, APoolPutsSmallBlocksIntoThem) {
  if (!KernelHasHugePages()) GTEST_SKIP() << "this kernel has no transparent huge pages";
  HugePageVector<char> small(1000);
  EXPECT_TRUE(IsAdvised(small.data()));
}

// Blocks of all sizes, taken and returned in disorder by several threads: none is moved, none shares a byte with
// another.
TEST(HugePagesTest, BlocksOfAPoolAreApart) {
  HugePagePool pool;
  const auto use = [&pool](uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<std::pair<unsigned char*, size_t>> blocks;
    const auto check = [&](size_t i) {
      const auto [block, size] = blocks[i];
      const auto expected = static_cast<unsigned char>(seed + size);
      return std::all_of(block, block + size, [&](unsigned char byte) { return byte == expected; });
    };
    for (int turn = 0; turn < 400; ++turn) {
      if (blocks.size() < 20 || random() % 2 == 0) {
        const size_t size = random() % 50 == 0 ? 9 * kMiB + random() % 1000 : random() % 300000;
        auto* block = static_cast<unsigned char*>(pool.Take(size));
        ASSERT_EQ(reinterpret_cast<uintptr_t>(block) % kCacheLine, 0u);
        std::memset(block, static_cast<int>(seed + size), size);
        blocks.emplace_back(block, size);
      } else {
        const size_t i = random() % blocks.size();
        ASSERT_TRUE(check(i));
        pool.Return(blocks[i].first);
        blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
    for (size_t i = 0; i < blocks.size(); ++i) ASSERT_TRUE(check(i));
    for (const auto& [block, size] : blocks) pool.Return(block);
  };
  std::thread other(use, 2);
  use(1);
  other.join();
}

}  // namespace
}  // namespace unmask
