// Philox4x32-10, a counter-based random function: the same words from the same counter and key, on every device, in any
// order. Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
//
// All of Unmask's randomness is this function of (seed, stream, denoising step, position, index), so that neither batch
// neighbours nor replays nor rank counts change a text.
#ifndef UNMASK_BASE_PHILOX_H_
#define UNMASK_BASE_PHILOX_H_

#include <array>
#include <cstdint>

namespace unmask {

using PhiloxWords = std::array<uint32_t, 4>;

constexpr PhiloxWords Philox4x32(PhiloxWords counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key1, static_cast<uint32_t>(product0)};
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return counter;
}

// What a random number is for: streams never share words.
enum class NoiseStream : uint32_t {
  kGumbel = 0,     // Index: token id / 4; word: token id % 4.
  kRemasking = 1,  // Index 0: which positions a random strategy keeps.
  kScoring = 3,    // Index 0: which positions a sample masks; index 1: how many the first of a batch masks.
};

// Four words for (seed, stream, step, position, index).
constexpr PhiloxWords Noise(uint64_t seed, NoiseStream stream, uint32_t step, uint32_t position, uint32_t index) {
  return Philox4x32({index, position, step, static_cast<uint32_t>(stream)}, static_cast<uint32_t>(seed),
                    static_cast<uint32_t>(seed >> 32));
}

}  // namespace unmask

#endif  // UNMASK_BASE_PHILOX_H_
