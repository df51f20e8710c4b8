// The threads of one CPU backend. Work is cut into tasks that write to different places and whose results do not depend
// on who runs them: the number of threads changes no bit.
//
// Own threads rather than OpenMP's: two ranks on one core must not spin against each other, and an idle rank sleeps. A
// worker spins for some microseconds after a task, since the next operation usually follows at once, then waits in the
// kernel.
#ifndef UNMASK_KERNELS_CPU_WORKERS_H_
#define UNMASK_KERNELS_CPU_WORKERS_H_

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

namespace unmask {

class Workers {
 public:
  // `threads` >= 1, the caller of Run included. `on_start` runs first in each thread started. Throws std::system_error
  // where no thread can be started.
  Workers(int threads, void (*on_start)());
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  int threads() const { return static_cast<int>(threads_.size()) + 1; }

  // task(index, worker) for each index in [0, count), in any order, worker in [0, threads()). Each worker begins with
  // the share of the indices that is its own in every call, so that where they go by rows it finds in its cache what it
  // wrote in the operation before; then it helps the others. Returns when all are done. One caller at a time, but for
  // parts (below), whose calls stay on their own thread. Tasks throw nothing but std::bad_alloc, which Run then throws.
  void Run(int64_t count, absl::FunctionRef<void(int64_t index, int worker)> task);

  // range(begin, end) over [0, rows), cut evenly: for rows that cost the same. Work too small to share stays here.
  void RunRows(int64_t rows, int64_t elements_per_row, absl::FunctionRef<void(int64_t begin, int64_t end)> range);

  // part(i) for each i in [0, count), begun in this order by whoever is free; what one of several parts Runs, its thread
  // does alone.
  void RunParts(int64_t count, absl::FunctionRef<void(int64_t index)> part);

  // Which worker the calling thread is while it does a part; else 0, the caller of Run.
  int current() const;

 private:
  void Work(int worker);
  void Drain(int worker);
  bool InPart() const;
  void Stop();

  // Set by Run before the round begins and left alone until every worker has reported.
  const absl::FunctionRef<void(int64_t, int)>* task_ = nullptr;
  struct alignas(64) Share {
    std::atomic<int64_t> next{0};  // The next index to take.
    int64_t end = 0;
  };
  std::vector<Share> shares_;  // Of each worker.

  std::atomic<uint32_t> round_{0};    // Counts calls of Run; workers wait for it to change.
  std::atomic<uint32_t> working_{0};  // Workers that have not finished the round.
  std::atomic<bool> out_of_memory_{false};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace unmask

#endif  // UNMASK_KERNELS_CPU_WORKERS_H_
