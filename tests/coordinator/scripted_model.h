// A stand-in for a replica's engine of two layers that keeps K/V as the real one does: a position's first-layer K/V is
// its token, its second-layer K/V a hash of its token and of all that it saw when it was last computed. Every
// prediction is a hash of all second-layer K/V, so any K/V that is missing, wrong, or stale in another way changes the
// text.
#ifndef UNMASK_TESTS_COORDINATOR_SCRIPTED_MODEL_H_
#define UNMASK_TESTS_COORDINATOR_SCRIPTED_MODEL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "coordinator/denoising_sequence.h"
#include "coordinator/served_model.h"
#include "unmask/internal/v1/replica.pb.h"

namespace unmask::testing {

// A model without a tokenizer: ids [0, 100), mask 99, EOS 98, EOT 97, up to 512 positions, 4 heads, 2 K/V heads.
std::shared_ptr<const ServedModel> TinyModel();

// A shard plan over `ranks` ranks that fits TinyModel.
internal::v1::ReplicaDescription DescribeReplica(const std::string& name, int ranks);

class ScriptedModel {
 public:
  // Tokens that are never proposed beside the suppressed ones, to keep texts from ending early.
  std::set<int32_t> never = {97, 98};

  internal::v1::StepResult Execute(const internal::v1::Step& step);
  int64_t slots() const { return kv_.size(); }

 private:
  internal::v1::Candidates Predict(const internal::v1::Window& window);

  struct Slot {  // By branch (conditional, unconditional), then position.
    std::vector<uint64_t> layer1[2];
    std::vector<uint64_t> layer2[2];
  };
  std::map<uint64_t, Slot> kv_;
};

// Runs a sequence to its end on a model of its own; the number of windows that it took.
int RunAlone(Sequence* sequence, ScriptedModel* model);

// A valid spec: prompt ids 1, 2, 3 ... of `prompt` positions, options resolved.
SequenceSpec TinySpec(int prompt, v1::GenerationOptions options);

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_COORDINATOR_SCRIPTED_MODEL_H_
