#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "coordinator/errors.h"
#include "coordinator/json_message.h"
#include "coordinator/openai/completion.h"
#include "coordinator/openai/error.h"
#include "coordinator/request.h"
#include "tests/coordinator/scripted_model.h"

namespace unmask::openai {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using unmask::testing::TinyModel;

constexpr Endpoint kText = Endpoint::kCompletions;
constexpr Endpoint kChat = Endpoint::kChatCompletions;

Completion Parsed(Endpoint endpoint, const std::string& body) {
  auto completion = ParseCompletion(endpoint, body);
  EXPECT_TRUE(completion.ok()) << completion.status() << " of " << body;
  return completion.ok() ? *std::move(completion) : Completion{};
}

const v1::GenerateRequest& Generate(const Completion& completion) {
  return std::get<v1::GenerateRequest>(completion.request);
}

TEST(OpenAiCompletionTest, BothNamesOfAnOptionReachTheRequest) {
  const Completion completion = Parsed(kText, R"({
    "model": "m", "prompt": "Hi", "max_tokens": 64, "temperature": 0.5, "seed": 7, "stop": "\n", "stream": true,
    "stream_options": {"include_usage": true}, "user": "u", "n": 1, "logprobs": null, "service_tier": "flex",
    "diffusion": {"steps": 32, "block_length": 16, "remasking": "confidence-threshold", "threshold": 0.75,
                  "cache": "CACHE_DUAL", "cfg_scale": 1, "logits_eos_inf": true, "stream": "steps",
                  "output": {"proposals": true}, "request_id": "r"}})");
  const v1::GenerateRequest& request = Generate(completion);
  EXPECT_EQ(request.model(), "m");
  EXPECT_EQ(request.text(), "Hi");
  EXPECT_EQ(request.priority(), v1::PRIORITY_BATCH);
  EXPECT_TRUE(request.output().proposals());
  EXPECT_EQ(request.request_id(), "r");
  const v1::GenerationOptions& options = request.options();
  EXPECT_EQ(options.gen_length(), 64);
  EXPECT_EQ(options.steps(), 32);
  EXPECT_EQ(options.block_length(), 16);
  EXPECT_EQ(options.remasking(), v1::REMASKING_CONFIDENCE_THRESHOLD);
  EXPECT_EQ(options.threshold(), 0.75f);
  EXPECT_EQ(options.cache(), v1::CACHE_DUAL);
  EXPECT_EQ(options.temperature(), 0.5f);
  EXPECT_EQ(options.cfg_scale(), 1);
  EXPECT_EQ(options.seed(), 7);
  EXPECT_TRUE(options.logits_eos_inf());
  EXPECT_THAT(options.stop(), ElementsAre("\n"));
  EXPECT_EQ(completion.stream, Stream::kSteps);
  EXPECT_TRUE(completion.include_usage);
}

TEST(OpenAiCompletionTest, WhatIsUnsetStaysUnset) {
  const Completion completion = Parsed(kText, R"({"prompt": [[1, 2, 3]], "max_tokens": null, "diffusion": null})");
  EXPECT_THAT(Generate(completion).token_ids().ids(), ElementsAre(1, 2, 3));
  EXPECT_EQ(Generate(completion).options().ByteSizeLong(), 0) << Generate(completion).options().ShortDebugString();
  EXPECT_EQ(completion.stream, Stream::kNone);
}

TEST(OpenAiCompletionTest, ChatTakesTextPartsOldAnswersAndTheNewerNames) {
  const Completion completion = Parsed(kChat, R"({"max_completion_tokens": 8, "messages": [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": null},
    {"role": "assistant", "content": "c", "refusal": null, "tool_calls": null, "annotations": []}]})");
  const auto& messages = Generate(completion).chat().messages();
  ASSERT_EQ(messages.size(), 3);
  EXPECT_EQ(messages[0].role(), "system");
  EXPECT_EQ(messages[1].content(), "ab");
  EXPECT_EQ(messages[2].content(), "c");
  EXPECT_EQ(Generate(completion).options().gen_length(), 8);
}

TEST(OpenAiCompletionTest, ASuffixMakesAGap) {
  const Completion completion = Parsed(kText, R"({"prompt": "a", "suffix": "z", "max_tokens": 5, "seed": 1})");
  const auto& request = std::get<v1::InfillRequest>(completion.request);
  ASSERT_EQ(request.segments_size(), 3);
  EXPECT_EQ(request.segments(0).text(), "a");
  EXPECT_EQ(request.segments(1).masks(), 5);
  EXPECT_EQ(request.segments(2).text(), "z");
  EXPECT_FALSE(request.options().has_gen_length());
  EXPECT_EQ(request.options().seed(), 1);
  EXPECT_TRUE(completion.suffix);
}

TEST(OpenAiCompletionTest, SegmentsAreInfilled) {
  const Completion completion =
      Parsed(kText, R"({"diffusion": {"segments": [{"text": "a"}, {"masks": 2}, {"token_ids": [4, 5]}]}})");
  const auto& request = std::get<v1::InfillRequest>(completion.request);
  ASSERT_EQ(request.segments_size(), 3);
  EXPECT_EQ(request.segments(1).masks(), 2);
  EXPECT_THAT(request.segments(2).token_ids().ids(), ElementsAre(4, 5));
}

// Each body, the parameter that is to blame, and a part of the message.
struct Bad {
  Endpoint endpoint;
  const char* body;
  const char* param;
  const char* message;
};

TEST(OpenAiCompletionTest, WrongBodiesAreRefusedByName) {
  const Bad cases[] = {
      {kText, "", "", "line 1, column 1"},
      {kText, "{\"prompt\": \n nope}", "", "line 2, column 3"},
      {kText, "{\"prompt\": \"\xff\"}", "", "line 1, column 13"},
      {kText, R"({"prompt": "a")", "", "not JSON"},
      {kText, R"({"prompt": "a"} {})", "", "not JSON at line 1, column 17"},
      {kText, R"({"temperature": NaN})", "", "not JSON"},
      {kText, R"({"temperature": 1e999})", "", "a number is too large"},
      {kText, R"({"prompt": "a", "prompt": "b"})", "", "\"prompt\" twice"},
      {kText, "[]", "", "must be an object, not array"},
      {kText, "3", "", "must be an object, not number"},
      {kText, R"({"prompt": 3})", "prompt", "must be a string or an array of token ids, not number"},
      {kText, R"({"prompt": ["a", "b"]})", "prompt", "2 prompts"},
      {kText, R"({"prompt": [1, "b"]})", "prompt[1]", "must be an integer, not string"},
      {kText, R"({"prompt": [1, 2.5]})", "prompt[1]", "2.5 is not an integer"},
      {kText, R"({"prompt": [3000000000]})", "prompt[0]", "3000000000"},
      {kText, R"({"messages": []})", "messages", "not a field"},
      {kText, R"({"model": 1})", "model", "must be a string, not number"},
      {kText, R"({"max_tokens": "8"})", "max_tokens", "must be an integer, not string"},
      {kText, R"({"max_tokens": true})", "max_tokens", "must be an integer, not boolean"},
      {kText, R"({"max_tokens": 99999999999999999999})", "max_tokens", "is not an integer in"},
      {kText, R"({"seed": -1})", "seed", "-1 is not an integer in [0, 18446744073709551615]"},
      {kText, R"({"stop": [1]})", "stop[0]", "must be a string"},
      {kText, R"({"stream": "yes"})", "stream", "must be true or false"},
      {kText, R"({"stream_options": {"x": 1}})", "stream_options.x", "not a field"},
      {kText, R"({"n": 2})", "n", "not supported"},
      {kText, R"({"top_p": 0.9})", "top_p", "leave it out, or 1"},
      {kText, R"({"foo": 1})", "foo", "not a field"},
      {kText, R"({"service_tier": "fast"})", "service_tier", "none of"},
      {kText, R"({"diffusion": []})", "diffusion", "must be an object"},
      {kText, R"({"diffusion": {"foo": 1}})", "diffusion.foo", "not a field"},
      {kText, R"({"diffusion": {"steps": "many"}})", "diffusion.steps", "must be an integer"},
      {kText, R"({"diffusion": {"remasking": "best"}})", "diffusion.remasking", "low-confidence, random"},
      {kText, R"({"diffusion": {"cache": 2}})", "diffusion.cache", "must be a string"},
      {kText, R"({"diffusion": {"stream": "all"}})", "diffusion.stream", "neither"},
      {kText, R"({"diffusion": {"output": {"canvas": 1}}})", "diffusion.output.canvas", "true or false"},
      {kText, R"({"diffusion": {"segments": [{"masks": 1, "text": "a"}]}})", "diffusion.segments[0].text",
       "masks are both set"},
      {kText, R"({"max_tokens": 4, "diffusion": {"gen_length": 4}})", "max_tokens", "both set"},
      {kText, R"({"stop": "a", "diffusion": {"stop": ["a"]}})", "stop", "both set"},
      {kText, R"({"prompt": "a", "diffusion": {"segments": [{"masks": 1}]}})", "prompt", "both set"},
      {kChat, R"({"prompt": "a"})", "prompt", "not a field"},
      {kChat, R"({"messages": "a"})", "messages", "must be an array"},
      {kChat, R"({"messages": ["a"]})", "messages[0]", "must be an object"},
      {kChat, R"({"messages": [{"role": 1}]})", "messages[0].role", "must be a string"},
      {kChat, R"({"messages": [{"content": null}]})", "messages[0].content", "not null"},
      {kChat, R"({"messages": [{"content": [{"type": "image_url"}]}]})", "messages[0].content[0]", "of type text"},
      {kChat, R"({"messages": [{"tool_calls": [1]}]})", "messages[0].tool_calls", "not a field"},
      {kChat, R"({"max_tokens": 1, "max_completion_tokens": 1})", "max_tokens", "both set"},
      {kChat, R"({"tools": [{"type": "function"}]})", "tools", "not supported"},
  };
  for (const Bad& bad : cases) {
    const auto parsed = ParseCompletion(bad.endpoint, bad.body);
    ASSERT_FALSE(parsed.ok()) << bad.body;
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
    const auto error = ErrorJson(parsed.status())["error"];
    EXPECT_EQ(error["param"].is_null() ? "" : error["param"].get<std::string>(), bad.param) << bad.body;
    EXPECT_THAT(error["message"].get<std::string>(), HasSubstr(bad.message)) << bad.body;
    EXPECT_EQ(error["type"], "invalid_request_error");
  }
}

TEST(OpenAiCompletionTest, DeepNestingIsRefusedAndShallowIsNot) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(ParseJson(nested(32)).ok());
  for (const int depth : {33, 1'000'000}) {
    EXPECT_THAT(ParseJson(nested(depth)).status().message(), HasSubstr("deeper than 32 levels"));
  }
}

TEST(OpenAiCompletionTest, ErrorsOfTheDocumentHoldNothingOfIt) {
  for (const char* body : {"{\"prompt\": \"secret\" secret", "secret", "{\"secret\": 1e999}"}) {
    EXPECT_THAT(std::string(ParseJson(body).status().message()), Not(HasSubstr("secret"))) << body;
  }
}

// What the validator says of a request's field is said of the place where the client wrote it.
TEST(OpenAiCompletionTest, TheValidatorsBlameReachesTheClientsField) {
  const Bad cases[] = {
      {kText, R"({"prompt": [1], "max_tokens": 0})", "max_tokens", "is less than 1"},
      {kText, R"({"prompt": [1], "diffusion": {"gen_length": 0}})", "diffusion.gen_length", "is less than 1"},
      {kText, R"({"prompt": [1], "diffusion": {"block_length": 30}})", "diffusion.block_length",
       "block_length 30 does not divide gen_length 128"},
      {kText, R"({"prompt": [1], "temperature": -1})", "temperature", "is not a finite number"},
      {kText, R"({"prompt": [1], "temperature": 1e300})", "temperature", "is not a finite number"},
      {kText, R"({"prompt": [1], "stop": ["a"]})", "stop", "no tokenizer"},
      {kText, R"({"prompt": [1, 2, 3000]})", "prompt[2]", "3000 is not in"},
      {kText, R"({"prompt": [99]})", "prompt[0]", "mask token"},
      {kText, R"({"prompt": []})", "prompt", "empty"},
      {kText, R"({})", "prompt", "must be set"},
      {kText, R"({"prompt": "a"})", "prompt", "no tokenizer"},
      {kText, R"({"prompt": [1], "suffix": "z", "max_tokens": 0})", "max_tokens.masks", "is less than 1"},
      {kText, R"({"prompt": [3000], "suffix": "z"})", "prompt[0]", "3000 is not in"},
      {kText, R"({"diffusion": {"segments": [{"token_ids": [1]}]}})", "diffusion.segments", "nothing to fill in"},
      {kText, R"({"max_tokens": 3, "diffusion": {"segments": [{"masks": 1}]}})", "max_tokens", "segments decide"},
      {kText, R"({"model": "other", "prompt": [1]})", "", "no such model"},
      {kChat, R"({"messages": [{"role": "user", "content": "a"}]})", "messages", "no tokenizer"},
  };
  for (const Bad& bad : cases) {
    const Completion asked = Parsed(bad.endpoint, bad.body);
    absl::Status status;
    if (const auto* generate = std::get_if<v1::GenerateRequest>(&asked.request)) {
      status = ParseGenerate(*generate, TinyModel(), 1).status();
    } else {
      status = ParseInfill(std::get<v1::InfillRequest>(asked.request), TinyModel(), 1).status();
    }
    ASSERT_FALSE(status.ok()) << bad.body;
    const auto error = ErrorJson(status, &asked)["error"];
    EXPECT_EQ(error["param"].is_null() ? "" : error["param"].get<std::string>(), bad.param) << bad.body;
    EXPECT_THAT(error["message"].get<std::string>(), HasSubstr(bad.message)) << bad.body;
  }
}

// Every option of the service is an option here, under its own name, as the service echoes it.
TEST(OpenAiCompletionTest, EchoedOptionsMayBeSentAgain) {
  const Completion asked =
      Parsed(kText, R"({"prompt": [1], "diffusion": {"remasking": "factor", "seed": "18446744073709551615"}})");
  const auto spec = ParseGenerate(Generate(asked), TinyModel(), 1);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->options.seed(), ~uint64_t{0});
  const json body = {{"prompt", {1}}, {"diffusion", json(MessageJson(spec->options))}};
  const auto again = ParseGenerate(Generate(Parsed(kText, body.dump())), TinyModel(), 2);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->options.SerializeAsString(), spec->options.SerializeAsString());
}

TEST(OpenAiErrorTest, CodesAreHttpsAndRetriesAreToldInWholeSeconds) {
  using absl::StatusCode;
  EXPECT_EQ(HttpCode(StatusCode::kOk), 200);
  EXPECT_EQ(HttpCode(StatusCode::kInvalidArgument), 400);
  EXPECT_EQ(HttpCode(StatusCode::kUnauthenticated), 401);
  EXPECT_EQ(HttpCode(StatusCode::kPermissionDenied), 403);
  EXPECT_EQ(HttpCode(StatusCode::kNotFound), 404);
  EXPECT_EQ(HttpCode(StatusCode::kResourceExhausted), 429);
  EXPECT_EQ(HttpCode(StatusCode::kInternal), 500);
  EXPECT_EQ(HttpCode(StatusCode::kUnavailable), 503);
  EXPECT_EQ(HttpCode(StatusCode::kDeadlineExceeded), 504);
  const absl::Status overloaded =
      ServiceError(StatusCode::kResourceExhausted, kOverloaded, "the queue is full", {}, absl::Milliseconds(1200));
  EXPECT_EQ(RetryAfterSeconds(overloaded), 2);
  EXPECT_EQ(RetryAfterSeconds(absl::InternalError("x")), 0);
  const auto error = ErrorJson(overloaded)["error"];
  EXPECT_EQ(error["code"], "overloaded");
  EXPECT_EQ(error["type"], "rate_limit_error");
  EXPECT_TRUE(error["param"].is_null());
  EXPECT_EQ(ErrorJson(absl::InternalError("x"))["error"]["code"], "internal");
}

}  // namespace
}  // namespace unmask::openai
