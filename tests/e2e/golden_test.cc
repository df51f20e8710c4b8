// Truth: every generate, fast and infill case of the reference, through gRPC, client to coordinator to replica, step by
// step.
#include "tests/support/golden.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/support/service.h"

namespace unmask {
namespace {

using nlohmann::json;
using testing::Streamed;

using Row = std::vector<int32_t>;

// Where a padded row's own tokens begin: the reference pads on the left here.
size_t LeftPadding(const json& attention_mask, size_t row) {
  if (attention_mask.is_null()) return 0;
  size_t padding = 0;
  while (attention_mask[row][padding] == 0) ++padding;
  return padding;
}

Row WithoutPadding(const json& canvas, size_t padding) {
  Row row = canvas.get<Row>();
  row.erase(row.begin(), row.begin() + padding);
  return row;
}

void SetOptions(const json& params, v1::GenerationOptions* options) {
  options->set_reference_parity(true);
  options->set_steps(params.at("steps"));
  options->set_block_length(params.at("block_length"));
  if (params.contains("gen_length")) options->set_gen_length(params.at("gen_length"));
  if (params.contains("cfg_scale")) options->set_cfg_scale(params.at("cfg_scale"));
  if (params.contains("logits_eos_inf")) options->set_logits_eos_inf(params.at("logits_eos_inf"));
  if (params.contains("confidence_eos_eot_inf")) {
    options->set_confidence_eos_eot_inf(params.at("confidence_eos_eot_inf"));
  }
  if (params.contains("threshold") && !params.at("threshold").is_null()) {
    options->set_remasking(v1::REMASKING_CONFIDENCE_THRESHOLD);
    options->set_threshold(params.at("threshold"));
  }
  if (params.contains("factor") && !params.at("factor").is_null()) {
    options->set_remasking(v1::REMASKING_FACTOR);
    options->set_factor(params.at("factor"));
  }
  if (params.contains("cache")) {
    const std::string cache = params.at("cache");
    options->set_cache(cache == "none" ? v1::CACHE_NONE : cache == "prefix" ? v1::CACHE_PREFIX : v1::CACHE_DUAL);
  }
}

// A canvas with masks as segments of given ids and of masks.
void SetSegments(const Row& canvas, int32_t mask, v1::InfillRequest* request) {
  for (size_t i = 0; i < canvas.size();) {
    size_t end = i;
    while (end < canvas.size() && (canvas[end] == mask) == (canvas[i] == mask)) ++end;
    v1::Segment* segment = request->add_segments();
    if (canvas[i] == mask) {
      segment->set_masks(end - i);
    } else {
      segment->mutable_token_ids()->mutable_ids()->Add(canvas.begin() + i, canvas.begin() + end);
    }
    i = end;
  }
}

// Each step's commits against the record: positions and tokens equal, confidences within the README's tolerance.
void CompareSteps(const json& golden, size_t row, size_t padding, const Streamed& streamed, float tolerance) {
  const json& steps = golden.at("expected").at("steps");
  size_t step = 0;
  float worst = 0;
  for (const auto& event : streamed.events) {
    if (!event.has_step()) continue;
    std::map<int32_t, std::pair<int32_t, float>> expected;
    ASSERT_LE(step + event.step().merged(), steps.size());
    for (const size_t end = step + event.step().merged(); step < end; ++step) {  // One, unless this test reads late.
      const json& committed = steps[step].at("committed")[row];
      EXPECT_EQ(event.step().block(), steps[step].at("block"));
      for (size_t i = 0; i < committed.at("positions").size(); ++i) {
        expected[committed["positions"][i].get<int32_t>() - static_cast<int32_t>(padding)] = {
            committed["tokens"][i], committed["confidence"][i]};
      }
    }
    ASSERT_EQ(event.step().commits_size(), static_cast<int>(expected.size())) << "before step " << step;
    for (const auto& commit : event.step().commits()) {
      ASSERT_EQ(expected.count(commit.position()), 1) << "before step " << step << " position " << commit.position();
      EXPECT_EQ(commit.token_id(), expected[commit.position()].first);
      worst = std::max(worst, std::abs(commit.confidence() - expected[commit.position()].second));
    }
  }
  EXPECT_LE(worst, tolerance) << "confidence";
  // Surplus steps are not run here; the official sampler runs them to no effect.
  for (; step < steps.size(); ++step) EXPECT_TRUE(steps[step].at("committed")[row].at("positions").empty());
}

struct Replicated {
  std::string model;
  int ranks;
};

class GoldenTest : public ::testing::TestWithParam<Replicated> {
 protected:
  static std::vector<std::string> Flags(const Replicated& setup, int eot) {
    return {"--model",           testing::SourcePath("tests/goldens/models/" + setup.model),
            "--tensor-parallel", std::to_string(setup.ranks),
            "--dtype",           "fp32",
            "--threads",         "1",
            "--eot-token-id",    std::to_string(eot)};
  }
};

TEST_P(GoldenTest, EveryCaseIsTheReferencesTokenForToken) {
  std::map<std::string, std::vector<json>> cases;
  int eot = -1;
  for (const std::string kind : {"generate", "fast", "infill"}) {
    for (const std::string& name : testing::GoldenNames(kind)) {
      json golden = testing::LoadGolden(name);
      if (golden.at("model") != GetParam().model) continue;
      eot = golden.at("ids").at("eot");
      cases[kind].push_back(std::move(golden));
    }
  }
  ASSERT_FALSE(cases["generate"].empty());
  testing::Service service(Flags(GetParam(), eot));
  ASSERT_FALSE(service.address().empty());
  const auto fleet = service.GetFleet();
  ASSERT_EQ(fleet.replicas_size(), 1);
  ASSERT_EQ(fleet.replicas(0).ranks_size(), GetParam().ranks);

  int rows = 0;
  for (const auto& [kind, list] : cases) {
    for (const json& golden : list) {
      SCOPED_TRACE(golden.at("name").get<std::string>());
      const json& input = golden.at("input");
      const json& batch = kind == "infill" ? input.at("canvas") : input.at("prompt");
      const json& attention_mask = input.contains("attention_mask") ? input.at("attention_mask") : json();
      const json& canvases = golden.at("expected").at("canvas");
      for (size_t row = 0; row < batch.size(); ++row, ++rows) {
        const size_t padding = LeftPadding(attention_mask, row);
        const Row given = WithoutPadding(batch[row], padding);
        json params = golden.at("params");
        Streamed streamed;
        if (kind == "infill") {
          v1::InfillRequest request;
          SetSegments(given, golden.at("ids").at("mask"), &request);
          params["block_length"] = given.size();  // The whole canvas is one block.
          SetOptions(params, request.mutable_options());
          request.mutable_output()->set_canvas(true);
          streamed = InfillStream(service, request);
        } else {
          v1::GenerateRequest request;
          request.mutable_token_ids()->mutable_ids()->Add(given.begin(), given.end());
          SetOptions(params, request.mutable_options());
          request.mutable_output()->set_canvas(true);
          streamed = GenerateStream(service, request);
        }
        ASSERT_TRUE(streamed.status.ok()) << streamed.status.error_message();
        const auto& canvas = streamed.completed.canvas();
        EXPECT_EQ(Row(canvas.begin(), canvas.end()), WithoutPadding(canvases[row], padding)) << "row " << row;
        const float tolerance = 1e-4f * (1 + 2 * params.value("cfg_scale", 0.0f));
        CompareSteps(golden, row, padding, streamed, tolerance);
        if (kind == "fast") {
          EXPECT_EQ(streamed.completed.usage().forward_passes(), golden.at("expected").at("nfe"));
        }
      }
    }
  }
  EXPECT_GE(rows, 5);
}

INSTANTIATE_TEST_SUITE_P(AllModels, GoldenTest,
                         ::testing::Values(Replicated{"tiny-mha", 1}, Replicated{"tiny-mha", 2},
                                           Replicated{"tiny-gqa", 1}, Replicated{"tiny-gqa", 2},
                                           Replicated{"tiny-sharded", 1}, Replicated{"tiny-sharded", 2},
                                           Replicated{"tiny-bf16", 1}, Replicated{"tiny-bf16", 2},
                                           Replicated{"tiny-tp", 1}, Replicated{"tiny-tp", 2}, Replicated{"tiny-tp", 4},
                                           Replicated{"tiny-tp", 8}),
                         [](const auto& info) {
                           std::string name = info.param.model + "_on_" + std::to_string(info.param.ranks);
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace unmask
