#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/client.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tests/cli/command_fixture.h"

namespace unmask {
namespace {

using google::protobuf::util::MessageDifferencer;
using testing::HasSubstr;
using testing::StartsWith;

template <typename Message>
Message FromJson(const std::string& json) {
  Message message;
  const auto status = google::protobuf::util::JsonStringToMessage(json, &message);
  EXPECT_TRUE(status.ok()) << status.ToString() << ": " << json;
  return message;
}

TEST_F(CommandTest, GeneratePrintsTheTextAlone) {
  const Result result = Run({"generate", "Say hello"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "Hello, world!\n");
  EXPECT_EQ(result.err, "");
}

TEST_F(CommandTest, CredentialsThatCannotWorkAreConfigurationErrorsThatNameThem) {
  const Result pair = Run({"generate", "Say hello", "--tls-ca", "ca.pem", "--tls-cert", "a.pem"});
  EXPECT_EQ(pair.exit_code, 78);
  EXPECT_THAT(pair.err, HasSubstr("tls-cert a.pem needs tls-key"));
  const Result token = Run({"generate", "Say hello", "--token-file", "/no/token"});
  EXPECT_EQ(token.exit_code, 78);
  EXPECT_THAT(token.err, HasSubstr("token-file: /no/token cannot be read"));
}

TEST_F(CommandTest, APromptIsOneUserTurnWhereThereIsATemplate) {
  Run({"generate", "Say hello", "--system", "Be brief."});
  const v1::GenerateRequest chat = server_.asked().generate;
  ASSERT_EQ(chat.chat().messages_size(), 2);
  EXPECT_EQ(chat.chat().messages(0).role(), "system");
  EXPECT_EQ(chat.chat().messages(1).content(), "Say hello");
  Run({"generate", "Say hello", "--raw"});
  EXPECT_EQ(server_.asked().generate.text(), "Say hello");
  script_.model.set_has_chat_template(false);
  Play(script_);
  Run({"generate", "Say hello"});
  EXPECT_EQ(server_.asked().generate.text(), "Say hello");
}

TEST_F(CommandTest, TheTraceOfTheCallerIsPassedOn) {
  constexpr char kTraceparent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  setenv("TRACEPARENT", kTraceparent, 1);
  Run({"generate", "Say hello"});
  EXPECT_EQ(server_.asked().traceparent, kTraceparent);
  setenv("TRACEPARENT", "no trace\nat all", 1);
  EXPECT_EQ(Run({"generate", "Say hello"}).exit_code, 0);
  EXPECT_EQ(server_.asked().traceparent, "");
  unsetenv("TRACEPARENT");
}

TEST_F(CommandTest, PromptsComeFromIdsAndFromStandardInput) {
  Run({"generate", "--prompt-ids", "1,2,3"});
  EXPECT_THAT(server_.asked().generate.token_ids().ids(), testing::ElementsAre(1, 2, 3));
  Run({"generate", "--raw", "-"}, "two\nlines\n");
  EXPECT_EQ(server_.asked().generate.text(), "two\nlines");
}

TEST_F(CommandTest, OnlyWhatTheUserSaidIsSent) {
  Run({"generate", "x", "--steps", "8", "--remasking", "margin", "--priority", "batch", "--token-ids"});
  const v1::GenerateRequest request = server_.asked().generate;
  v1::GenerationOptions expected;
  expected.set_steps(8);
  expected.set_remasking(v1::REMASKING_MARGIN);
  EXPECT_TRUE(MessageDifferencer::Equals(request.options(), expected)) << request.ShortDebugString();
  EXPECT_EQ(request.priority(), v1::PRIORITY_BATCH);
  EXPECT_TRUE(request.output().token_ids());
  EXPECT_FALSE(request.output().proposals());
  EXPECT_FALSE(request.output().canvas());
}

TEST_F(CommandTest, JsonIsTheReplyAndNothingElse) {
  const Result result = Run({"generate", "x", "--json"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_TRUE(
      MessageDifferencer::Equals(FromJson<v1::GenerateResponse>(result.out), script_.events.back().completed()));
  EXPECT_THAT(result.out, HasSubstr("\"finish_reason\":\"FINISH_REASON_EOS\""));  // The proto's own names,
  EXPECT_THAT(result.out, HasSubstr("\"replays\":0"));                            // and scalars that are zero.
}

TEST_F(CommandTest, StreamJsonIsOneEventALine) {
  const Result result = Run({"generate", "x", "--stream-json"});
  const std::vector<std::string> lines = absl::StrSplit(result.out, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), script_.events.size());
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_TRUE(MessageDifferencer::Equals(FromJson<v1::GenerateStreamResponse>(lines[i]), script_.events[i]))
        << lines[i];
  }
  EXPECT_EQ(Run({"generate", "x", "--json", "--stream-json"}).exit_code, 64);
}

TEST_F(CommandTest, EveryCodeHasItsExitCode) {
  const struct {
    absl::StatusCode code;
    int exit_code;
  } kCases[] = {
      {absl::StatusCode::kInvalidArgument, 64},  {absl::StatusCode::kNotFound, 64},
      {absl::StatusCode::kUnavailable, 69},      {absl::StatusCode::kResourceExhausted, 69},
      {absl::StatusCode::kDeadlineExceeded, 69}, {absl::StatusCode::kInternal, 70},
      {absl::StatusCode::kUnimplemented, 70},    {absl::StatusCode::kFailedPrecondition, 70},
      {absl::StatusCode::kUnknown, 70},          {absl::StatusCode::kDataLoss, 70},
      {absl::StatusCode::kPermissionDenied, 70}, {absl::StatusCode::kUnauthenticated, 70},
      {absl::StatusCode::kAborted, 70},          {absl::StatusCode::kOutOfRange, 70},
      {absl::StatusCode::kAlreadyExists, 70},    {absl::StatusCode::kCancelled, 70},
  };
  for (const auto& c : kCases) {
    script_.status = absl::Status(c.code, "because");
    Play(script_);
    for (const char* mode : {"--no-view", "--json", "--stream-json"}) {
      const Result result = Run({"generate", "x", mode});
      EXPECT_EQ(result.exit_code, c.exit_code) << absl::StatusCodeToString(c.code) << mode;
      EXPECT_EQ(result.err, absl::StrCat("unmask: because (", absl::StatusCodeToString(c.code), ")\n"));
    }
    EXPECT_EQ(Run({"generate", "x", "--json"}).out, "");
  }
}

TEST_F(CommandTest, FieldViolationsAreTold) {
  google::rpc::BadRequest bad;
  bad.add_field_violations()->set_field("options.steps");
  bad.mutable_field_violations(0)->set_description("steps 3 is not a multiple of 2 blocks");
  google::rpc::Status details;
  details.add_details()->PackFrom(bad);
  script_.status = absl::InvalidArgumentError("steps 3 is not a multiple of 2 blocks");
  script_.status.SetPayload(kStatusDetailsPayload, absl::Cord(details.SerializeAsString()));
  Play(script_);
  EXPECT_EQ(Run({"generate", "x", "--steps", "3"}).err,
            "unmask: options.steps: steps 3 is not a multiple of 2 blocks (INVALID_ARGUMENT)\n");
}

TEST_F(CommandTest, UsageIsCheckedBeforeAnythingIsAsked) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"generate"},
           {"generate", "x", "--prompt-ids", "1"},
           {"generate", "--prompt-ids", "1,x"},
           {"generate", "x", "--remasking", "best"},
           {"generate", "\xff"},
           {"generate", "x", "--raw", "--system", "s"},
           {"generate", "x", "--svg", "/nowhere/picture.svg"},
           {"infill", "no gap"},
           {"infill", "[MASK]*0"},
           {"infill", "___", "--gen-length", "4"},
           {"detokenize", "1,b"},
           {"status", "--frobnicate"},
       }) {
    const Result result = Run(arguments);
    EXPECT_EQ(result.exit_code, 64) << absl::StrJoin(arguments, " ");
    EXPECT_NE(result.err, "") << absl::StrJoin(arguments, " ");
    EXPECT_EQ(result.out, "");
  }
  EXPECT_EQ(server_.asked().generations, 0);
}

TEST_F(CommandTest, AServiceThatIsNotThereIsSaidInOneLine) {
  const Result result = Run({"model", "--server", "127.0.0.1:1"});
  EXPECT_EQ(result.exit_code, 69);
  EXPECT_EQ(result.err, "unmask: no service answers at 127.0.0.1:1 (connection refused) (UNAVAILABLE)\n");
}

TEST_F(CommandTest, ATimeoutIsADeadline) {
  script_.hang = true;
  Play(script_);
  const Result result = Run({"generate", "x", "--timeout", "0.2"});
  EXPECT_EQ(result.exit_code, 69);
  EXPECT_THAT(result.err, HasSubstr("DEADLINE_EXCEEDED"));
}

TEST_F(CommandTest, CtrlCCancelsTheCall) {
  script_.hang = true;
  Play(script_);
  for (const char* mode : {"--json", "--stream-json"}) {
    const int before = server_.asked().cancelled;
    std::thread user([this, goal = server_.asked().generations + 1] {
      while (server_.asked().generations < goal) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      kill(getpid(), SIGINT);
    });
    const Result result = Run({"generate", "x", mode});
    user.join();
    EXPECT_EQ(result.exit_code, 130);
    EXPECT_EQ(result.err, "");
    for (int i = 0; i < 200 && server_.asked().cancelled == before; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(server_.asked().cancelled, before + 1);
  }
}

TEST_F(CommandTest, AStreamWithoutAResultIsAnError) {
  script_.events.pop_back();
  Play(script_);
  const Result result = Run({"generate", "x", "--stream-json"});
  EXPECT_EQ(result.exit_code, 70);
  EXPECT_EQ(result.err, "unmask: the stream ended without a result (INTERNAL)\n");
}

TEST_F(CommandTest, SvgSavesThePictureBesideTheOutput) {
  const std::string path = absl::StrCat(testing::TempDir(), "/unmask_command_test_", getpid(), ".svg");
  const Result result = Run({"generate", "x", "--json", "--svg", path});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_TRUE(
      MessageDifferencer::Equals(FromJson<v1::GenerateResponse>(result.out), script_.events.back().completed()));
  std::stringstream svg;
  svg << std::ifstream(path).rdbuf();
  std::remove(path.c_str());
  EXPECT_THAT(svg.str(), StartsWith("<svg "));
  EXPECT_THAT(svg.str(), HasSubstr("world"));
}

TEST_F(CommandTest, WithoutATokenizerTheIdsAreTheAnswer) {
  script_.model.set_has_tokenizer(false);
  script_.model.set_has_chat_template(false);
  script_.events.back().mutable_completed()->clear_text();
  Play(script_);
  const Result result = Run({"generate", "--prompt-ids", "5"});
  EXPECT_EQ(result.out, "10,11,12,13,1001,1001,1001,1001\n");
}

TEST_F(CommandTest, InfillSendsSegments) {
  script_.events.back().mutable_completed()->set_text("I love you and tea");
  Play(script_);
  const Result result = Run({"infill", "I [MASK] you and ___", "--gap-tokens", "2", "--steps", "3"});
  EXPECT_EQ(result.out, "I love you and tea\n");
  const v1::InfillRequest request = server_.asked().infill;
  ASSERT_EQ(request.segments_size(), 4);
  EXPECT_EQ(request.segments(1).masks(), 1);
  EXPECT_EQ(request.segments(3).masks(), 2);
  EXPECT_EQ(request.options().steps(), 3);
  EXPECT_FALSE(request.options().has_gen_length());
}

TEST_F(CommandTest, ScoresAreATableOrJson) {
  v1::TargetScore* score = script_.scored.add_scores();
  score->set_log_likelihood(-2 * std::log(2));
  score->set_standard_error(0.25);
  score->set_tokens(1);
  score->set_greedy_match(true);
  script_.scored.add_scores()->set_log_likelihood(-11.5);
  script_.scored.mutable_scores(1)->set_tokens(3);
  server_.Set(script_);
  const Result table =
      Run({"score", "The capital is", " Paris", " a town", "--samples", "64", "--strata", "8", "--seed",
           "18446744073709551615", "--cfg-scale", "0.5", "--reference-parity", "--no-greedy-match"});
  EXPECT_EQ(table.exit_code, 0) << table.err;
  EXPECT_EQ(table.out,
            "   NATS  ERROR  TOKENS  BITS/TOKEN  GREEDY  TARGET\n"
            " -1.386  0.250       1       2.000  yes     ' Paris'\n"
            "-11.500      -       3       5.530  -       ' a town'\n");
  const v1::ScoreRequest asked = server_.asked().score;
  EXPECT_EQ(asked.prompt().text(), "The capital is");
  ASSERT_EQ(asked.targets_size(), 2);
  EXPECT_EQ(asked.targets(1).text(), " a town");
  EXPECT_EQ(asked.samples(), 64);
  EXPECT_EQ(asked.strata(), 8);
  EXPECT_EQ(asked.seed(), 18446744073709551615u);
  EXPECT_EQ(asked.cfg_scale(), 0.5f);
  EXPECT_TRUE(asked.reference_parity());
  EXPECT_FALSE(asked.greedy_match());

  EXPECT_TRUE(MessageDifferencer::Equals(
      FromJson<v1::ScoreResponse>(
          Run({"score", "--prompt-ids", "1,2", "--target-ids", "3", "--target-ids", "4,5", "--json"}).out),
      script_.scored));
  const v1::ScoreRequest ids = server_.asked().score;
  EXPECT_THAT(ids.prompt().token_ids().ids(), testing::ElementsAre(1, 2));
  EXPECT_THAT(ids.targets(1).token_ids().ids(), testing::ElementsAre(4, 5));
  EXPECT_FALSE(ids.has_samples());
  EXPECT_FALSE(ids.has_greedy_match());
  Run({"score", "-", "x", "--chat"}, "Hi\n");
  EXPECT_EQ(server_.asked().score.prompt().chat().messages(0).content(), "Hi");
  EXPECT_EQ(Run({"score", "only a prompt"}).exit_code, 64);
  EXPECT_EQ(Run({"score", "--prompt-ids", "1"}).exit_code, 64);
  EXPECT_EQ(Run({"score", "a", "b", "--samples", "many"}).exit_code, 64);
}

TEST_F(CommandTest, TokensGoBothWays) {
  script_.tokenized.add_token_ids(7);
  script_.tokenized.add_token_ids(9);
  script_.tokenized.set_count(2);
  script_.detokenized.set_text("Hi");
  Play(script_);
  EXPECT_EQ(Run({"tokenize", "-"}, "Hi\n").out, "7,9\n");
  EXPECT_EQ(server_.asked().tokenize.text(), "Hi");
  EXPECT_EQ(Run({"detokenize", "7,9"}).out, "Hi\n");
  EXPECT_THAT(server_.asked().detokenize.token_ids(), testing::ElementsAre(7, 9));
  EXPECT_TRUE(MessageDifferencer::Equals(FromJson<v1::TokenizeResponse>(Run({"tokenize", "Hi", "--json"}).out),
                                         script_.tokenized));
}

TEST_F(CommandTest, StatusAndModelAreTablesOrJson) {
  script_.fleet.add_replicas()->set_name("r0");
  script_.fleet.set_queued(3);
  Play(script_);
  EXPECT_THAT(Run({"status"}).out, HasSubstr("3 requests queued"));
  EXPECT_TRUE(MessageDifferencer::Equals(FromJson<v1::GetFleetResponse>(Run({"status", "--json"}).out), script_.fleet));
  EXPECT_THAT(Run({"model"}).out, HasSubstr("8,015,581,184"));
  EXPECT_TRUE(MessageDifferencer::Equals(FromJson<v1::Model>(Run({"model", "--json"}).out), script_.model));
}

TEST_F(CommandTest, FlagsMayComeFromTheEnvironment) {
  setenv("UNMASK_STEPS", "16", 1);
  Run({"generate", "x"});
  unsetenv("UNMASK_STEPS");
  EXPECT_EQ(server_.asked().generate.options().steps(), 16);
}

}  // namespace
}  // namespace unmask
