// The NCCL communicator, the real one, on an emulated device and with a stand-in for the library. Runs under mpirun:
// each test is executed by all ranks together.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nccl.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cluster/communicator.h"
#include "cluster/device_communicator.h"
#include "kernels/cuda/backend_cuda.h"

namespace unmask {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::StandIn;
using testing::TheStandIn;

Communicator* ranks;

std::vector<float> Addend(int rank, int64_t size) {
  std::mt19937 random(1000 * rank + 7);
  std::vector<float> values(size);
  for (float& value : values) {
    value = std::ldexp(static_cast<float>(random() % 20001) / 10000 - 1, static_cast<int>(random() % 24) - 12);
  }
  return values;
}

std::vector<float> InRankOrder(int64_t size) {
  std::vector<float> sum = Addend(0, size);
  for (int rank = 1; rank < ranks->size(); ++rank) {
    const auto addend = Addend(rank, size);
    for (int64_t i = 0; i < size; ++i) sum[i] += addend[i];
  }
  return sum;
}

class NcclTest : public ::testing::Test {
 protected:
  NcclTest() : backend_(OpenCudaBackend({}).value()) {
    TheStandIn() = {.ranks = ranks};
    emulated::Stuck() = false;
  }

  // The sum of every rank's values, as (rows, columns).
  absl::Status Sum(Communicator* nccl, std::vector<float>* values, int64_t rows) {
    const int64_t columns = static_cast<int64_t>(values->size()) / rows;
    const auto memory = backend_->Allocate(values->size() * sizeof(float)).value();
    const Tensor tensor = {DType::kF32, rows, columns, columns, memory->data()};
    backend_->Upload({DType::kF32, rows, columns, columns, values->data()}, tensor);
    nccl->AllReduceSum(tensor);
    backend_->Download(tensor, absl::MakeSpan(*values));
    return backend_->Synchronize();
  }

  std::unique_ptr<Backend> backend_;
};

TEST_F(NcclTest, SumsInRankOrderBitForBit) {
  TheStandIn().begin_late = 3;  // Calls that return before they have begun are awaited.
  const auto nccl = NcclCommunicator(backend_.get(), ranks).value();
  EXPECT_FALSE(TheStandIn().blocking) << "could not be aborted";
  for (const int64_t size : {1, 2, 5, 1000, 262144, 262145, 600001}) {  // Gathered whole, and in slices.
    std::vector<float> values = Addend(ranks->rank(), size);
    ASSERT_EQ(Sum(nccl.get(), &values, 1), absl::OkStatus());
    const auto expected = InRankOrder(size);
    EXPECT_EQ(0, std::memcmp(values.data(), expected.data(), size * sizeof(float))) << size << " values";
  }
}

TEST_F(NcclTest, IsWhatDevicesOfTheirOwnSumBy) {
  const auto chosen = DeviceCommunicator(backend_.get(), ranks).value();
  std::vector<float> values = Addend(ranks->rank(), 100);
  ASSERT_EQ(Sum(chosen.get(), &values, 10), absl::OkStatus());
  EXPECT_EQ(values, InRankOrder(100));
  EXPECT_THAT(TheStandIn().calls, ElementsAre("Init", "AllGather"));
}

TEST_F(NcclTest, RanksThatShareADeviceSumThroughTheHost) {
  setenv("UNMASK_EMULATED_SHARED_DEVICE", "1", 1);
  backend_ = OpenCudaBackend({}).value();
  unsetenv("UNMASK_EMULATED_SHARED_DEVICE");
  const auto chosen = DeviceCommunicator(backend_.get(), ranks).value();
  std::vector<float> values = Addend(ranks->rank(), 100);
  ASSERT_EQ(Sum(chosen.get(), &values, 10), absl::OkStatus());
  EXPECT_EQ(values, InRankOrder(100));
  EXPECT_THAT(TheStandIn().calls, ElementsAre());
  ranks->Barrier();
}

TEST_F(NcclTest, AnErrorOfAPeerEndsTheStep) {
  const auto nccl = NcclCommunicator(backend_.get(), ranks).value();
  std::vector<float> values = Addend(ranks->rank(), 8);
  emulated::Stuck() = true;               // The device waits for the peer,
  TheStandIn().answer = ncclRemoteError;  // of which NCCL hears that it is gone.
  const absl::Status status = Sum(nccl.get(), &values, 1);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("NCCL: remote error"));
  EXPECT_THAT(TheStandIn().calls, ElementsAre("Init", "AllGather", "Abort"));
  // Nothing is asked of the communicator any more; the ranks' own still serves to tell each other.
  EXPECT_FALSE(Sum(nccl.get(), &values, 1).ok());
  EXPECT_EQ(TheStandIn().calls.size(), 3u);
  ranks->Barrier();
}

TEST_F(NcclTest, GraphsAreLetGoBeforeTheCommunicatorIs) {
  auto nccl = NcclCommunicator(backend_.get(), ranks).value();
  const auto memory = backend_->Allocate(8 * sizeof(float)).value();
  const Tensor tensor = {DType::kF32, 1, 8, 8, memory->data()};
  std::vector<float> values(8, 1);
  backend_->Upload({DType::kF32, 1, 8, 8, values.data()}, tensor);
  const auto step = [&] {
    for (int i = 0; i < 6; ++i) nccl->AllReduceSum(tensor);
    return backend_->Synchronize();
  };
  for (int i = 0; i < 3; ++i) ASSERT_EQ(step(), absl::OkStatus());
  ASSERT_GT(emulated::Counted().graphs, 0) << "the steps are not repeated as a graph";
  TheStandIn().calls.clear();
  nccl = nullptr;
  EXPECT_THAT(TheStandIn().calls, ElementsAre("Abort"));
  EXPECT_EQ(emulated::Counted().graphs, 0);
  ranks->Barrier();
}

TEST_F(NcclTest, ASumThatNeverEndsIsGivenUpInTime) {
  const auto nccl = NcclCommunicator(backend_.get(), ranks, {.step = milliseconds(200)}).value();
  std::vector<float> values = Addend(ranks->rank(), 8);
  emulated::Stuck() = true;  // And NCCL hears nothing.
  const auto begin = steady_clock::now();
  const absl::Status status = Sum(nccl.get(), &values, 1);
  const auto waited = steady_clock::now() - begin;
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("have not summed within 200 ms"));
  EXPECT_THAT(TheStandIn().calls, ElementsAre("Init", "AllGather", "Abort"));
  EXPECT_GE(waited, milliseconds(200));
  EXPECT_LT(waited, std::chrono::seconds(20));
  ranks->Barrier();
}

TEST_F(NcclTest, AnExchangeThatDoesNotBeginIsGivenUp) {
  const auto nccl = NcclCommunicator(backend_.get(), ranks, {.step = milliseconds(100)}).value();
  std::vector<float> values = Addend(ranks->rank(), 8);
  TheStandIn().answer = ncclInProgress;
  TheStandIn().begin_late = 1;
  EXPECT_FALSE(Sum(nccl.get(), &values, 1).ok());
}

TEST_F(NcclTest, RanksThatDoNotFindEachOtherAreAnError) {
  TheStandIn().answer = ncclInProgress;
  const auto late = NcclCommunicator(backend_.get(), ranks, {.start = milliseconds(100)});
  EXPECT_EQ(late.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(late.status().message()), HasSubstr("did not find each other: no answer within 100 ms"));
  TheStandIn().answer = ncclRemoteError;
  const auto lost = NcclCommunicator(backend_.get(), ranks);
  EXPECT_THAT(std::string(lost.status().message()), HasSubstr("remote error"));
  EXPECT_THAT(TheStandIn().calls, ElementsAre("Init", "Abort", "Init", "Abort"));
  EXPECT_EQ(backend_->Synchronize(), absl::OkStatus()) << "a communicator that is gone still looks";
}

// A step that repeats is one graph, exchanges included.
TEST_F(NcclTest, SumsAreKeptInGraphs) {
  const auto nccl = NcclCommunicator(backend_.get(), ranks).value();
  constexpr int kSums = 8;
  const auto memory = backend_->Allocate(64 * sizeof(float)).value();
  const Tensor tensor = {DType::kF32, 4, 16, 16, memory->data()};
  for (int step = 0; step < 4; ++step) {
    std::vector<float> values = Addend(ranks->rank() + 10 * step, 64);
    backend_->Upload({DType::kF32, 4, 16, 16, values.data()}, tensor);
    const int launches = emulated::Counted().graph_launches;
    for (int i = 0; i < kSums; ++i) nccl->AllReduceSum(tensor);
    backend_->Download(tensor, absl::MakeSpan(values));
    ASSERT_EQ(backend_->Synchronize(), absl::OkStatus());
    EXPECT_EQ(emulated::Counted().graph_launches - launches, step == 0 ? 0 : 1);
    std::vector<float> expected(64, 0.0f);
    for (int rank = 0; rank < ranks->size(); ++rank) {
      const auto addend = Addend(rank + 10 * step, 64);
      for (int i = 0; i < 64; ++i) expected[i] = rank == 0 ? addend[i] : expected[i] + addend[i];
    }
    for (int i = 1; i < kSums; ++i) {
      for (float& value : expected) {
        float sum = value;
        for (int rank = 1; rank < ranks->size(); ++rank) sum += value;
        value = sum;
      }
    }
    EXPECT_EQ(values, expected) << "step " << step;
  }
}

}  // namespace
}  // namespace unmask

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  auto communicator = unmask::MpiCommunicator(&argc, &argv);
  if (!communicator.ok()) return 1;
  unmask::ranks = communicator->get();
  return RUN_ALL_TESTS();
}
