// The main of tests that run alone and under mpirun.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "cluster/communicator.h"
#include "kernels/backend.h"
#include "tests/worker/rank_harness.h"

namespace unmask::testing {
namespace {
std::unique_ptr<Communicator> ranks;
}
Communicator* Ranks() { return ranks.get(); }
}  // namespace unmask::testing

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (const char* device = std::getenv("UNMASK_TEST_DEVICE")) {
    if (const auto backend = unmask::OpenBackend(device, {}); !backend.ok()) {
      std::printf("[  SKIPPED ] all: %s\n", std::string(backend.status().message()).c_str());
      return 77;
    }
  }
  auto& ranks = unmask::testing::ranks;
  ranks = unmask::SoloCommunicator();
  if (std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr) {
    auto communicator = unmask::MpiCommunicator(&argc, &argv);
    if (!communicator.ok()) return 1;
    ranks = *std::move(communicator);
  }
  if (ranks->rank() != 0) {  // One report is enough, unless a rank fails.
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
  }
  const int result = RUN_ALL_TESTS();
  if (result != 0) std::fprintf(stderr, "rank %d failed\n", ranks->rank());
  ranks = nullptr;
  return result;
}
