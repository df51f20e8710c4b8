// The only file that knows MPI. Every wait is a nonblocking operation tested with Patience: MPI's own waiting burns a
// core.
#include <mpi.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "cluster/communicator.h"
#include "cluster/patience.h"
#include "cluster/shard.h"
#include "cluster/shared_sum.h"

namespace unmask {
namespace {

constexpr int64_t kLargestMessage = int64_t{1} << 30;  // Bytes: MPI counts in int.
constexpr int64_t kSumChunk = int64_t{1} << 22;        // Values of one exchange between machines.

void Wait(MPI_Request request) {
  int done = 0;
  Patience patience;
  while (MPI_Test(&request, &done, MPI_STATUS_IGNORE), !done) patience.Wait();
}

void BroadcastBytes(void* bytes, int64_t size) {
  char* next = static_cast<char*>(bytes);
  while (size > 0) {
    const int part = static_cast<int>(std::min(size, kLargestMessage));
    MPI_Request request;
    MPI_Ibcast(next, part, MPI_BYTE, 0, MPI_COMM_WORLD, &request);
    Wait(request);
    next += part;
    size -= part;
  }
}

class Mpi : public Communicator {
 public:
  explicit Mpi(bool share_memory) {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    if (share_memory) ShareMemory();
  }

  ~Mpi() override {
    if (shared_ != nullptr) MPI_Win_free(&window_);
    MPI_Finalize();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void Broadcast(std::string* bytes) override {
    int64_t size = bytes->size();
    BroadcastBytes(&size, sizeof size);
    bytes->resize(size);
    BroadcastBytes(bytes->data(), size);
  }

  void AllReduceSum(const Tensor& tensor) override {
    if (size_ == 1) return;
    const bool dense = tensor.stride == tensor.columns;
    const int64_t rows = dense ? 1 : tensor.rows;
    const int64_t columns = dense ? tensor.rows * tensor.columns : tensor.columns;
    for (int64_t row = 0; row < rows; ++row) {
      absl::Span<float> values(tensor.f32() + row * tensor.stride, columns);
      if (shared_ != nullptr) {
        shared_->Sum(values);
      } else {
        for (int64_t begin = 0; begin < columns; begin += kSumChunk) Exchange(values.subspan(begin, kSumChunk));
      }
    }
  }

  std::vector<std::string> AllGather(const std::string& bytes) override {
    const int own = static_cast<int>(bytes.size());
    std::vector<int> sizes(size_);
    MPI_Request request;
    MPI_Iallgather(&own, 1, MPI_INT, sizes.data(), 1, MPI_INT, MPI_COMM_WORLD, &request);
    Wait(request);
    std::vector<int> offsets(size_);
    int64_t total = 0;
    for (int rank = 0; rank < size_; ++rank) {
      offsets[rank] = static_cast<int>(total);
      total += sizes[rank];
      if (total > kLargestMessage) MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE);
    }
    std::string all(total, '\0');
    MPI_Iallgatherv(bytes.data(), own, MPI_BYTE, all.data(), sizes.data(), offsets.data(), MPI_BYTE, MPI_COMM_WORLD,
                    &request);
    Wait(request);
    std::vector<std::string> result;
    for (int rank = 0; rank < size_; ++rank) result.push_back(all.substr(offsets[rank], sizes[rank]));
    return result;
  }

  void Barrier() override {
    MPI_Request request;
    MPI_Ibarrier(MPI_COMM_WORLD, &request);
    Wait(request);
  }

 private:
  // A segment of shared memory for each rank, where all of them are on one machine. Its file is unlinked by the time
  // this returns: nothing is left behind, however the ranks end.
  void ShareMemory() {
    MPI_Comm machine;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
    int here = 0;
    MPI_Comm_size(machine, &here);
    if (here == size_ && size_ > 1) {
      constexpr int64_t kAlignment = 64;
      void* own = nullptr;
      MPI_Win_allocate_shared(SharedSum::SegmentBytes() + kAlignment, 1, MPI_INFO_NULL, MPI_COMM_WORLD, &own, &window_);
      std::vector<void*> segments;
      for (int rank = 0; rank < size_; ++rank) {
        MPI_Aint bytes = 0;
        int unit = 0;
        void* segment = nullptr;
        MPI_Win_shared_query(window_, rank, &bytes, &unit, &segment);
        // Every rank maps the window to a page's start, so that all round alike.
        const uintptr_t address = reinterpret_cast<uintptr_t>(segment);
        segments.push_back(reinterpret_cast<void*>((address + kAlignment - 1) / kAlignment * kAlignment));
      }
      std::memset(segments[rank_], 0, SharedSum::SegmentBytes());
      Barrier();
      shared_ = std::make_unique<SharedSum>(rank_, std::move(segments));
    }
    MPI_Comm_free(&machine);
  }

  // The same sum between machines: slices are exchanged, summed in rank order by their owner, and gathered.
  void Exchange(absl::Span<float> values) {
    std::vector<int> sizes(size_), offsets(size_), own_sizes(size_), own_offsets(size_);
    const Range own = Slice(values.size(), size_, rank_);
    for (int rank = 0; rank < size_; ++rank) {
      const Range slice = Slice(values.size(), size_, rank);
      sizes[rank] = static_cast<int>(slice.size());
      offsets[rank] = static_cast<int>(slice.begin);
      own_sizes[rank] = static_cast<int>(own.size());
      own_offsets[rank] = static_cast<int>(rank * own.size());
    }
    addends_.resize(size_ * own.size());
    sums_.resize(own.size());
    MPI_Request request;
    MPI_Ialltoallv(values.data(), sizes.data(), offsets.data(), MPI_FLOAT, addends_.data(), own_sizes.data(),
                   own_offsets.data(), MPI_FLOAT, MPI_COMM_WORLD, &request);
    Wait(request);
    std::copy(addends_.begin(), addends_.begin() + own.size(), sums_.begin());
    for (int rank = 1; rank < size_; ++rank) {
      const float* addend = addends_.data() + rank * own.size();
      for (int64_t i = 0; i < own.size(); ++i) sums_[i] += addend[i];
    }
    MPI_Iallgatherv(sums_.data(), own_sizes[rank_], MPI_FLOAT, values.data(), sizes.data(), offsets.data(), MPI_FLOAT,
                    MPI_COMM_WORLD, &request);
    Wait(request);
  }

  int rank_ = 0;
  int size_ = 1;
  MPI_Win window_ = MPI_WIN_NULL;
  std::unique_ptr<SharedSum> shared_;  // Null where ranks are on several machines.
  std::vector<float> addends_;         // Kept between sums.
  std::vector<float> sums_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> MpiCommunicator(int* argc, char*** argv, bool share_memory) {
  // Where a launcher has not said otherwise: what MPI still waits for by itself (its start and end) yields the core.
  setenv("OMPI_MCA_mpi_yield_when_idle", "1", /*overwrite=*/0);
  int provided = MPI_THREAD_SINGLE;
  MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided);
  if (provided < MPI_THREAD_FUNNELED) {
    MPI_Finalize();
    return absl::FailedPreconditionError("this MPI supports no threads beside its own (MPI_THREAD_FUNNELED)");
  }
  return std::make_unique<Mpi>(share_memory);
}

}  // namespace unmask
