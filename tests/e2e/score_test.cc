// Likelihoods through the whole service: every case of the reference with its recorded masks, the estimator's
// expectation on a model small enough to know it, and a death in the middle.
#include <gtest/gtest.h>
#include <signal.h>

#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/golden.h"
#include "tests/support/patience.h"
#include "tests/support/service.h"
#include "tests/worker/made_checkpoint.h"

namespace unmask {
namespace {

using nlohmann::json;

void SetIds(const std::vector<int32_t>& ids, v1::ScoreInput* input) {
  input->mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
}

v1::ScoreRequest Ask(const std::vector<int32_t>& prompt, const std::vector<int32_t>& target) {
  v1::ScoreRequest request;
  SetIds(prompt, request.mutable_prompt());
  SetIds(target, request.add_targets());
  request.set_greedy_match(false);
  return request;
}

v1::ScoreResponse Score(testing::Service& service, const v1::ScoreRequest& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + Patience() * std::chrono::seconds(120));
  v1::ScoreResponse response;
  const grpc::Status status = service.inference().Score(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  if (response.scores().empty()) response.add_scores();
  return response;
}

struct Replicated {
  std::string model;
  int ranks;
};
class ScoreGoldenTest : public ::testing::TestWithParam<Replicated> {};

TEST_P(ScoreGoldenTest, EveryLikelihoodIsTheReferences) {
  testing::Service service({"--model", testing::SourcePath("tests/goldens/models/" + GetParam().model),
                            "--tensor-parallel", std::to_string(GetParam().ranks), "--dtype", "fp32", "--threads",
                            "1"});
  ASSERT_FALSE(service.address().empty());
  int cases = 0;
  for (const std::string& name : testing::GoldenNames("likelihood")) {
    const json golden = testing::LoadGolden(name);
    if (golden.at("model") != GetParam().model) continue;
    SCOPED_TRACE(name);
    ++cases;
    v1::ScoreRequest whole = Ask(golden.at("input").at("prompt"), golden.at("input").at("answer"));
    whole.set_cfg_scale(golden.at("params").at("cfg_scale"));
    for (const json& batch : golden.at("batches")) {
      v1::ScoreRequest part = whole;
      part.clear_masked();
      for (const auto& positions : batch.at("masked_positions").get<std::vector<std::vector<int32_t>>>()) {
        part.add_masked()->mutable_positions()->Add(positions.begin(), positions.end());
        *whole.add_masked() = part.masked(part.masked_size() - 1);
      }
      const double loss = batch.at("loss");
      EXPECT_NEAR(Score(service, part).scores(0).log_likelihood(), -loss, 1e-5 * loss);
    }
    const v1::ScoreResponse response = Score(service, whole);
    const double expected = golden.at("expected").at("log_likelihood");
    EXPECT_NEAR(response.scores(0).log_likelihood(), expected, 1e-5 * std::abs(expected));
    EXPECT_EQ(response.scores(0).samples(), whole.masked_size());
    EXPECT_TRUE(response.exactness().exact());
  }
  EXPECT_GE(cases, 1);
}

INSTANTIATE_TEST_SUITE_P(AllModels, ScoreGoldenTest,
                         ::testing::Values(Replicated{"tiny-mha", 1}, Replicated{"tiny-mha", 2},
                                           Replicated{"tiny-gqa", 1}, Replicated{"tiny-gqa", 2},
                                           Replicated{"tiny-sharded", 2}, Replicated{"tiny-bf16", 1},
                                           Replicated{"tiny-tp", 4}),
                         [](const auto& info) {
                           std::string name = info.param.model + "_on_" + std::to_string(info.param.ranks);
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

// Two layers of width 8 whose weights are a formula, so that their likelihoods could be computed with pencil and paper:
// ln p([4 5] | 1 2 3) = -4.932529 and ln p([4 5 6] | 1 2 3) = -7.755518, in expectation.
void WriteFormulaModel(const testing::TempFolder& folder) {
  const auto matrix = [](int number, int64_t rows, int64_t columns) {
    testing::MadeTensor tensor{{rows, columns}, {}};
    for (int64_t j = 0; j < rows * columns; ++j) tensor.values.push_back(((7 * j + 13 * number + 3) % 17 - 8) / 16.0f);
    return tensor;
  };
  const auto gain = [](int number) {
    testing::MadeTensor tensor{{8}, {}};
    for (int j = 0; j < 8; ++j) tensor.values.push_back(1 + ((5 * j + number) % 7 - 3) / 16.0f);
    return tensor;
  };
  std::map<std::string, testing::MadeTensor> tensors = {
      {"wte.weight", matrix(0, 16, 8)}, {"ln_f.weight", gain(1)}, {"ff_out.weight", matrix(2, 16, 8)}};
  for (int layer = 0; layer < 2; ++layer) {
    const std::string block = "blocks." + std::to_string(layer) + ".";
    const int number = 10 + 20 * layer;
    tensors[block + "attn_norm.weight"] = gain(number);
    tensors[block + "ff_norm.weight"] = gain(number + 1);
    tensors[block + "q_proj.weight"] = matrix(number + 2, 8, 8);
    tensors[block + "k_proj.weight"] = matrix(number + 3, 8, 8);
    tensors[block + "v_proj.weight"] = matrix(number + 4, 8, 8);
    tensors[block + "attn_out.weight"] = matrix(number + 5, 8, 8);
    tensors[block + "ff_proj.weight"] = matrix(number + 6, 12, 8);
    tensors[block + "up_proj.weight"] = matrix(number + 7, 12, 8);
    tensors[block + "ff_out.weight"] = matrix(number + 8, 8, 12);
  }
  std::map<std::string, testing::MadeTensor> named;
  for (auto& [name, tensor] : tensors) named["model.transformer." + name] = std::move(tensor);
  json config = testing::RaggedConfig();
  config.update({{"d_model", 8},
                 {"n_layers", 2},
                 {"n_heads", 2},
                 {"n_kv_heads", 2},
                 {"mlp_hidden_size", 12},
                 {"vocab_size", 16},
                 {"embedding_size", 16},
                 {"max_sequence_length", 64},
                 {"mask_token_id", 15},
                 {"eos_token_id", 14}});
  testing::WriteCheckpoint(folder, config, named);
}

// The mean score of the sets that mask `count` of the target's positions, each exactly once.
double MeanOfCount(testing::Service& service, const std::vector<int32_t>& target, int count) {
  v1::ScoreRequest request = Ask({1, 2, 3}, target);
  for (unsigned set = 1; set < 1u << target.size(); ++set) {
    if (__builtin_popcount(set) != count) continue;
    auto* positions = request.add_masked()->mutable_positions();
    for (size_t i = 0; i < target.size(); ++i) {
      if (set >> i & 1) positions->Add(3 + static_cast<int32_t>(i));
    }
  }
  return Score(service, request).scores(0).log_likelihood();
}

TEST(ScoreExpectationTest, TheUnbiasedEstimateConvergesToTheExactExpectationAndTheReferencesDoesNot) {
  const testing::TempFolder folder;
  WriteFormulaModel(folder);
  testing::Service service({"--model", folder.path(), "--dtype", "fp32", "--threads", "1", "--eot-token-id", "13"});
  ASSERT_FALSE(service.address().empty());
  for (const auto& [target, known] :
       std::map<std::vector<int32_t>, double>{{{4, 5}, -4.932529}, {{4, 5, 6}, -7.755518}}) {
    double exact = 0;
    for (size_t count = 1; count <= target.size(); ++count)
      exact += MeanOfCount(service, target, count) / target.size();
    EXPECT_NEAR(exact, known, 1e-5);
  }

  // Of 3 tokens in strata of 2 the reference's second row masks 2, 1 and 1 where k is 1, 2 and 3.
  const std::vector<int32_t> target = {4, 5, 6};
  const double biased =
      (3 * MeanOfCount(service, target, 1) + 2 * MeanOfCount(service, target, 2) + MeanOfCount(service, target, 3)) / 6;
  constexpr int kSeeds = 96;
  const auto mean_of_seeds = [&](bool parity, double* error) {
    std::vector<double> scores;
    for (int seed = 0; seed < kSeeds; ++seed) {
      v1::ScoreRequest request = Ask({1, 2, 3}, target);
      request.set_samples(4096);
      request.set_strata(2);
      request.set_seed(5000 + seed);
      request.set_reference_parity(parity);
      const v1::ScoreResponse response = Score(service, request);
      EXPECT_EQ(response.forward_passes(), 7) << "as many as there are sets";
      scores.push_back(response.scores(0).log_likelihood());
      *error += response.scores(0).standard_error() / kSeeds;
    }
    const double mean = std::accumulate(scores.begin(), scores.end(), 0.0) / kSeeds;
    double squares = 0;
    for (const double score : scores) squares += (score - mean) * (score - mean);
    const double spread = std::sqrt(squares / (kSeeds - 1));
    EXPECT_NEAR(*error / spread, 1, 0.3) << "the standard error is the spread over seeds";
    *error = spread / std::sqrt(kSeeds);
    return mean;
  };
  double error = 0, biased_error = 0;
  const double mean = mean_of_seeds(false, &error);
  EXPECT_LT(std::abs(mean + 7.755518), 4 * error);
  const double biased_mean = mean_of_seeds(true, &biased_error);
  EXPECT_LT(std::abs(biased_mean - biased), 4 * biased_error);
  EXPECT_GT(std::abs(biased_mean + 7.755518), 6 * biased_error) << "half-even rounding would pass";
  printf("unbiased %.5f +- %.5f, reference %.5f +- %.5f, exact -7.75552\n", mean, error, biased_mean, biased_error);
}

TEST(ScoreFailoverTest, ADeathInTheMiddleChangesNoNumber) {
  testing::Service service({"--model", testing::SourcePath("tests/goldens/models/tiny-tp"), "--replicas", "2",
                            "--tensor-parallel", "2", "--dtype", "fp32", "--threads", "1"});
  ASSERT_FALSE(service.address().empty());
  ASSERT_TRUE(service.WaitForReady(2));
  std::vector<int32_t> target(200);
  for (size_t i = 0; i < target.size(); ++i) target[i] = static_cast<int32_t>(i * 37 % 1000);
  v1::ScoreRequest request = Ask({1, 2, 3, 4, 5}, target);
  request.set_seed(11);
  request.set_samples(1024);
  request.set_greedy_match(true);
  const v1::ScoreResponse expected = Score(service, request);
  EXPECT_EQ(expected.replays(), 0);
  // A kill may hit when all is computed; then again.
  int replays = 0;
  for (int attempt = 0; attempt < 5 && replays == 0; ++attempt) {
    ASSERT_TRUE(service.WaitForReady(2));
    const v1::GetFleetResponse fleet = service.GetFleet();
    std::thread killer([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(100 + 100 * attempt));
      kill(fleet.replicas(attempt % 2).ranks(1).pid(), SIGKILL);
    });
    const v1::ScoreResponse response = Score(service, request);
    killer.join();
    replays = response.replays();
    EXPECT_EQ(response.scores(0).SerializeAsString(), expected.scores(0).SerializeAsString());
    EXPECT_EQ(response.numerics(), expected.numerics());
  }
  EXPECT_GT(replays, 0) << "no kill hit a replica at work";
}

}  // namespace
}  // namespace unmask
