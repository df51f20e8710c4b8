#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "coordinator/openai/reply.h"

namespace unmask::openai {
namespace {

using nlohmann::ordered_json;

const ReplyNames kNames = {"r1", 1700000000, "tiny"};

v1::GenerateResponse Response(v1::FinishReason reason) {
  v1::GenerateResponse response;
  response.set_text("abc");
  response.set_finish_reason(reason);
  response.mutable_usage()->set_prompt_tokens(3);
  response.mutable_usage()->set_completion_tokens(4);
  response.mutable_options()->set_seed(~uint64_t{0});
  return response;
}

std::vector<v1::GenerateStreamResponse> Events() {
  std::vector<v1::GenerateStreamResponse> events(5);
  events[0].mutable_accepted()->set_blocks(2);
  events[1].mutable_step()->add_commits()->set_token_id(5);
  events[2].mutable_block()->set_text_delta("ab");
  events[3].mutable_block()->set_text_delta("c");
  *events[4].mutable_completed() = Response(v1::FINISH_REASON_LENGTH);
  return events;
}

std::vector<ordered_json> ChunksOf(const Completion& asked) {
  std::vector<ordered_json> all;
  for (const auto& event : Events()) {
    for (auto& chunk : ChunkJson(asked, kNames, event)) all.push_back(std::move(chunk));
  }
  return all;
}

TEST(OpenAiReplyTest, ACompletionHasOpenAisFieldsAndTheServices) {
  const ordered_json reply = CompletionJson({}, kNames, Response(v1::FINISH_REASON_EOS));
  EXPECT_EQ(reply["id"], "cmpl-r1");
  EXPECT_EQ(reply["object"], "text_completion");
  EXPECT_EQ(reply["created"], 1700000000);
  EXPECT_EQ(reply["model"], "tiny");
  EXPECT_EQ(reply["choices"][0]["text"], "abc");
  EXPECT_EQ(reply["choices"][0]["index"], 0);
  EXPECT_EQ(reply["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(reply["usage"]["total_tokens"], 7);
  EXPECT_EQ(reply["diffusion"]["finish_reason"], "FINISH_REASON_EOS");
  EXPECT_EQ(reply["diffusion"]["options"]["seed"], "18446744073709551615");
  EXPECT_FALSE(reply["diffusion"].contains("text"));
  EXPECT_EQ(reply.dump(), CompletionJson({}, kNames, Response(v1::FINISH_REASON_EOS)).dump());
}

TEST(OpenAiReplyTest, AChatReplyIsAMessage) {
  Completion asked;
  asked.endpoint = Endpoint::kChatCompletions;
  const ordered_json reply = CompletionJson(asked, kNames, Response(v1::FINISH_REASON_LENGTH));
  EXPECT_EQ(reply["id"], "chatcmpl-r1");
  EXPECT_EQ(reply["object"], "chat.completion");
  EXPECT_EQ(reply["choices"][0]["message"]["role"], "assistant");
  EXPECT_EQ(reply["choices"][0]["message"]["content"], "abc");
  EXPECT_EQ(reply["choices"][0]["finish_reason"], "length");
  EXPECT_FALSE(reply["choices"][0].contains("text"));
}

TEST(OpenAiReplyTest, ASuffixGetsTheGapAlone) {
  Completion asked;
  asked.request = v1::InfillRequest();
  v1::GenerateResponse response = Response(v1::FINISH_REASON_LENGTH);
  response.add_spans()->set_text("b");
  EXPECT_EQ(CompletionJson(asked, kNames, response)["choices"][0]["text"], "abc");
  asked.suffix = true;
  EXPECT_EQ(CompletionJson(asked, kNames, response)["choices"][0]["text"], "b");
}

TEST(OpenAiReplyTest, BlocksOfAChatAddUpToItsText) {
  Completion asked;
  asked.endpoint = Endpoint::kChatCompletions;
  asked.stream = Stream::kBlocks;
  asked.include_usage = true;
  const auto chunks = ChunksOf(asked);
  ASSERT_EQ(chunks.size(), 5);
  EXPECT_EQ(chunks[0]["choices"][0]["delta"]["role"], "assistant");
  std::string text;
  for (const ordered_json& chunk : chunks) {
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    for (const auto& choice : chunk["choices"]) text += choice["delta"].value("content", "");
  }
  EXPECT_EQ(text, "abc");
  EXPECT_TRUE(chunks[2]["choices"][0]["finish_reason"].is_null());
  EXPECT_EQ(chunks[3]["choices"][0]["finish_reason"], "length");
  EXPECT_TRUE(chunks[4]["choices"].empty());
  EXPECT_EQ(chunks[4]["usage"]["total_tokens"], 7);
}

TEST(OpenAiReplyTest, StepsShowEveryEventOnce) {
  Completion asked;
  asked.stream = Stream::kSteps;
  const auto chunks = ChunksOf(asked);
  ASSERT_EQ(chunks.size(), 5);
  EXPECT_EQ(chunks[0]["diffusion"]["accepted"]["blocks"], 2);
  EXPECT_EQ(chunks[1]["diffusion"]["step"]["commits"][0]["token_id"], 5);
  EXPECT_EQ(chunks[2]["diffusion"]["block"]["text_delta"], "ab");
  EXPECT_EQ(chunks[4]["diffusion"]["completed"]["options"]["seed"], "18446744073709551615");
  std::string text;
  for (const ordered_json& chunk : chunks) text += chunk["choices"][0]["text"].get<std::string>();
  EXPECT_EQ(text, "abc");
}

// A gap's block holds given text as well: only the end says what filled it.
TEST(OpenAiReplyTest, AnInfillingStreamsItsTextOnce) {
  Completion asked;
  asked.request = v1::InfillRequest();
  asked.stream = Stream::kSteps;
  std::string text;
  for (const ordered_json& chunk : ChunksOf(asked)) text += chunk["choices"][0]["text"].get<std::string>();
  EXPECT_EQ(text, "abc");
}

}  // namespace
}  // namespace unmask::openai
