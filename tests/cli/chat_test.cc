#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/client.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tests/cli/command_fixture.h"

namespace unmask {
namespace {

using testing::HasSubstr;

class ChatTest : public CommandTest {};

TEST_F(ChatTest, EveryTurnSendsTheOnesBefore) {
  const Result result = Run({"chat"}, "Hi\n/set steps 16\nAnd now?\n");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "Hello, world!\nHello, world!\n");
  const v1::GenerateRequest request = server_.asked().generate;
  ASSERT_EQ(request.chat().messages_size(), 3);
  EXPECT_EQ(request.chat().messages(1).role(), "assistant");
  EXPECT_EQ(request.chat().messages(1).content(), "Hello, world!");
  EXPECT_EQ(request.chat().messages(2).content(), "And now?");
  EXPECT_EQ(request.options().steps(), 16);
}

TEST_F(ChatTest, NewBeginsAgainAndQuitEnds) {
  Run({"chat"}, "Hi\n/new\nfresh\n/quit\nnever sent\n");
  EXPECT_EQ(server_.asked().generations, 2);
  EXPECT_EQ(server_.asked().generate.chat().messages_size(), 1);
  EXPECT_EQ(server_.asked().generate.chat().messages(0).content(), "fresh");
}

TEST_F(ChatTest, ALineThatEndsInABackslashGoesOn) {
  Run({"chat"}, "one\\\ntwo\n\n   \n");
  EXPECT_EQ(server_.asked().generations, 1);
  EXPECT_EQ(server_.asked().generate.chat().messages(0).content(), "one\ntwo");
}

TEST_F(ChatTest, AFailedTurnIsToldAndTheChatGoesOn) {
  script_.status = absl::UnavailableError("draining");
  Play(script_);
  const Result result = Run({"chat"}, "a\nb\n");
  EXPECT_EQ(result.exit_code, 69);
  EXPECT_EQ(result.err, "unmask: draining (UNAVAILABLE)\nunmask: draining (UNAVAILABLE)\n");
  EXPECT_EQ(server_.asked().generate.chat().messages_size(), 1);  // "a" left no trace.
}

TEST_F(ChatTest, AFullContextSaysWhatToDo) {
  google::rpc::ErrorInfo info;
  info.set_reason("SEQUENCE_TOO_LONG");
  info.set_domain("unmask");
  google::rpc::Status details;
  details.add_details()->PackFrom(info);
  script_.status = absl::InvalidArgumentError("prompt of 4000 tokens + gen_length 128 > max_sequence_length 4096");
  script_.status.SetPayload(kStatusDetailsPayload, absl::Cord(details.SerializeAsString()));
  Play(script_);
  const Result result = Run({"chat"}, "a\n");
  EXPECT_EQ(result.exit_code, 64);
  EXPECT_THAT(result.err, HasSubstr("prompt of 4000 tokens"));
  EXPECT_THAT(result.err, HasSubstr("/new starts a fresh one"));
}

TEST_F(ChatTest, AModelWithoutATemplateCannotChat) {
  script_.model.set_has_chat_template(false);
  Play(script_);
  const Result result = Run({"chat"}, "a\n");
  EXPECT_EQ(result.exit_code, 64);
  EXPECT_THAT(result.err, HasSubstr("has no chat template"));
}

}  // namespace
}  // namespace unmask
