// A worker under a coordinator gone mad: any Steps are refused with a reason or computed, and change nothing else.
// The input is pieces, each a Step.
#include <algorithm>
#include <cmath>

#include "cluster/communicator.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/tiny_checkpoint.h"
#include "unmask/internal/v1/replica.pb.h"
#include "worker/rank.h"

namespace {

using unmask::internal::v1::Candidates;
using unmask::internal::v1::Step;
using unmask::internal::v1::StepResult;
using unmask::internal::v1::Window;
using unmask::testing::Require;

std::unique_ptr<unmask::Rank> LoadTiny(unmask::Communicator* ranks) {
  const unmask::testing::TempFolder folder;
  const nlohmann::json config = unmask::testing::TinyConfig();
  unmask::testing::WriteCheckpoint(folder, config, unmask::testing::RandomTensors(config));
  unmask::RankOptions options;
  options.model = folder.path();
  options.dtype = "fp32";
  options.threads = 1;
  options.kv_memory = 1 << 16;
  auto rank = unmask::Rank::Open(options, ranks).value();
  Require(rank->Load([](int64_t, int64_t) { return absl::OkStatus(); }).ok(), "the tiny model loads");
  return rank;
}

void CheckCandidates(const Candidates& candidates, const Window& window, int32_t embedding_size) {
  Require(candidates.tokens_size() == window.sample_size(), "a token for each sampled position");
  Require(candidates.confidences_size() == window.sample_size(), "a confidence for each sampled position");
  if (candidates.not_finite()) return;
  for (int i = 0; i < candidates.tokens_size(); ++i) {
    const int32_t token = candidates.tokens(i);
    const float confidence = candidates.confidences(i);
    Require(token >= -1 && token < embedding_size, "a token exists, or is none");
    Require(confidence >= 0 && confidence <= 1.001f, "a confidence is a probability");
    const auto& suppressed = window.sampling().suppressed();
    Require(std::find(suppressed.begin(), suppressed.end(), token) == suppressed.end(),
            "suppressed ids are not proposed");
    Require(window.sampling().token_bound() == 0 || token < window.sampling().token_bound(), "the bound holds");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto ranks = unmask::SoloCommunicator();
  static const auto rank = LoadTiny(ranks.get());
  rank->engine()->Forget();
  for (unmask::testing::Pieces pieces(unmask::testing::InputOf(data, size)); !pieces.done();) {
    const absl::string_view piece = pieces.Next();
    Step step;
    if (!step.ParseFromArray(piece.data(), static_cast<int>(piece.size()))) continue;
    const absl::StatusOr<StepResult> result = rank->engine()->Run(step);
    Require(result.ok(), "no step ends a replica: " + result.status().ToString());
    if (!result->error().empty()) continue;
    Require(result->candidates_size() == step.windows_size(), "candidates for each window");
    for (int i = 0; i < step.windows_size(); ++i) {
      CheckCandidates(result->candidates(i), step.windows(i), rank->config().embedding_size);
    }
  }
  return 0;
}
