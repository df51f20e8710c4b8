#include "coordinator/sequence.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "coordinator/errors.h"

namespace unmask {

double Sequence::RowCost(const internal::v1::ModelShape& shape, int64_t canvas_length) {
  // A row multiplies every parameter once, and its queries meet the canvas's keys and values in every layer.
  const double attention = 2.0 * shape.layers() * shape.hidden_size() * canvas_length;
  return 1 + attention / std::max<double>(shape.parameters(), 1);
}

absl::Status Sequence::CheckFinite(const internal::v1::Candidates& candidates, uint32_t step) {
  if (!candidates.not_finite()) return absl::OkStatus();
  return ServiceError(absl::StatusCode::kInternal, kNumericsFault, "the model's logits are not finite",
                      {{"step", absl::StrCat(step)}});
}

void Sequence::Survive() {
  suspect = false;
  deadly_lives.clear();
}

void Sequence::Sign(const ServedModel& model, std::vector<std::string> approximations,
                    v1::GenerateResponse* response) const {
  if (absl::StrContains(numerics, "dtype:int8")) approximations.push_back("INT8");  // Quantised weights.
  v1::Exactness* exactness = response->mutable_exactness();
  exactness->set_exact(approximations.empty());
  for (std::string& name : approximations) exactness->add_approximations(std::move(name));
  response->set_model(model.name);
  response->set_numerics(numerics);
  response->set_replays(replays);
  response->set_request_id(request_id());
}

}  // namespace unmask
