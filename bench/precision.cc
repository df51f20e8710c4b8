// precision: what a dtype costs in exactness, against fp32, on the recorded cases and on the benchmark's checkpoint.
// Prints a JSON object: for each dtype the error of logits, the share of positions whose best token differs with the
// same canvas, and the share of generated tokens that differ at the end of a generation (where one early change draws
// others after it).
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/status.h"
#include "bench/replica.h"
#include "coordinator/options.h"

namespace unmask::bench {
namespace {

using nlohmann::json;
using Row = std::vector<int32_t>;

struct Tally {
  double squares = 0, reference_squares = 0, worst = 0;
  int64_t logits = 0;
  int64_t positions = 0, positions_changed = 0;
  int64_t tokens = 0, tokens_changed = 0;
  int64_t texts = 0, texts_changed = 0;
};

class Comparison {
 public:
  Comparison(std::string models, Communicator* ranks) : models_(std::move(models)), ranks_(ranks) {}

  absl::Status Use(const std::string& folder, const std::string& dtype) {
    UNMASK_ASSIGN_OR_RETURN(exact_, Replica::Open(folder, "fp32", 2, ranks_));
    UNMASK_ASSIGN_OR_RETURN(rough_, Replica::Open(folder, dtype, 2, ranks_));
    return absl::OkStatus();
  }

  absl::Status Case(const json& golden, const std::string& dtype, Tally* tally) {
    const std::string kind = golden.at("kind");
    if (kind != "forward" && kind != "generate") return absl::OkStatus();
    const json& input = golden.at("input");
    if (input.contains("attention_mask") && !input.at("attention_mask").is_null()) return absl::OkStatus();
    UNMASK_RETURN_IF_ERROR(Use(models_ + "/" + golden.at("model").get<std::string>(), dtype));
    for (const json& row : input.at(kind == "forward" ? "input_ids" : "prompt")) {
      const Row ids = row.get<Row>();
      UNMASK_RETURN_IF_ERROR(kind == "forward" ? Forward(ids, tally) : Generate(golden, ids, tally));
    }
    return absl::OkStatus();
  }

  // The same canvas in both.
  absl::Status Forward(const Row& ids, Tally* tally) {
    internal::v1::Window window;
    window.set_sequence(1);
    window.set_length(static_cast<int32_t>(ids.size()));
    window.add_horizons(static_cast<int32_t>(ids.size()));
    for (size_t i = 0; i < ids.size(); ++i) {
      window.add_tokens(ids[i]);
      window.add_sample(static_cast<int32_t>(i));
    }
    UNMASK_ASSIGN_OR_RETURN(const auto expected, exact_->Run(window));
    UNMASK_ASSIGN_OR_RETURN(const auto reference, exact_->Logits());
    UNMASK_ASSIGN_OR_RETURN(const auto got, rough_->Run(window));
    UNMASK_ASSIGN_OR_RETURN(const auto logits, rough_->Logits());
    for (size_t i = 0; i < logits.size(); ++i) {
      const double error = std::abs(double{logits[i]} - reference[i]);
      tally->squares += error * error;
      tally->reference_squares += double{reference[i]} * reference[i];
      tally->worst = std::max(tally->worst, error);
    }
    tally->logits += static_cast<int64_t>(logits.size());
    for (size_t i = 0; i < ids.size(); ++i) {
      ++tally->positions;
      tally->positions_changed += expected.candidates(0).tokens(i) != got.candidates(0).tokens(i);
    }
    return absl::OkStatus();
  }

  absl::Status Compare(const SequenceSpec& spec, Tally* tally) {
    UNMASK_ASSIGN_OR_RETURN(const Row expected, Canvas(exact_.get(), spec));
    UNMASK_ASSIGN_OR_RETURN(const Row got, Canvas(rough_.get(), spec));
    int64_t changed = 0;
    for (size_t i = spec.prompt_length; i < expected.size(); ++i) changed += expected[i] != got[i];
    tally->tokens += static_cast<int64_t>(expected.size()) - spec.prompt_length;
    tally->tokens_changed += changed;
    ++tally->texts;
    tally->texts_changed += changed > 0;
    return absl::OkStatus();
  }

  Replica* exact() { return exact_.get(); }

 private:
  absl::Status Generate(const json& golden, const Row& prompt, Tally* tally) {
    const json& params = golden.at("params");
    v1::GenerationOptions options;
    options.set_reference_parity(true);
    options.set_steps(params.at("steps"));
    options.set_block_length(params.at("block_length"));
    options.set_gen_length(params.at("gen_length"));
    if (params.contains("cfg_scale")) options.set_cfg_scale(params.at("cfg_scale"));
    SequenceSpec spec;
    spec.model = exact_->served();
    UNMASK_ASSIGN_OR_RETURN(spec.options, ResolveOptions(options, *spec.model, prompt.size(), /*drawn_seed=*/1));
    spec.canvas = prompt;
    spec.prompt_length = static_cast<int32_t>(prompt.size());
    spec.canvas.resize(prompt.size() + spec.options.gen_length(), spec.model->mask());
    spec.output.set_canvas(true);
    return Compare(spec, tally);
  }

  static absl::StatusOr<Row> Canvas(Replica* replica, const SequenceSpec& spec) {
    replica->Begin(spec);
    while (!replica->sequence()->done()) UNMASK_RETURN_IF_ERROR(replica->Step().status());
    const v1::GenerateResponse response = replica->sequence()->Response();
    return Row(response.canvas().begin(), response.canvas().end());
  }

  const std::string models_;
  Communicator* const ranks_;
  std::unique_ptr<Replica> exact_;
  std::unique_ptr<Replica> rough_;
};

json ToJson(const Tally& tally) {
  const auto share = [](int64_t part, int64_t whole) { return whole == 0 ? 0.0 : 1.0 * part / whole; };
  return {{"rms_error", std::sqrt(tally.squares / std::max<int64_t>(1, tally.logits))},
          {"rms_logit", std::sqrt(tally.reference_squares / std::max<int64_t>(1, tally.logits))},
          {"worst_error", tally.worst},
          {"positions", tally.positions},
          {"best_changed", share(tally.positions_changed, tally.positions)},
          {"tokens", tally.tokens},
          {"tokens_changed", share(tally.tokens_changed, tally.tokens)},
          {"texts", tally.texts},
          {"texts_changed", share(tally.texts_changed, tally.texts)}};
}

absl::StatusOr<json> Measure(const std::string& goldens, const std::string& checkpoint, const std::string& dtype) {
  const std::unique_ptr<Communicator> ranks = SoloCommunicator();
  Comparison comparison(goldens + "/models", ranks.get());
  Tally recorded, large;
  for (const auto& file : std::filesystem::directory_iterator(goldens + "/cases")) {
    if (file.path().extension() != ".json") continue;
    std::ifstream stream(file.path());
    const json golden = json::parse(stream);
    if (golden.is_object() && golden.contains("kind")) {
      UNMASK_RETURN_IF_ERROR(comparison.Case(golden, dtype, &recorded));
    }
  }
  UNMASK_RETURN_IF_ERROR(comparison.Use(checkpoint, dtype));
  SequenceSpec spec = BenchSpec(comparison.exact()->served(), v1::CACHE_NONE);
  UNMASK_RETURN_IF_ERROR(comparison.Forward(spec.canvas, &large));
  UNMASK_RETURN_IF_ERROR(comparison.Compare(spec, &large));
  return json{{"goldens", ToJson(recorded)}, {"checkpoint", ToJson(large)}};
}

}  // namespace
}  // namespace unmask::bench

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: precision GOLDENS CHECKPOINT\n";
    return 64;
  }
  nlohmann::json all;
  for (const char* dtype : {"bf16", "int8"}) {
    const auto measured = unmask::bench::Measure(argv[1], argv[2], dtype);
    if (!measured.ok()) {
      std::cerr << "precision: " << measured.status() << "\n";
      return EXIT_FAILURE;
    }
    all[dtype] = *measured;
  }
  std::cout << all.dump() << std::endl;
  return EXIT_SUCCESS;
}
