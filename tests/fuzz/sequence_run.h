// Runs a parsed request to its end, as a coordinator would, on a replica that answers at random and dies now and then.
#ifndef UNMASK_TESTS_FUZZ_SEQUENCE_RUN_H_
#define UNMASK_TESTS_FUZZ_SEQUENCE_RUN_H_

#include <cstdint>
#include <memory>

#include "coordinator/denoising_sequence.h"
#include "coordinator/score_plan.h"
#include "coordinator/served_model.h"

namespace unmask::testing {

// Ids only: as TinyModel() of tests/coordinator/scripted_model.h.
const std::shared_ptr<const ServedModel>& IdsModel();

// With the committed small tokenizer and its chat template.
const std::shared_ptr<const ServedModel>& TextModel();

// Ends the process where the sequence outlives its steps, reveals a position twice, or answers what its events did not
// say. A long request is planned, not run.
void RunToItsEnd(SequenceSpec spec, uint64_t seed);

// The same of a score: ends the process where a task is not done exactly once, or windows are not what was said.
void RunToItsEnd(ScorePlan plan, uint64_t seed);

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_FUZZ_SEQUENCE_RUN_H_
