// Bytes as a ScoreRequest: refused as an argument, or computed to its end.
#include "coordinator/score_plan.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/sequence_run.h"
#include "unmask/v1/inference.pb.h"

namespace {

void Try(const unmask::v1::ScoreRequest& request, const std::shared_ptr<const unmask::ServedModel>& model,
         uint64_t seed) {
  auto plan = unmask::ParseScore(request, model, seed);
  if (plan.ok()) return unmask::testing::RunToItsEnd(*std::move(plan), seed);
  unmask::testing::Require(absl::IsInvalidArgument(plan.status()) || absl::IsNotFound(plan.status()),
                           "a bad request is the client's fault: " + plan.status().ToString());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  unmask::v1::ScoreRequest request;
  if (!request.ParseFromArray(data, static_cast<int>(size))) return 0;
  const uint64_t seed = unmask::testing::HashOf(unmask::testing::InputOf(data, size));
  Try(request, unmask::testing::IdsModel(), seed);
  Try(request, unmask::testing::TextModel(), seed);
  return 0;
}
