// Opening a backend, its memory, and how failures stick.
#include "kernels/backend.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/cpu/workers.h"
#include "tests/kernels/matrix.h"

namespace unmask::testing {
namespace {

using ::testing::HasSubstr;

TEST(BackendTest, RefusesWhatItCannotOpen) {
  EXPECT_EQ(OpenBackend("tpu", {}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(OpenBackend("cuda", {}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(OpenBackend("cpu", {.compute_dtype = DType::kF16}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(OpenBackend("cpu", {.threads = 0}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(OpenBackend("cpu", {.threads = 1025}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(BackendTest, NumericsNameDtypeAndInstructionSet) {
  const auto fp32 = OpenBackend("cpu", {.compute_dtype = DType::kF32}).value();
  const auto bf16 = OpenBackend("cpu", {.compute_dtype = DType::kBf16}).value();
  EXPECT_THAT(fp32->Numerics(), HasSubstr("cpu fp32 x86-64-v"));
  EXPECT_THAT(bf16->Numerics(), HasSubstr("cpu bf16 x86-64-v"));
  if (CpuComputesBf16()) {
    const bool tiles = BestKernels().multiply_tiles != nullptr;
    EXPECT_THAT(bf16->Numerics(), HasSubstr(tiles ? "tiles" : "onednn-"));
  }
}

TEST(BackendTest, MemoryIsAlignedAndItsLackIsAnError) {
  const auto backend = OpenBackend("cpu", {}).value();
  for (const int64_t bytes : {0, 1, 1000}) {
    const auto buffer = backend->Allocate(bytes);
    ASSERT_TRUE(buffer.ok());
    ASSERT_NE((*buffer)->data(), nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>((*buffer)->data()) % 64, 0u);
  }
  EXPECT_EQ(backend->Allocate(int64_t{1} << 60).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(backend->Allocate(-1).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(BackendTest, TheFirstFailureSticksUntilItIsReported) {
  const auto backend = OpenBackend("cpu", {}).value();
  Matrix a(DType::kF32, 2, 3), b(DType::kF32, 2, 4), sum(DType::kF32, 2, 3);
  a.FillIntegers(1, 2);
  sum.Fill([](int64_t, int64_t) { return 0.0f; });
  backend->Add(b.tensor(), sum.tensor());
  backend->TakeRows(a.tensor(), {5}, sum.tensor());  // Another failure, not the first.
  backend->Add(a.tensor(), sum.tensor());            // Not run.
  const absl::Status status = backend->Synchronize();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("Add: delta is (2, 4) fp32, not (2, 3) fp32"));
  EXPECT_EQ(sum.At(0, 0), 0);
  backend->Add(a.tensor(), sum.tensor());
  EXPECT_EQ(backend->Synchronize(), absl::OkStatus());
  EXPECT_EQ(sum.At(0, 0), a.At(0, 0));
}

TEST(BackendTest, AFailureInOnePartIsTheSteps) {
  const auto backend = OpenBackend("cpu", {.threads = 3}).value();
  ASSERT_EQ(backend->parts_at_once(), 3);
  for (const int culprit : {0, 20, 39}) {
    Matrix delta(DType::kF32, 2, 3), wrong(DType::kF32, 2, 4);
    delta.FillIntegers(1, 2);
    std::deque<Matrix> sums;
    for (int i = 0; i < 40; ++i) sums.emplace_back(DType::kF32, 2, 3).FillIntegers(2, 2);
    backend->RunParts(
        40, [&](int64_t i) { backend->Add(i == culprit ? wrong.tensor() : delta.tensor(), sums[i].tensor()); });
    EXPECT_THAT(std::string(backend->Synchronize().message()), HasSubstr("Add: delta is (2, 4) fp32"));
    EXPECT_EQ(backend->Synchronize(), absl::OkStatus());
    backend->Add(delta.tensor(), sums[culprit].tensor());
    EXPECT_EQ(backend->Synchronize(), absl::OkStatus());
  }
}

TEST(BackendTest, PackingNonsenseIsAnError) {
  const auto backend = OpenBackend("cpu", {}).value();
  Matrix three(DType::kF32, 2, 3), four(DType::kF32, 2, 4), none(DType::kF32, 0, 4);
  EXPECT_EQ(backend->Pack({}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(backend->Pack({none.tensor()}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(backend->Pack({three.tensor(), four.tensor()}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(BackendTest, DownloadDropsTheStride) {
  const auto backend = OpenBackend("cpu", {}).value();
  Matrix a(DType::kF32, 3, 5, 4);
  a.FillIntegers(1, 9);
  std::vector<float> host(15);
  backend->Download(a.tensor(), absl::MakeSpan(host));
  ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
  for (int i = 0; i < 15; ++i) EXPECT_EQ(host[i], a.At(i / 5, i % 5));
}

TEST(WorkersTest, EveryTaskRunsOnceByAValidWorker) {
  for (const int threads : {1, 2, 5}) {
    Workers workers(threads, [] {});
    ASSERT_EQ(workers.threads(), threads);
    for (int round = 0; round < 300; ++round) {
      std::vector<std::atomic<int>> runs(round % 17);
      workers.Run(static_cast<int64_t>(runs.size()), [&](int64_t index, int worker) {
        EXPECT_GE(worker, 0);
        EXPECT_LT(worker, threads);
        runs[index].fetch_add(1);
      });
      for (const auto& count : runs) ASSERT_EQ(count, 1);
    }
  }
}

TEST(WorkersTest, WhatAPartRunsItsThreadDoesAlone) {
  Workers workers(4, [] {});
  std::vector<std::atomic<int>> runs(64 * 8);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  workers.RunParts(64, [&](int64_t part) {
    const std::thread::id self = std::this_thread::get_id();
    {
      const std::lock_guard lock(mutex);
      threads.insert(self);
    }
    const int worker = workers.current();
    workers.Run(8, [&](int64_t index, int inner) {
      EXPECT_EQ(std::this_thread::get_id(), self);
      EXPECT_EQ(inner, worker);
      runs[part * 8 + index].fetch_add(1);
      std::this_thread::sleep_for(std::chrono::microseconds(50));  // So that the others come to their parts.
    });
  });
  for (const auto& count : runs) EXPECT_EQ(count, 1);
  EXPECT_GT(threads.size(), 1u);
  EXPECT_EQ(workers.current(), 0);
}

TEST(WorkersTest, OnePartAloneIsDoneByAll) {
  Workers workers(4, [] {});
  std::mutex mutex;
  std::set<int> seen;
  workers.RunParts(1, [&](int64_t) {
    workers.Run(400, [&](int64_t, int worker) {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
      const std::lock_guard lock(mutex);
      seen.insert(worker);
    });
  });
  EXPECT_GT(seen.size(), 1u);
}

TEST(WorkersTest, WhenATaskFindsNoMemoryRunSaysSoAndGoesOnAfterwards) {
  Workers workers(3, [] {});
  for (const int culprit : {0, 50, 99}) {
    EXPECT_THROW(workers.Run(100,
                             [&](int64_t index, int) {
                               if (index == culprit) throw std::bad_alloc();
                             }),
                 std::bad_alloc);
    std::atomic<int> runs = 0;
    workers.Run(100, [&](int64_t, int) { ++runs; });
    EXPECT_EQ(runs, 100);
  }
}

TEST(WorkersTest, RowsAreCoveredOnce) {
  Workers workers(3, [] {});
  for (const int rows : {0, 1, 2, 3, 100}) {
    std::vector<std::atomic<int>> seen(rows);
    workers.RunRows(rows, 1 << 20, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) seen[r].fetch_add(1);
    });
    for (const auto& count : seen) EXPECT_EQ(count, 1);
  }
}

}  // namespace
}  // namespace unmask::testing
