#include "cluster/device_communicator.h"

#include <unistd.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cluster/forwarding.h"

namespace unmask {
namespace {

class Staged : public Forwarding {
 public:
  Staged(Backend* backend, Communicator* ranks) : Forwarding(ranks), backend_(backend) {}

  void AllReduceSum(const Tensor& tensor) override {
    host_.resize(tensor.rows * tensor.columns);
    backend_->Download(tensor, absl::MakeSpan(host_));
    // Who has failed still takes part, so that the others are not left waiting; the failure stays.
    const absl::Status status = backend_->Synchronize();
    const Tensor host = {DType::kF32, tensor.rows, tensor.columns, tensor.columns, host_.data()};
    ranks_->AllReduceSum(host);
    if (status.ok()) {
      backend_->Upload(host, tensor);
    } else {
      backend_->queue()->Fail(status);
    }
  }

 private:
  Backend* const backend_;
  std::vector<float> host_;
};

}  // namespace

std::unique_ptr<Communicator> StagedCommunicator(Backend* backend, Communicator* ranks) {
  return std::make_unique<Staged>(backend, ranks);
}

absl::StatusOr<std::unique_ptr<Communicator>> DeviceCommunicator(Backend* backend, Communicator* ranks) {
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  std::set<std::string> devices;
  for (const std::string& device : ranks->AllGather(absl::StrCat(host, " ", backend->queue()->Device()))) {
    devices.insert(device);
  }
  // NCCL takes no two ranks on one device.
  if (static_cast<int>(devices.size()) < ranks->size()) return StagedCommunicator(backend, ranks);
  return NcclCommunicator(backend, ranks);
}

}  // namespace unmask
