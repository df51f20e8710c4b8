// A communicator that leaves all to another but the sums.
#ifndef UNMASK_CLUSTER_FORWARDING_H_
#define UNMASK_CLUSTER_FORWARDING_H_

#include <string>
#include <vector>

#include "cluster/communicator.h"

namespace unmask {

class Forwarding : public Communicator {
 public:
  explicit Forwarding(Communicator* ranks) : ranks_(ranks) {}
  int rank() const override { return ranks_->rank(); }
  int size() const override { return ranks_->size(); }
  void Broadcast(std::string* bytes) override { ranks_->Broadcast(bytes); }
  std::vector<std::string> AllGather(const std::string& bytes) override { return ranks_->AllGather(bytes); }
  void Barrier() override { ranks_->Barrier(); }

 protected:
  Communicator* const ranks_;
};

}  // namespace unmask

#endif  // UNMASK_CLUSTER_FORWARDING_H_
