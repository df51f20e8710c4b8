// The only file that knows NCCL. MPI brings the ranks together; sums then run on the backend's queue, between its own
// operations and in its graphs, without a word from the host.
//
// The sum keeps rank order for each element, whatever the number of ranks: NCCL's own algorithms begin where it suits
// the element's place in the buffer, so that from three ranks on a row's bits would depend on its neighbours. Here NCCL
// only moves data, and our kernel adds. A small tensor is gathered whole, which costs one exchange; of a large one each
// rank sums a slice and sends it to all, which moves no more than a ring does, 2 (n - 1) / n of the tensor.
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "cluster/device_communicator.h"
#include "cluster/forwarding.h"
#include "cluster/shard.h"
#include "kernels/cuda/launch.h"

namespace unmask {
namespace {

using std::chrono::steady_clock;

constexpr int64_t kSmall = int64_t{256} << 10;  // Values, 1 MiB: latency counts, not bandwidth.

class Nccl : public Forwarding {
 public:
  Nccl(Backend* backend, Communicator* ranks, const NcclPatience& patience)
      : Forwarding(ranks), backend_(backend), patience_(patience) {
    backend_->queue()->Watch([this](std::chrono::nanoseconds waited) { return Look(waited); });
  }
  // Never waits for anybody: what a peer has not sent by now nobody wants.
  ~Nccl() override {
    backend_->queue()->Watch(nullptr);
    Abort();
  }

  absl::Status Connect();
  void AllReduceSum(const Tensor& tensor) override;

 private:
  // One exchange; equal sums are equal bytes.
  struct Exchange {
    Nccl* self;
    float* values;
    float* gathered;
    int64_t count;
  };

  void Sum(float* values, int64_t count, int64_t rows);
  absl::Status Reserve(int64_t count);

  // Run by the queue.
  ncclResult_t Gather(const Exchange& e, cudaStream_t stream);
  ncclResult_t SwapSlices(const Exchange& e, cudaStream_t stream);
  ncclResult_t SpreadSlices(const Exchange& e, cudaStream_t stream);
  template <ncclResult_t (Nccl::*kExchange)(const Exchange&, cudaStream_t)>
  static int Run(const void* args, void* stream);
  static int AddInOrder(const void* args, void* stream) {
    return cuda::LaunchSumInOrder(*static_cast<const cuda::SumInOrderArgs*>(args), static_cast<cudaStream_t>(stream));
  }

  // Waits until NCCL has put an exchange on the stream: calls return before that.
  ncclResult_t Settle(ncclResult_t result, std::chrono::milliseconds patience);
  // Whether all is well with the exchanges that the device is at.
  absl::Status Look(std::chrono::nanoseconds waited);
  absl::Status GiveUp(const absl::Status& why);
  // The graphs first: ncclCommAbort waits until none holds an exchange of this communicator.
  void Abort() {
    if (comm_ == nullptr) return;
    backend_->queue()->ForgetKept();
    ncclCommAbort(std::exchange(comm_, nullptr));
  }

  Backend* const backend_;
  const NcclPatience patience_;
  ncclComm_t comm_ = nullptr;  // Null once given up.
  absl::Status lost_;          // Why it was given up.
  std::unique_ptr<Buffer> gathered_;
  int64_t reserved_ = 0;  // Values.
};

absl::Status Nccl::Connect() {
  ncclUniqueId id = {};
  std::string bytes;
  if (rank() == 0) {
    // Where there is no id the bytes stay empty, and every rank knows.
    if (ncclGetUniqueId(&id) == ncclSuccess) bytes.assign(id.internal, sizeof id.internal);
  }
  ranks_->Broadcast(&bytes);
  if (bytes.size() != sizeof id.internal) return absl::InternalError("NCCL: rank 0 could not make an id");
  std::memcpy(id.internal, bytes.data(), bytes.size());
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;  // Else nothing could be aborted.
  const ncclResult_t result = Settle(ncclCommInitRankConfig(&comm_, size(), id, rank(), &config), patience_.start);
  if (result == ncclSuccess) return absl::OkStatus();
  return GiveUp(absl::UnavailableError(
      absl::StrCat("NCCL: ", size(), " ranks did not find each other: ",
                   result == ncclInProgress ? absl::StrCat("no answer within ", patience_.start.count(), " ms")
                                            : ncclGetErrorString(result))));
}

void Nccl::AllReduceSum(const Tensor& tensor) {
  const bool dense = tensor.stride == tensor.columns;
  const int64_t pieces = dense ? 1 : tensor.rows;
  const int64_t count = dense ? tensor.rows * tensor.columns : tensor.columns;
  for (int64_t piece = 0; piece < pieces && count > 0; ++piece) {
    Sum(tensor.f32() + piece * tensor.stride, count, tensor.rows);
  }
}

absl::Status Nccl::Reserve(int64_t count) {
  if (count <= reserved_) return absl::OkStatus();
  UNMASK_ASSIGN_OR_RETURN(gathered_, backend_->Allocate(count * static_cast<int64_t>(sizeof(float))));
  reserved_ = count;
  return absl::OkStatus();
}

void Nccl::Sum(float* values, int64_t count, int64_t rows) {
  DeviceQueue* const queue = backend_->queue();
  const bool small = count <= kSmall;
  const Range own = small ? Range{0, count} : Slice(count, size(), rank());
  if (const absl::Status status = Reserve(own.size() * size()); !status.ok()) {
    queue->Fail(Annotate(status, "summing over ranks"));
    return;
  }
  const Exchange exchange = {this, values, static_cast<float*>(gathered_->data()), count};
  const cuda::SumInOrderArgs add = {exchange.gathered, values + own.begin, own.size(), own.size(), size()};
  queue->Append("gathering over ranks", rows, small ? Run<&Nccl::Gather> : Run<&Nccl::SwapSlices>, &exchange,
                sizeof exchange);
  queue->Append("summing over ranks", rows, AddInOrder, &add, sizeof add);
  if (!small) queue->Append("spreading sums over ranks", rows, Run<&Nccl::SpreadSlices>, &exchange, sizeof exchange);
}

template <ncclResult_t (Nccl::*kExchange)(const Nccl::Exchange&, cudaStream_t)>
int Nccl::Run(const void* args, void* stream) {
  const auto& exchange = *static_cast<const Exchange*>(args);
  Nccl& self = *exchange.self;
  if (self.comm_ == nullptr) return cudaErrorUnknown;
  const ncclResult_t result =
      self.Settle((self.*kExchange)(exchange, static_cast<cudaStream_t>(stream)), self.patience_.step);
  if (result == ncclSuccess) return cudaSuccess;
  LogError("NCCL: ", result == ncclInProgress ? "an exchange was not begun in time" : ncclGetErrorString(result));
  return cudaErrorUnknown;
}

ncclResult_t Nccl::Gather(const Exchange& e, cudaStream_t stream) {
  return ncclAllGather(e.values, e.gathered, e.count, ncclFloat32, comm_, stream);
}

ncclResult_t Nccl::SwapSlices(const Exchange& e, cudaStream_t stream) {
  const Range own = Slice(e.count, size(), rank());
  ncclGroupStart();
  for (int peer = 0; peer < size(); ++peer) {
    const Range theirs = Slice(e.count, size(), peer);
    ncclSend(e.values + theirs.begin, theirs.size(), ncclFloat32, peer, comm_, stream);
    ncclRecv(e.gathered + peer * own.size(), own.size(), ncclFloat32, peer, comm_, stream);
  }
  return ncclGroupEnd();
}

ncclResult_t Nccl::SpreadSlices(const Exchange& e, cudaStream_t stream) {
  ncclGroupStart();
  for (int owner = 0; owner < size(); ++owner) {
    const Range slice = Slice(e.count, size(), owner);
    ncclBroadcast(e.values + slice.begin, e.values + slice.begin, slice.size(), ncclFloat32, owner, comm_, stream);
  }
  return ncclGroupEnd();
}

ncclResult_t Nccl::Settle(ncclResult_t result, std::chrono::milliseconds patience) {
  const auto deadline = steady_clock::now() + patience;
  while (result == ncclInProgress) {
    if (const ncclResult_t asked = ncclCommGetAsyncError(comm_, &result); asked != ncclSuccess) return asked;
    if (result != ncclInProgress || steady_clock::now() > deadline) break;
    std::this_thread::yield();
  }
  return result;
}

absl::Status Nccl::Look(std::chrono::nanoseconds waited) {
  if (comm_ == nullptr) return lost_;
  ncclResult_t result = ncclSuccess;
  if (const ncclResult_t asked = ncclCommGetAsyncError(comm_, &result); asked != ncclSuccess) result = asked;
  if (result != ncclSuccess && result != ncclInProgress) {
    return GiveUp(absl::UnavailableError(absl::StrCat("NCCL: ", ncclGetErrorString(result))));
  }
  if (waited < patience_.step) return absl::OkStatus();
  return GiveUp(absl::DeadlineExceededError(
      absl::StrCat("NCCL: ", size(), " ranks have not summed within ", patience_.step.count(), " ms")));
}

absl::Status Nccl::GiveUp(const absl::Status& why) {
  lost_ = why;
  Abort();  // Which also ends the kernels that wait for a peer.
  return why;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> NcclCommunicator(Backend* backend, Communicator* ranks,
                                                               const NcclPatience& patience) {
  auto nccl = std::make_unique<Nccl>(backend, ranks, patience);
  UNMASK_RETURN_IF_ERROR(nccl->Connect());
  return nccl;
}

}  // namespace unmask
