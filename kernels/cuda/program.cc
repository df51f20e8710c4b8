#include "kernels/cuda/program.h"

#include <cstring>
#include <utility>

#include "base/status.h"
#include "kernels/cuda/errors.h"

namespace unmask::cuda {
namespace {

constexpr size_t kShortest = 8;     // Calls that a graph is worth.
constexpr size_t kMostGraphs = 64;  // Of a few MiB each, for a model of 32 layers.
constexpr size_t kMostSeen = 1024;

}  // namespace

Program::~Program() { ForgetGraphs(); }

void Program::ForgetGraphs() {
  for (const Graph& graph : graphs_) cudaGraphExecDestroy(graph.exec);
  graphs_.clear();
  graph_of_.clear();
}

void Program::Append(Run run, const char* name, int64_t rows, const void* args, size_t bytes) {
  if (segments_.empty() || segments_.back().rows != rows) segments_.push_back({.rows = rows});
  Segment& segment = segments_.back();
  segment.words.push_back(reinterpret_cast<uint64_t>(run));
  segment.calls.push_back({run, name, segment.words.size()});
  segment.words.resize(segment.words.size() + (bytes + 7) / 8);
  std::memcpy(segment.words.data() + segment.calls.back().offset, args, bytes);
}

absl::Status Program::Begin() {
  const std::vector<Segment> segments = std::exchange(segments_, {});
  for (const Segment& segment : segments) UNMASK_RETURN_IF_ERROR(BeginSegment(segment));
  return absl::OkStatus();
}

absl::Status Program::BeginSegment(const Segment& segment) {
  if (segment.calls.size() < kShortest) return Issue(segment);
  std::string key(reinterpret_cast<const char*>(segment.words.data()), segment.words.size() * sizeof(uint64_t));
  const auto known = graph_of_.find(key);
  if (known != graph_of_.end()) {
    graphs_.splice(graphs_.begin(), graphs_, known->second);
    return ToStatus(cudaGraphLaunch(known->second->exec, stream_), "launching a step's graph");
  }
  if (seen_.erase(key) == 0) {  // The first time, which also loads the kernels: a capture must not.
    if (seen_.size() >= kMostSeen) seen_.clear();
    seen_.insert(std::move(key));
    return Issue(segment);
  }
  UNMASK_ASSIGN_OR_RETURN(cudaGraphExec_t const exec, Capture(segment));
  if (graphs_.size() >= kMostGraphs) {
    cudaGraphExecDestroy(graphs_.back().exec);
    graph_of_.erase(graphs_.back().key);
    graphs_.pop_back();
  }
  graphs_.push_front({key, exec});
  graph_of_[std::move(key)] = graphs_.begin();
  return ToStatus(cudaGraphLaunch(exec, stream_), "launching a step's graph");
}

absl::Status Program::Issue(const Segment& segment) {
  for (const Entry& call : segment.calls) {
    const auto error = static_cast<cudaError_t>(call.run(segment.words.data() + call.offset, stream_));
    if (error != cudaSuccess) return ToStatus(error, call.name);
  }
  return absl::OkStatus();
}

absl::StatusOr<cudaGraphExec_t> Program::Capture(const Segment& segment) {
  UNMASK_RETURN_IF_ERROR(
      ToStatus(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "capturing a step"));
  const absl::Status issued = Issue(segment);
  cudaGraph_t graph = nullptr;
  const absl::Status captured = ToStatus(cudaStreamEndCapture(stream_, &graph), "capturing a step");
  UNMASK_RETURN_IF_ERROR(issued);
  UNMASK_RETURN_IF_ERROR(captured);
  cudaGraphExec_t exec = nullptr;
  const absl::Status made = ToStatus(cudaGraphInstantiate(&exec, graph, 0), "instantiating a step's graph");
  cudaGraphDestroy(graph);
  UNMASK_RETURN_IF_ERROR(made);
  return exec;
}

}  // namespace unmask::cuda
