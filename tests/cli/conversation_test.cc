#include "cli/conversation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace unmask {
namespace {

using Kind = Conversation::Turn::Kind;
using testing::HasSubstr;

TEST(ConversationTest, ARequestHoldsTheWholeDialogue) {
  Conversation conversation("Be brief.", {});
  conversation.Add("Hi", "Hello!");
  const v1::GenerateRequest request = conversation.RequestFor("And you?");
  ASSERT_EQ(request.chat().messages_size(), 4);
  EXPECT_EQ(request.chat().messages(0).role(), "system");
  EXPECT_EQ(request.chat().messages(1).content(), "Hi");
  EXPECT_EQ(request.chat().messages(2).role(), "assistant");
  EXPECT_EQ(request.chat().messages(2).content(), "Hello!");
  EXPECT_EQ(request.chat().messages(3).content(), "And you?");
}

TEST(ConversationTest, AskingDoesNotRemember) {
  Conversation conversation("", {});
  conversation.RequestFor("a question that fails");
  EXPECT_EQ(conversation.RequestFor("x").chat().messages_size(), 1);
}

TEST(ConversationTest, NewForgetsTheTurnsAndKeepsTheSettings) {
  Conversation conversation("Be brief.", {});
  conversation.Add("Hi", "Hello!");
  EXPECT_EQ(conversation.Interpret("/set steps 32").kind, Kind::kReply);
  EXPECT_EQ(conversation.Interpret("/new").kind, Kind::kReply);
  const v1::GenerateRequest request = conversation.RequestFor("x");
  EXPECT_EQ(request.chat().messages_size(), 2);  // The system message stays.
  EXPECT_EQ(request.options().steps(), 32);
}

TEST(ConversationTest, ABadSettingIsToldAtOnce) {
  Conversation conversation("", {});
  EXPECT_EQ(conversation.Interpret("/set steps soon").kind, Kind::kError);
  EXPECT_THAT(conversation.Interpret("/set remasking best").text, HasSubstr("low-confidence"));
  EXPECT_THAT(conversation.Interpret("/set").text, HasSubstr("/set steps 32"));
  EXPECT_THAT(conversation.Interpret("/sing").text, HasSubstr("there is no /sing"));
  EXPECT_EQ(conversation.RequestFor("x").options().ByteSizeLong(), 0u);
}

TEST(ConversationTest, SettingsAreShown) {
  Conversation conversation("", {});
  EXPECT_EQ(conversation.Interpret("/set gen_length=64").kind, Kind::kReply);
  conversation.Interpret("/set remasking entropy-bound");
  const std::string shown = conversation.Interpret("/show").text;
  EXPECT_THAT(shown, HasSubstr("gen-length               64"));
  EXPECT_THAT(shown, HasSubstr("remasking                entropy-bound"));
  EXPECT_THAT(shown, HasSubstr("steps                    default"));
}

TEST(ConversationTest, OnlyASlashMakesACommand) {
  Conversation conversation("", {});
  EXPECT_EQ(conversation.Interpret("what is 1/2?").kind, Kind::kMessage);
  EXPECT_EQ(conversation.Interpret("//etc").text, "/etc");
  EXPECT_EQ(conversation.Interpret("//etc").kind, Kind::kMessage);
  EXPECT_EQ(conversation.Interpret("/quit").kind, Kind::kQuit);
  EXPECT_EQ(conversation.Interpret("/").kind, Kind::kError);
}

}  // namespace
}  // namespace unmask
