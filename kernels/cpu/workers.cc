#include "kernels/cpu/workers.h"

#include <algorithm>
#include <new>

#include "absl/cleanup/cleanup.h"

namespace unmask {
namespace {

// About 40 microseconds: longer than what one worker does alone between two operations that all share, and below what a
// rank that shares the core would miss. With half of it they fall asleep within a step of few rows, which then takes a
// third longer; twice as much is kept from the threads of gRPC between two steps.
constexpr int kSpins = 1000;

// Waits for `value` to differ from `old`.
void WaitForChange(const std::atomic<uint32_t>& value, uint32_t old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    __builtin_ia32_pause();
  }
  value.wait(old, std::memory_order_acquire);
}

// The part that this thread does, and whose.
thread_local const Workers* part_of = nullptr;
thread_local int part_worker = 0;

}  // namespace

Workers::Workers(int threads, void (*on_start)()) : shares_(std::max(1, threads)) {
  threads_.reserve(std::max(0, threads - 1));
  try {
    for (int worker = 1; worker < threads; ++worker) {
      threads_.emplace_back([this, worker, on_start] {
        on_start();
        Work(worker);
      });
    }
  } catch (...) {
    Stop();  // Ends those already running.
    throw;
  }
}

Workers::~Workers() { Stop(); }

void Workers::Stop() {
  stop_ = true;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Workers::Work(int worker) {
  for (uint32_t round = 0;; ++round) {
    WaitForChange(round_, round);
    if (stop_) return;
    Drain(worker);
    if (working_.fetch_sub(1, std::memory_order_acq_rel) == 1) working_.notify_all();
  }
}

void Workers::Drain(int worker) {
  for (size_t i = 0; i < shares_.size(); ++i) {
    Share& share = shares_[(worker + i) % shares_.size()];
    for (int64_t index; (index = share.next.fetch_add(1, std::memory_order_relaxed)) < share.end;) {
      try {
        (*task_)(index, worker);
      } catch (const std::bad_alloc&) {
        out_of_memory_.store(true, std::memory_order_relaxed);
      }
    }
  }
}

bool Workers::InPart() const { return part_of == this; }

int Workers::current() const { return InPart() ? part_worker : 0; }

void Workers::Run(int64_t count, absl::FunctionRef<void(int64_t, int)> task) {
  if (count <= 1 || threads_.empty() || InPart()) {
    for (int64_t index = 0; index < count; ++index) task(index, current());
    return;
  }
  task_ = &task;
  for (int64_t worker = 0; worker < threads(); ++worker) {
    shares_[worker].next.store(count * worker / threads(), std::memory_order_relaxed);
    shares_[worker].end = count * (worker + 1) / threads();
  }
  working_.store(static_cast<uint32_t>(threads_.size()), std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  Drain(0);
  for (uint32_t left; (left = working_.load(std::memory_order_acquire)) != 0;) WaitForChange(working_, left);
  if (out_of_memory_.exchange(false, std::memory_order_relaxed)) throw std::bad_alloc();
}

void Workers::RunParts(int64_t count, absl::FunctionRef<void(int64_t)> part) {
  if (count == 1) return part(0);  // All threads are free to help with it.
  std::atomic<int64_t> next = 0;
  Run(threads(), [&](int64_t, int worker) {
    part_of = this;
    part_worker = worker;
    const absl::Cleanup leave = [] { part_of = nullptr; };
    for (int64_t index; (index = next.fetch_add(1, std::memory_order_relaxed)) < count;) part(index);
  });
}

void Workers::RunRows(int64_t rows, int64_t elements_per_row, absl::FunctionRef<void(int64_t, int64_t)> range) {
  constexpr int64_t kWorthSharing = 1 << 14;  // Elements: some microseconds of work, the price of waking a worker.
  // Some for each worker: who is held up leaves the rest of its share to the others.
  const int64_t parts = rows * elements_per_row < kWorthSharing ? 1 : std::min<int64_t>(rows, 4 * threads());
  Run(parts, [&](int64_t part, int) { range(rows * part / parts, rows * (part + 1) / parts); });
}

}  // namespace unmask
