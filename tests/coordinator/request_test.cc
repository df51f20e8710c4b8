#include "coordinator/request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "coordinator/errors.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tests/coordinator/scripted_model.h"
#include "tests/support/golden.h"

namespace unmask {
namespace {

using ::testing::HasSubstr;
using testing::TinyModel;

v1::GenerateRequest Valid() {
  v1::GenerateRequest request;
  for (int id : {1, 2, 3}) request.mutable_token_ids()->add_ids(id);
  return request;
}

std::string FieldOf(const absl::Status& status) {
  google::rpc::Status details;
  details.ParseFromString(ErrorDetails(status));
  for (const auto& detail : details.details()) {
    google::rpc::BadRequest bad_request;
    if (detail.UnpackTo(&bad_request)) return bad_request.field_violations(0).field();
  }
  return "";
}

TEST(RequestTest, DefaultsAreTheContracts) {
  const auto spec = ParseGenerate(Valid(), TinyModel(), 42);
  ASSERT_TRUE(spec.ok()) << spec.status();
  const v1::GenerationOptions& options = spec->options;
  EXPECT_EQ(options.gen_length(), 128);
  EXPECT_EQ(options.block_length(), 32);
  EXPECT_EQ(options.steps(), 128);
  EXPECT_EQ(options.remasking(), v1::REMASKING_LOW_CONFIDENCE);
  EXPECT_EQ(options.cache(), v1::CACHE_NONE);
  EXPECT_EQ(options.seed(), 42);
  EXPECT_EQ(options.deadline_policy(), v1::DEADLINE_POLICY_NONE);
  for (int i = 0; i < options.GetDescriptor()->field_count(); ++i) {
    const auto* field = options.GetDescriptor()->field(i);
    const bool knob = field->name() == "threshold" || field->name() == "factor" || field->name() == "entropy_bound";
    if (field->is_repeated() || knob) continue;
    EXPECT_TRUE(options.GetReflection()->HasField(options, field)) << field->name();
  }
  EXPECT_EQ(spec->canvas.size(), 131);
  EXPECT_EQ(spec->prompt_length, 3);
}

TEST(RequestTest, WhatIsEchoedMayBeSentAgain) {
  for (int strategy = 1; strategy <= v1::Remasking_MAX; ++strategy) {
    v1::GenerateRequest request = Valid();
    request.mutable_options()->set_remasking(static_cast<v1::Remasking>(strategy));
    const auto first = ParseGenerate(request, TinyModel(), 42);
    ASSERT_TRUE(first.ok()) << first.status();
    *request.mutable_options() = first->options;
    const auto second = ParseGenerate(request, TinyModel(), 43);
    ASSERT_TRUE(second.ok()) << second.status();
    EXPECT_EQ(second->options.SerializeAsString(), first->options.SerializeAsString());
  }
  v1::GenerateRequest request = Valid();
  request.mutable_options()->set_remasking(v1::REMASKING_CONFIDENCE_THRESHOLD);
  EXPECT_FLOAT_EQ(ParseGenerate(request, TinyModel(), 0)->options.threshold(), 0.9f);
}

TEST(RequestTest, BlockLengthIsGenLengthWhere32DoesNotDivideIt) {
  v1::GenerateRequest request = Valid();
  request.mutable_options()->set_gen_length(40);
  EXPECT_EQ(ParseGenerate(request, TinyModel(), 0)->options.block_length(), 40);
}

TEST(RequestTest, MoreStepsThanTokensAreAllowed) {
  v1::GenerateRequest request = Valid();
  request.mutable_options()->set_gen_length(8);
  request.mutable_options()->set_steps(4096);
  EXPECT_TRUE(ParseGenerate(request, TinyModel(), 0).ok());
}

struct BadRequestCase {
  const char* name;
  std::function<void(v1::GenerateRequest*)> spoil;
  const char* reason;
  const char* field;
  const char* message;  // A part of it.
};

TEST(RequestTest, EachBadFieldIsNamedWithValueAndBound) {
  const float nan = std::nanf("");
  const BadRequestCase cases[] = {
      {"no input", [](auto* r) { r->clear_input(); }, "INPUT_MISSING", "input", "one of text, chat and token_ids"},
      {"empty", [](auto* r) { r->mutable_token_ids()->clear_ids(); }, "INPUT_MISSING", "input", "empty"},
      {"text", [](auto* r) { r->set_text("hi"); }, "TOKENIZER_MISSING", "text", "no tokenizer"},
      {"chat", [](auto* r) { r->mutable_chat(); }, "TOKENIZER_MISSING", "chat", "no tokenizer"},
      {"id too large", [](auto* r) { r->mutable_token_ids()->set_ids(1, 100); }, "TOKEN_OUT_OF_RANGE",
       "token_ids.ids[1]", "100 is not in [0, 100)"},
      {"negative id", [](auto* r) { r->mutable_token_ids()->set_ids(2, -1); }, "TOKEN_OUT_OF_RANGE", "token_ids.ids[2]",
       "-1"},
      {"mask", [](auto* r) { r->mutable_token_ids()->set_ids(0, 99); }, "MASK_TOKEN_IN_PROMPT", "token_ids.ids[0]",
       "99"},
      {"gen_length 0", [](auto* r) { r->mutable_options()->set_gen_length(0); }, "OPTION_INVALID", "options.gen_length",
       "gen_length 0 is less than 1"},
      {"too long", [](auto* r) { r->mutable_options()->set_gen_length(510); }, "SEQUENCE_TOO_LONG",
       "options.gen_length", "max_sequence_length 512"},
      {"far too long", [](auto* r) { r->mutable_options()->set_gen_length(2147483647); }, "SEQUENCE_TOO_LONG",
       "options.gen_length", "2147483647"},
      {"block 0", [](auto* r) { r->mutable_options()->set_block_length(0); }, "OPTION_INVALID", "options.block_length",
       "block_length 0 is not in [1, gen_length 128]"},
      {"block 30", [](auto* r) { r->mutable_options()->set_block_length(30); }, "OPTION_INVALID",
       "options.block_length", "block_length 30 does not divide gen_length 128"},
      {"steps 0", [](auto* r) { r->mutable_options()->set_steps(0); }, "OPTION_INVALID", "options.steps", "steps 0"},
      {"steps 6", [](auto* r) { r->mutable_options()->set_steps(6); }, "OPTION_INVALID", "options.steps",
       "steps 6 is not a positive multiple of the 4 blocks"},
      {"strategy", [](auto* r) { r->mutable_options()->set_remasking(static_cast<v1::Remasking>(77)); },
       "OPTION_INVALID", "options.remasking", "77"},
      {"cache", [](auto* r) { r->mutable_options()->set_cache(static_cast<v1::Cache>(9)); }, "OPTION_INVALID",
       "options.cache", "9"},
      {"deadline policy",
       [](auto* r) { r->mutable_options()->set_deadline_policy(static_cast<v1::DeadlinePolicy>(7)); }, "OPTION_INVALID",
       "options.deadline_policy", "deadline_policy 7 is no policy; the last is 2"},
      {"threshold alone", [](auto* r) { r->mutable_options()->set_threshold(0.5f); }, "OPTION_INVALID",
       "options.threshold", "REMASKING_CONFIDENCE_THRESHOLD"},
      {"factor alone", [](auto* r) { r->mutable_options()->set_factor(0.5f); }, "OPTION_INVALID", "options.factor",
       "REMASKING_FACTOR"},
      {"bound alone", [](auto* r) { r->mutable_options()->set_entropy_bound(0.5f); }, "OPTION_INVALID",
       "options.entropy_bound", "REMASKING_ENTROPY_BOUND"},
      {"threshold 2",
       [](auto* r) {
         r->mutable_options()->set_remasking(v1::REMASKING_CONFIDENCE_THRESHOLD);
         r->mutable_options()->set_threshold(2);
       },
       "OPTION_INVALID", "options.threshold", "threshold 2 is not in [0, 1]"},
      {"temperature NaN", [nan](auto* r) { r->mutable_options()->set_temperature(nan); }, "OPTION_INVALID",
       "options.temperature", "nan"},
      {"temperature -1", [](auto* r) { r->mutable_options()->set_temperature(-1); }, "OPTION_INVALID",
       "options.temperature", "-1"},
      {"temperature 1e-40", [](auto* r) { r->mutable_options()->set_temperature(1e-40f); }, "OPTION_INVALID",
       "options.temperature", "is neither 0 nor at least 1e-30"},
      {"cfg inf", [](auto* r) { r->mutable_options()->set_cfg_scale(HUGE_VALF); }, "OPTION_INVALID",
       "options.cfg_scale", "inf"},
      {"stop without tokenizer", [](auto* r) { r->mutable_options()->add_stop("x"); }, "TOKENIZER_MISSING",
       "options.stop", "no tokenizer"},
      {"priority", [](auto* r) { r->set_priority(static_cast<v1::Priority>(5)); }, "OPTION_INVALID", "priority", "5"},
  };
  for (const BadRequestCase& bad : cases) {
    v1::GenerateRequest request = Valid();
    bad.spoil(&request);
    const absl::Status status = ParseGenerate(request, TinyModel(), 0).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad.name;
    EXPECT_EQ(ErrorReason(status), bad.reason) << bad.name;
    EXPECT_EQ(FieldOf(status), bad.field) << bad.name;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.message)) << bad.name;
  }
}

TEST(RequestTest, AnotherModelIsNotFound) {
  v1::GenerateRequest request = Valid();
  request.set_model("other");
  const absl::Status status = ParseGenerate(request, TinyModel(), 0).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrorReason(status), "MODEL_NOT_FOUND");
}

TEST(RequestTest, ParityAllowsMasksAndUnusedRowsInThePrompt) {
  v1::GenerateRequest request = Valid();
  request.mutable_token_ids()->set_ids(0, 99);
  request.mutable_token_ids()->set_ids(1, 103);
  request.mutable_options()->set_reference_parity(true);
  EXPECT_TRUE(ParseGenerate(request, TinyModel(), 0).ok());
  request.mutable_token_ids()->set_ids(1, 104);
  EXPECT_EQ(ErrorReason(ParseGenerate(request, TinyModel(), 0).status()), "TOKEN_OUT_OF_RANGE");
}

TEST(RequestTest, WhatTheReferenceRejectsIsRejected) {
  int checked = 0;
  const auto rejects = testing::LoadGolden("rejects");
  for (const auto& entry : rejects.at("entries")) {
    const std::string why = entry.at("why");
    if (why.rfind("reference defect", 0) == 0) continue;
    const auto& params = entry.at("params");
    v1::GenerateRequest request = Valid();
    request.mutable_options()->set_gen_length(params.at("gen_length"));
    request.mutable_options()->set_block_length(params.at("block_length"));
    request.mutable_options()->set_steps(params.at("steps"));
    EXPECT_EQ(ErrorReason(ParseGenerate(request, TinyModel(), 0).status()), "OPTION_INVALID") << why;
    ++checked;
  }
  EXPECT_GE(checked, 5);
}

TEST(InfillRequestTest, SegmentsMakeTheCanvas) {
  v1::InfillRequest request;
  request.add_segments()->mutable_token_ids()->add_ids(5);
  request.add_segments()->set_masks(3);
  request.add_segments()->mutable_token_ids()->add_ids(6);
  request.add_segments()->set_masks(1);
  const auto spec = ParseInfill(request, TinyModel(), 0);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->canvas, (std::vector<int32_t>{5, 99, 99, 99, 6, 99}));
  EXPECT_EQ(spec->options.block_length(), 6);
  EXPECT_EQ(spec->options.steps(), 4);
  DenoisingSequence sequence(1, *spec);
  testing::ScriptedModel model;
  EXPECT_EQ(testing::RunAlone(&sequence, &model), 4);
  const v1::GenerateResponse response = sequence.Response();
  ASSERT_EQ(response.spans_size(), 2);
  EXPECT_EQ(response.spans(0).segment(), 1);
  EXPECT_EQ(response.spans(0).token_ids_size(), 3);
  EXPECT_EQ(response.spans(1).segment(), 3);
  EXPECT_EQ(response.token_ids_size(), 4);
  EXPECT_EQ(response.usage().prompt_tokens(), 2);
  EXPECT_EQ(response.usage().completion_tokens(), 4);
}

TEST(InfillRequestTest, BlocksWithoutMasksAreSkippedAndTheLastMayBeShort) {
  v1::InfillRequest request;
  for (int i = 0; i < 5; ++i) request.add_segments()->mutable_token_ids()->add_ids(5);
  request.add_segments()->set_masks(2);
  request.mutable_options()->set_block_length(3);
  const auto spec = ParseInfill(request, TinyModel(), 0);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->options.steps(), 3 * 1);  // 3 blocks of at most 1 mask each.
  DenoisingSequence sequence(1, *spec);
  testing::ScriptedModel model;
  EXPECT_EQ(testing::RunAlone(&sequence, &model), 2);
}

TEST(InfillRequestTest, BadSegmentsAreNamed) {
  const auto reason = [](const std::function<void(v1::InfillRequest*)>& fill) {
    v1::InfillRequest request;
    fill(&request);
    const absl::Status status = ParseInfill(request, TinyModel(), 0).status();
    return ErrorReason(status) + " " + FieldOf(status);
  };
  EXPECT_EQ(reason([](auto*) {}), "INPUT_MISSING segments");
  EXPECT_EQ(reason([](auto* r) { r->add_segments(); }), "INPUT_MISSING segments[0]");
  EXPECT_EQ(reason([](auto* r) { r->add_segments()->set_masks(0); }), "OPTION_INVALID segments[0].masks");
  EXPECT_EQ(reason([](auto* r) { r->add_segments()->set_masks(2147483647); }), "SEQUENCE_TOO_LONG segments");
  EXPECT_EQ(reason([](auto* r) { r->add_segments()->mutable_token_ids()->add_ids(5); }), "INPUT_MISSING segments");
  EXPECT_EQ(reason([](auto* r) {
              r->add_segments()->set_masks(1);
              r->mutable_options()->set_gen_length(4);
            }),
            "OPTION_INVALID options.gen_length");
  EXPECT_EQ(reason([](auto* r) {
              r->add_segments()->set_masks(1);
              r->add_segments()->mutable_token_ids()->add_ids(99);
            }),
            "MASK_TOKEN_IN_PROMPT segments[1].token_ids.ids[0]");
}

}  // namespace
}  // namespace unmask
