// A step's work on the device, written down before it is begun: a list of calls, each a function with plain arguments.
//
// Steps repeat: an equal list is an equal run of kernels on the same memory, because what differs from step to step
// (tokens, positions, horizons, slots, seeds) lies in device memory that is filled anew (StepData), not in arguments. A
// list seen before is captured to a CUDA graph and from then on is one launch. Lists are cut where the number of rows
// changes, so that the layers, whose rows stay, do not follow the sampled rows, whose number shrinks step by step.
#ifndef UNMASK_KERNELS_CUDA_PROGRAM_H_
#define UNMASK_KERNELS_CUDA_PROGRAM_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <list>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/device_queue.h"

namespace unmask::cuda {

class Program {
 public:
  using Run = DeviceQueue::Run;

  explicit Program(cudaStream_t stream) : stream_(stream) {}
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // kLaunch(args, stream), later, as work on `rows` rows.
  template <auto kLaunch, typename Args>
  void Call(const char* name, int64_t rows, const Args& args) {
    static_assert(std::is_trivially_copyable_v<Args>);
    Append(
        [](const void* bytes, void* stream) {
          return static_cast<int>(kLaunch(*static_cast<const Args*>(bytes), static_cast<cudaStream_t>(stream)));
        },
        name, rows, &args, sizeof args);
  }
  void Append(Run run, const char* name, int64_t rows, const void* args, size_t bytes);

  // Gives the stream all that was written down, and forgets it.
  absl::Status Begin();
  void Clear() { segments_.clear(); }
  // Destroys the graphs; those under way end first.
  void ForgetGraphs();

 private:
  struct Entry {
    Run run;
    const char* name;
    size_t offset;  // Of the arguments in the segment's bytes.
  };
  struct Segment {
    int64_t rows = 0;
    std::vector<Entry> calls;
    std::vector<uint64_t> words;  // The calls' functions and arguments: what makes two segments equal.
  };
  struct Graph {
    std::string key;
    cudaGraphExec_t exec = nullptr;
  };

  absl::Status BeginSegment(const Segment& segment);
  absl::Status Issue(const Segment& segment);
  absl::StatusOr<cudaGraphExec_t> Capture(const Segment& segment);

  const cudaStream_t stream_;
  std::vector<Segment> segments_;
  std::unordered_set<std::string> seen_;  // Once; the second time is worth a graph.
  std::list<Graph> graphs_;               // The last used first.
  std::unordered_map<std::string, std::list<Graph>::iterator> graph_of_;
};

}  // namespace unmask::cuda

#endif  // UNMASK_KERNELS_CUDA_PROGRAM_H_
