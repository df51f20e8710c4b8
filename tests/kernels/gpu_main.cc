// The main of tests that need a GPU: skipped, with the reason, where there is none.
#include <cstdio>

#include "gtest/gtest.h"
#include "kernels/backend.h"

int main(int argc, char** argv) {
  constexpr int kSkipped = 77;
  testing::InitGoogleTest(&argc, argv);
  const auto backend = unmask::OpenBackend("cuda", {});
  if (!backend.ok()) {
    std::printf("[  SKIPPED ] all: %s\n", std::string(backend.status().message()).c_str());
    return kSkipped;
  }
  std::printf("device: %s\n", (*backend)->Numerics().c_str());
  return RUN_ALL_TESTS();
}
