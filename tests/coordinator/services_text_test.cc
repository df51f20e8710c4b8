// Text over the wire, with the committed small tokenizer.
#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "tests/coordinator/test_service.h"

namespace unmask {
namespace {

using testing::DetailsOf;
using testing::TestService;

std::unique_ptr<Tokenizer> LoadSmallTokenizer() {
  auto tokenizer = Tokenizer::Load(std::string(std::getenv("UNMASK_SOURCE_DIR")) + "/models/random");
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

struct TextService {
  // The tokenizer first: the model's shape must hold all of its ids.
  TextService() : tokenizer(LoadSmallTokenizer()), service(Options()), replica(service.StartReplica(Replica())) {}

  ServerOptions Options() const {
    ServerOptions options;
    options.model.tokenizer = tokenizer;
    options.model.eot = tokenizer->TokenId("<|eot_id|>");
    return options;
  }
  testing::ScriptedReplicaOptions Replica() const {
    testing::ScriptedReplicaOptions options;
    auto* description = &options.description;
    description->mutable_shape()->set_embedding_size(tokenizer->size());
    description->mutable_shape()->set_vocab_size(tokenizer->size());
    description->mutable_shape()->set_mask_token_id(tokenizer->TokenId("<|mdm_mask|>").value_or(0));
    description->mutable_shape()->set_eos_token_id(tokenizer->TokenId("<|endoftext|>").value_or(1));
    description->mutable_ranks(0)->mutable_shard()->set_vocabulary_end(tokenizer->size());
    return options;
  }

  std::shared_ptr<const Tokenizer> tokenizer;
  TestService service;
  std::unique_ptr<testing::ScriptedReplica> replica;
};

TEST(ServicesTextTest, TextComesBackFromItsTokens) {
  TextService text;
  const std::string original = "Masks fall, \xC3\xA9t\xC3\xA9 \xE2\x9C\x93";
  grpc::ClientContext tokenize_context;
  v1::TokenizeRequest tokenize;
  tokenize.set_text(original);
  v1::TokenizeResponse tokens;
  ASSERT_TRUE(text.service.inference->Tokenize(&tokenize_context, tokenize, &tokens).ok());
  EXPECT_EQ(tokens.count(), tokens.token_ids_size());
  EXPECT_EQ(tokens.pieces_size(), tokens.count());
  grpc::ClientContext context;
  v1::DetokenizeRequest detokenize;
  *detokenize.mutable_token_ids() = tokens.token_ids();
  v1::DetokenizeResponse back;
  ASSERT_TRUE(text.service.inference->Detokenize(&context, detokenize, &back).ok());
  EXPECT_EQ(back.text(), original);
}

TEST(ServicesTextTest, AnIdThatTheTokenizerLacksIsNamed) {
  TextService text;
  for (const int32_t id : {-1, text.tokenizer->size()}) {
    grpc::ClientContext context;
    v1::DetokenizeRequest request;
    request.add_token_ids(1);
    request.add_token_ids(id);
    v1::DetokenizeResponse response;
    const grpc::Status status = text.service.inference->Detokenize(&context, request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(DetailsOf(status).reason, "TOKEN_OUT_OF_RANGE");
    EXPECT_EQ(DetailsOf(status).field, "token_ids[1]");
  }
}

TEST(ServicesTextTest, TheDeltasOfAStreamAreItsText) {
  TextService text;
  for (const uint64_t seed : {1, 2, 3, 4, 5}) {
    v1::GenerateRequest request;
    request.set_text("Hello");
    request.mutable_options()->set_gen_length(48);
    request.mutable_options()->set_block_length(8);
    request.mutable_options()->set_temperature(1);
    request.mutable_options()->set_seed(seed);
    const auto events = text.service.GenerateStream(request);
    std::string joined;
    for (const auto& event : events) joined += event.block().text_delta();
    ASSERT_TRUE(events.back().has_completed());
    EXPECT_EQ(joined, events.back().completed().text());
    EXPECT_FALSE(joined.empty());
  }
}

TEST(ServicesTextTest, AStopStringEndsTheTextBeforeIt) {
  TextService text;
  v1::GenerateRequest request;
  request.set_text("Hello");
  request.mutable_options()->set_gen_length(32);
  request.mutable_options()->set_seed(1);
  v1::GenerateResponse whole;
  ASSERT_TRUE(text.service.Generate(request, &whole).ok());
  // Any character that came whole and is one byte long.
  size_t at = 0;
  while (at < whole.text().size() && (whole.text()[at] < '!' || whole.text()[at] > '~')) ++at;
  ASSERT_LT(at, whole.text().size()) << "the scripted text has no printable ASCII";
  request.mutable_options()->add_stop(whole.text().substr(at, 1));
  v1::GenerateResponse stopped;
  ASSERT_TRUE(text.service.Generate(request, &stopped).ok());
  EXPECT_EQ(stopped.finish_reason(), v1::FINISH_REASON_STOP);
  EXPECT_EQ(stopped.text(), whole.text().substr(0, at));
}

// Each takes a thread of gRPC's, of which there are two on a small machine, and results come by the same.
TEST(ServicesTextTest, LongTextsAreReadOneAtATime) {
  TextService text;
  v1::TokenizeRequest request;
  for (int i = 0; i < 30'000; ++i) request.mutable_text()->append(std::to_string(i * 7919));
  std::atomic<int> read = 0, refused = 0;
  std::vector<std::thread> clients;
  for (int client = 0; client < 8; ++client) {
    clients.emplace_back([&] {
      for (int i = 0; i < 20 && refused == 0; ++i) {
        grpc::ClientContext context;
        v1::TokenizeResponse response;
        const grpc::Status status = text.service.inference->Tokenize(&context, request, &response);
        if (status.ok()) {
          ++read;
          continue;
        }
        EXPECT_EQ(DetailsOf(status).reason, "OVERLOADED") << status.error_message();
        EXPECT_TRUE(DetailsOf(status).retry);
        ++refused;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_GE(read, 1);
  EXPECT_GE(refused, 1);
  grpc::ClientContext context;  // And the turn is given back.
  v1::TokenizeResponse response;
  EXPECT_TRUE(text.service.inference->Tokenize(&context, request, &response).ok());
}

}  // namespace
}  // namespace unmask
