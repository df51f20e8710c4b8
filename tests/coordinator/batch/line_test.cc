// Lines of a job: what is wrong with one and where, what is computed of it, and what comes out.
#include "coordinator/batch/line.h"

#include "coordinator/batch/input.h"
#include "coordinator/batch/json_place.h"
#include "coordinator/errors.h"
#include "gmock/gmock.h"

namespace unmask {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

BatchLine Parsed(absl::string_view text) {
  int column = 0;
  absl::StatusOr<BatchLine> line = ParseBatchLine(text, &column);
  EXPECT_TRUE(line.ok()) << line.status() << " at " << column;
  return line.ok() ? *line : BatchLine();
}

TEST(BatchLineTest, HoldsOneRequest) {
  const BatchLine generate = Parsed(
      R"({"custom_id": "a\u00e9", "generate": {"text": "Hi", "options": {"gen_length": 8, "seed": "18446744073709551615"}}})");
  EXPECT_EQ(generate.custom_id, "aé");
  EXPECT_EQ(std::get<v1::GenerateRequest>(generate.request).options().seed(), 18446744073709551615u);
  const BatchLine infill = Parsed(R"({"infill": {"segments": [{"text": "x"}, {"masks": 3}]}, "custom_id": "b"})");
  EXPECT_EQ(std::get<v1::InfillRequest>(infill.request).segments_size(), 2);
  const BatchLine score = Parsed(
      R"({"custom_id": "c", "score": {"prompt": {"text": "x"}, "targets": [{"text": "y"}], "masked": [{"positions": [4]}]}})");
  EXPECT_EQ(std::get<v1::ScoreRequest>(score.request).masked(0).positions(0), 4);
}

TEST(BatchLineTest, FaultsHaveTheirColumn) {
  const struct {
    const char* text;
    const char* at;  // The fault is where this begins in the text.
    const char* problem;
  } cases[] = {
      {R"({"custom_id": "é", "generate": {"text": x}})", "x}}", "invalid literal"},
      {R"({"custom_id": "a", "generate": {"text": "x"})", "", "unexpected end of input"},
      {R"(["custom_id"])", "[", "no JSON object"},
      {R"({"custom_id": 7, "generate": {}})", "7", "custom_id is no string"},
      {R"({"custom_id": "", "generate": {}})", "\"\"", "custom_id has 0 bytes"},
      {R"({"generate": {"text": "x"}})", "{\"gen", "custom_id is missing"},
      {R"({"custom_id": "a"})", "{", "exactly one of"},
      {R"({"custom_id": "a", "generate": {}, "infill": {}})", "{\"cus", "exactly one of"},
      {R"({"custom_id": "a", "generate": {}, "score": {}})", "{\"cus", "exactly one of"},
      {R"({"custom_id": "a", "score": {"samples": "few"}})", "\"few\"", "few"},
      {R"({"custom_id": "a", "custom_id": "b", "generate": {}})", "\"b\"", "twice"},
      {R"({"custom_id": "a", "generat": {"text": "x"}})", "{\"text", "a line has no \"generat\""},
      {R"({"custom_id": "ü", "generate": {"text": "x", "options": {"steps": "many"}}})", "\"many\"", "many"},
      {R"({"custom_id": "a", "generate": {"text": "x", "options": {"stepz": 3}}})", "{\"stepz\"", "stepz"},
      {R"({"custom_id": "a", "generate": [1]})", "[1]", "generate: "},
      {R"({"custom_id": "a", "method": "GET", "url": "/v1/completions", "body": {"prompt": "x"}})", "\"GET\"",
       "not POST"},
      {R"({"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"prompt": "x"}})", "\"/v1/e",
       "url is"},
      {R"({"custom_id": "a", "method": "POST", "url": "/v1/completions"})", "{", "belong together"},
      {R"({"custom_id": "a", "generate": {}, "body": {}})", "{\"cus", "exactly one of"},
      {R"({"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {"prompt": "x", "max_tokens": "y"}})",
       "\"y\"", "max_tokens"},
      {R"({"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {"prompt": "x", "stream": true}})",
       "true", "stream"},
      {"{\"custom_id\": \"\xff\", \"generate\": {}}", "\xff", ""},
  };
  for (const auto& fault : cases) {
    const std::string text = fault.text;
    const size_t byte = fault.at[0] == '\0' ? text.size() : text.find(fault.at);
    ASSERT_NE(byte, std::string::npos) << text;
    int column = -1;
    const absl::Status status = ParseBatchLine(text, &column).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(fault.problem)) << text;
    // Where a literal ends is where the parser notices it.
    EXPECT_NEAR(column, JsonColumn(text, byte), fault.problem == std::string("invalid literal") ? 1 : 0)
        << text << ": " << status;
  }
}

TEST(BatchLineTest, ColumnsCountCharacters) {
  EXPECT_EQ(JsonColumn("abc", 0), 1);
  EXPECT_EQ(JsonColumn("äöü!", std::string("äöü!").find('!')), 4);
}

TEST(BatchLineTest, OptionsComeFromTheLineThenFromTheJob) {
  v1::BatchJob job;
  job.set_seed(7);
  job.mutable_default_options()->set_gen_length(16);
  job.mutable_default_options()->set_steps(4);
  job.mutable_default_options()->add_stop("job");
  BatchLine line = Parsed(R"({"custom_id": "a", "generate": {"options": {"steps": 8, "stop": ["own"]}}})");
  PrepareBatchLine(job, 3, &line);
  const auto& request = std::get<v1::GenerateRequest>(line.request);
  EXPECT_EQ(request.options().gen_length(), 16);
  EXPECT_EQ(request.options().steps(), 8);
  ASSERT_EQ(request.options().stop_size(), 1);
  EXPECT_EQ(request.options().stop(0), "own");
  EXPECT_EQ(request.priority(), v1::PRIORITY_BATCH);

  BatchLine infill = Parsed(R"({"custom_id": "a", "infill": {"priority": "PRIORITY_INTERACTIVE"}})");
  PrepareBatchLine(job, 3, &infill);
  EXPECT_FALSE(std::get<v1::InfillRequest>(infill.request).options().has_gen_length());
  EXPECT_EQ(std::get<v1::InfillRequest>(infill.request).priority(), v1::PRIORITY_BATCH);
}

TEST(BatchLineTest, AScoreTakesFromTheJobWhatItHas) {
  v1::BatchJob job;
  job.set_seed(7);
  job.mutable_default_options()->set_gen_length(16);
  job.mutable_default_options()->set_cfg_scale(0.5f);
  job.mutable_default_options()->set_reference_parity(true);
  BatchLine line = Parsed(R"({"custom_id": "a", "score": {"targets": [{"text": "y"}], "reference_parity": false}})");
  PrepareBatchLine(job, 3, &line);
  const auto& request = std::get<v1::ScoreRequest>(line.request);
  EXPECT_EQ(request.cfg_scale(), 0.5f);
  EXPECT_FALSE(request.reference_parity());
  EXPECT_EQ(request.priority(), v1::PRIORITY_BATCH);
  EXPECT_TRUE(request.has_seed());
  BatchLine next = Parsed(R"({"custom_id": "a", "score": {}})");
  PrepareBatchLine(job, 4, &next);
  EXPECT_NE(std::get<v1::ScoreRequest>(next.request).seed(), request.seed());
  job.mutable_default_options()->set_seed(9);
  PrepareBatchLine(job, 4, &(next = Parsed(R"({"custom_id": "a", "score": {}})")));
  EXPECT_EQ(std::get<v1::ScoreRequest>(next.request).seed(), 9u);
}

TEST(BatchLineTest, SeedsDependOnTheJobsAndTheIndexAlone) {
  const auto seed = [](uint64_t of_job, int64_t index, const char* own = "") {
    v1::BatchJob job;
    job.set_seed(of_job);
    BatchLine line = Parsed(absl::StrCat("{\"custom_id\": \"a\", \"generate\": {\"options\": {", own, "}}}"));
    PrepareBatchLine(job, index, &line);
    return std::get<v1::GenerateRequest>(line.request).options().seed();
  };
  EXPECT_EQ(seed(7, 3), seed(7, 3));
  EXPECT_NE(seed(7, 3), seed(7, 4));
  EXPECT_NE(seed(7, 3), seed(8, 3));
  EXPECT_EQ(seed(7, 3, "\"seed\": 0"), 0u) << "0 is a seed, too";
}

TEST(BatchLineTest, AResultSaysNothingOfWhenOrHowOftenItWasComputed) {
  BatchLine line = Parsed(R"({"custom_id": "a\"b", "generate": {}})");
  v1::GenerateResponse response;
  response.set_text("héllo");
  response.mutable_options()->set_seed(5);
  response.set_request_id("drawn");
  const v1::BatchJobResult once = RenderBatchResult(line, 4, response);
  response.set_replays(3);
  response.set_request_id("drawn anew");
  response.mutable_timing()->mutable_total()->set_seconds(9);
  const v1::BatchJobResult again = RenderBatchResult(line, 4, response);
  EXPECT_EQ(once.line(), again.line());
  EXPECT_EQ(once.index(), 4);
  EXPECT_FALSE(once.failed());
  EXPECT_THAT(once.line(), HasSubstr(R"({"custom_id":"a\"b","generate":{"text":"héllo")"));
  EXPECT_THAT(once.line(), HasSubstr(R"("seed":"5")"));
  EXPECT_THAT(once.line(), Not(HasSubstr("request_id")));
  EXPECT_THAT(once.line(), Not(HasSubstr("replays")));
  EXPECT_THAT(once.line(), Not(HasSubstr("timing")));
  response.set_text("other");
  EXPECT_NE(RenderBatchResult(line, 4, response).line(), once.line());

  line = Parsed(R"({"custom_id": "a", "generate": {"request_id": "mine"}})");
  EXPECT_THAT(RenderBatchResult(line, 4, response).line(), HasSubstr(R"("request_id":"mine")"));
}

TEST(BatchLineTest, AScoreIsALineOfItsOwnKind) {
  const BatchLine line = Parsed(R"({"custom_id": "a", "score": {}})");
  v1::ScoreResponse response;
  response.add_scores()->set_log_likelihood(-1.5);
  response.set_request_id("drawn");
  const std::string once = RenderBatchResult(line, 0, response).line();
  EXPECT_THAT(once, HasSubstr(R"({"custom_id":"a","score":{"scores":[{"log_likelihood":-1.5)"));
  response.set_replays(1);
  response.mutable_timing()->mutable_total()->set_seconds(9);
  EXPECT_EQ(RenderBatchResult(line, 0, response).line(), once);
}

TEST(BatchLineTest, AnErrorIsALineToo) {
  const BatchLine line = Parsed(R"({"custom_id": "a", "infill": {}})");
  const v1::BatchJobResult result =
      RenderBatchResult(line, 0, InvalidField(kOptionInvalid, "options.steps", "steps 0 is less than 1"));
  EXPECT_TRUE(result.failed());
  EXPECT_EQ(result.line(), R"({"custom_id":"a","error":{"code":"INVALID_ARGUMENT","reason":"OPTION_INVALID",)"
                           R"("message":"steps 0 is less than 1"}})");
}

TEST(BatchLineTest, OpenAisLinesAreAnsweredInItsObjects) {
  BatchLine line = Parsed(R"({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions",)"
                          R"( "body": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8}})");
  PrepareBatchLine(v1::BatchJob(), 3, &line);
  const auto& request = std::get<v1::GenerateRequest>(line.request);
  EXPECT_EQ(request.chat().messages(0).content(), "Hi");
  EXPECT_EQ(request.options().gen_length(), 8);
  EXPECT_TRUE(request.options().has_seed());
  v1::GenerateResponse response;
  response.set_text("Hello");
  response.set_finish_reason(v1::FINISH_REASON_EOS);
  const std::string once = RenderBatchResult(line, 3, response).line();
  response.set_replays(2);
  response.set_request_id("drawn");
  response.mutable_timing()->mutable_total()->set_seconds(1);
  EXPECT_EQ(RenderBatchResult(line, 3, response).line(), once);
  EXPECT_THAT(once, HasSubstr(absl::StrCat("{\"id\":\"batch_req_", line.reply_id,
                                           "\",\"custom_id\":\"a\",\"response\":{", "\"status_code\":200,")));
  EXPECT_THAT(once, HasSubstr("\"content\":\"Hello\""));
  EXPECT_THAT(once, HasSubstr("\"error\":null}"));
  const v1::BatchJobResult failed =
      RenderBatchResult(line, 3, InvalidField(kOptionInvalid, "options.gen_length", "gen_length 0 is less than 1"));
  EXPECT_TRUE(failed.failed());
  EXPECT_THAT(failed.line(), HasSubstr("\"status_code\":400,"));
  EXPECT_THAT(failed.line(), HasSubstr("\"error\":{\"code\":\"option_invalid\",\"message\":\"gen_length 0"));
}

TEST(BatchInputTest, HandsOutLinesWithTheirNumbers) {
  BatchInput input = BatchInput::OfText("one\r\n\n  \ntwo\nthree", {});
  std::string line;
  std::vector<std::pair<int64_t, std::string>> seen;
  while (*input.Next(&line)) seen.emplace_back(input.number(), line);
  EXPECT_EQ(seen, (std::vector<std::pair<int64_t, std::string>>{{1, "one"}, {4, "two"}, {5, "three"}}));
  EXPECT_EQ(BatchInput::OfText("abc", {}).TakeDigest(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(BatchInputTest, RefusesWhatIsTooLong) {
  BatchLimits limits;
  limits.line_bytes = 4;
  std::string line;
  BatchInput input = BatchInput::OfText("1234\n12345\n", limits);
  EXPECT_TRUE(input.Next(&line).ok());
  EXPECT_EQ(input.Next(&line).status().code(), absl::StatusCode::kInvalidArgument);
  limits.bytes = 3;
  BatchInput longer = BatchInput::OfText("1\n2\n", limits);
  EXPECT_EQ(longer.Next(&line).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace unmask
