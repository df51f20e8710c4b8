// Bytes as an InfillRequest: refused as an argument, or run to its end.
#include "coordinator/request.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/sequence_run.h"
#include "unmask/v1/inference.pb.h"

namespace {

void Try(const unmask::v1::InfillRequest& request, const std::shared_ptr<const unmask::ServedModel>& model,
         uint64_t seed) {
  auto spec = unmask::ParseInfill(request, model, seed);
  if (spec.ok()) return unmask::testing::RunToItsEnd(*std::move(spec), seed);
  unmask::testing::Require(absl::IsInvalidArgument(spec.status()) || absl::IsNotFound(spec.status()),
                           "a bad request is the client's fault: " + spec.status().ToString());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  unmask::v1::InfillRequest request;
  if (!request.ParseFromArray(data, static_cast<int>(size))) return 0;
  const uint64_t seed = unmask::testing::HashOf(unmask::testing::InputOf(data, size));
  Try(request, unmask::testing::IdsModel(), seed);
  Try(request, unmask::testing::TextModel(), seed);
  return 0;
}
