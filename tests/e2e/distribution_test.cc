// Distribution: tokens drawn at temperature > 0 follow softmax(logits / temperature) of the reference's own logits.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/golden.h"
#include "tests/support/service.h"

namespace unmask {
namespace {

using nlohmann::json;

// Row-major logits of a forward case with one row: [length][embedding_size].
std::vector<std::vector<float>> RecordedLogits(const std::string& file) {
  std::ifstream stream(testing::SourcePath("tests/goldens/cases/" + file), std::ios::binary);
  uint64_t header_size = 0;
  stream.read(reinterpret_cast<char*>(&header_size), sizeof header_size);
  std::string header(header_size, '\0');
  stream.read(header.data(), header_size);
  const json tensor = json::parse(header).at("logits");
  const size_t rows = tensor.at("shape")[1], columns = tensor.at("shape")[2];
  stream.seekg(8 + header_size + tensor.at("data_offsets")[0].get<size_t>());
  std::vector<std::vector<float>> logits(rows, std::vector<float>(columns));
  for (auto& row : logits) stream.read(reinterpret_cast<char*>(row.data()), columns * sizeof(float));
  EXPECT_TRUE(stream.good());
  return logits;
}

std::vector<double> Softmax(const std::vector<float>& logits, double temperature) {
  double max = -1e30, sum = 0;
  for (float logit : logits) max = std::max<double>(max, logit);
  std::vector<double> p;
  for (float logit : logits) sum += p.emplace_back(std::exp((logit - max) / temperature));
  for (double& value : p) value /= sum;
  return p;
}

// Chi-square over the tokens that are expected at least 5 times, the rest in one cell, as a normal deviate
// (Wilson-Hilferty).
double Deviate(const std::vector<int>& counts, const std::vector<double>& p, int draws) {
  double chi_square = 0, rest_expected = 0;
  int rest = 0, cells = 0;
  for (size_t v = 0; v < p.size(); ++v) {
    const double expected = p[v] * draws;
    if (expected < 5) {
      rest += counts[v];
      rest_expected += expected;
      continue;
    }
    chi_square += (counts[v] - expected) * (counts[v] - expected) / expected;
    ++cells;
  }
  if (rest_expected > 1) {
    chi_square += (rest - rest_expected) * (rest - rest_expected) / rest_expected;
    ++cells;
  }
  const double degrees = cells - 1;
  return (std::cbrt(chi_square / degrees) - (1 - 2 / (9 * degrees))) / std::sqrt(2 / (9 * degrees));
}

TEST(DistributionTest, TokensFollowTheTemperedSoftmaxAndAnotherTemperatureIsRejected) {
  const json golden = testing::LoadGolden("fwd_mha_b1");
  const auto ids = golden.at("input").at("input_ids")[0].get<std::vector<int32_t>>();
  const int32_t mask = golden.at("ids").at("mask");
  const auto logits = RecordedLogits(golden.at("expected").at("file"));
  testing::Service service({"--model", testing::SourcePath("tests/goldens/models/tiny-mha"), "--dtype", "fp32",
                            "--tensor-parallel", "2", "--eot-token-id", golden.at("ids").at("eot").dump()});
  ASSERT_FALSE(service.address().empty());

  v1::InfillRequest request;
  std::vector<int32_t> masked;
  for (size_t position = 0; position < ids.size(); ++position) {
    if (ids[position] == mask) {
      request.add_segments()->set_masks(1);
      masked.push_back(position);
    } else {
      request.add_segments()->mutable_token_ids()->add_ids(ids[position]);
    }
  }
  ASSERT_GE(masked.size(), 3);
  constexpr float kTemperature = 0.8f;
  constexpr int kSeeds = 3000;
  request.mutable_options()->set_reference_parity(true);
  request.mutable_options()->set_temperature(kTemperature);
  request.mutable_options()->set_steps(1);  // All at once: every position sees the recorded canvas.
  request.mutable_output()->set_token_ids(true);

  std::vector<std::vector<int>> counts(masked.size(), std::vector<int>(logits[0].size(), 0));
  for (int seed = 0; seed < kSeeds; ++seed) {
    request.mutable_options()->set_seed(seed);
    grpc::ClientContext context;
    v1::GenerateResponse response;
    const grpc::Status status = service.inference().Infill(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ASSERT_EQ(response.token_ids_size(), static_cast<int>(masked.size()));
    for (size_t i = 0; i < masked.size(); ++i) ++counts[i][response.token_ids(i)];
  }
  for (size_t i = 0; i < masked.size(); ++i) {
    const auto& row = logits[masked[i]];
    EXPECT_LT(Deviate(counts[i], Softmax(row, kTemperature), kSeeds), 3.3) << "position " << masked[i];
    EXPECT_GT(Deviate(counts[i], Softmax(row, 1.0), kSeeds), 3.3) << "temperature 1 was not told apart";
  }
}

}  // namespace
}  // namespace unmask
