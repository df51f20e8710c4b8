// Bad input over the wire: every public method answers it alike, and nothing of it ends the server.
#include <map>

#include "gtest/gtest.h"
#include "tests/coordinator/test_service.h"

namespace unmask {
namespace {

using testing::Details;
using testing::DetailsOf;
using testing::TestService;
using testing::TinyRequest;

constexpr const char* kMethods[] = {
    "/unmask.v1.InferenceService/Generate", "/unmask.v1.InferenceService/GenerateStream",
    "/unmask.v1.InferenceService/Infill",   "/unmask.v1.InferenceService/InfillStream",
    "/unmask.v1.InferenceService/Tokenize", "/unmask.v1.InferenceService/Detokenize",
    "/unmask.v1.InferenceService/Score",    "/unmask.v1.ModelService/GetModel",
    "/unmask.v1.ModelService/ListModels",   "/unmask.v1.FleetService/GetFleet"};

std::string Nested(int depth) { return depth == 0 ? "" : "\x0b" + Nested(depth - 1) + "\x0c"; }  // Groups of field 1.

TEST(ServicesBadInputTest, MalformedBytesAreInvalidArgumentsOfEveryMethod) {
  TestService service;
  const auto replica = service.StartReplica();
  const std::map<std::string, std::string> malformed = {
      {"truncated", std::string("\x12\x7f", 2) + "abc"},
      {"garbage", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"},
      {"unknown wire type", "\x0f\x01"},
      {"nested too deep", Nested(200)},
      {"an unended group", "\x0b"},
  };
  for (const char* method : kMethods) {
    for (const auto& [name, bytes] : malformed) {
      const grpc::Status status = service.CallRaw(method, bytes);
      EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << method << ": " << name;
      EXPECT_EQ(DetailsOf(status).reason, "MALFORMED_REQUEST") << method << ": " << name;
      EXPECT_EQ(DetailsOf(status).domain, "unmask") << method << ": " << name;
      EXPECT_FALSE(status.error_message().empty()) << method << ": " << name;
    }
  }
  v1::GenerateResponse response;
  EXPECT_TRUE(service.Generate(TinyRequest(4, 4), &response).ok()) << "the server lives on";
}

TEST(ServicesBadInputTest, TextThatIsNoUtf8IsMalformed) {
  TestService service;
  const auto replica = service.StartReplica();
  const std::string text_field2 = std::string("\x12\x02\xc3\x28", 4);  // text = 2 of Generate and Tokenize
  for (const char* method : {kMethods[0], kMethods[1], kMethods[4]}) {
    const grpc::Status status = service.CallRaw(method, text_field2);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << method;
    EXPECT_EQ(DetailsOf(status).reason, "MALFORMED_REQUEST") << method;
  }
}

TEST(ServicesBadInputTest, MalformedBytesAreToldApartEvenWhileTheModelLoads) {
  TestService service;
  EXPECT_EQ(DetailsOf(service.CallRaw(kMethods[0], "\xff")).reason, "MALFORMED_REQUEST");
}

TEST(ServicesBadInputTest, AnUnknownMethodIsUnimplemented) {
  TestService service;
  EXPECT_EQ(service.CallRaw("/unmask.v1.InferenceService/Divine", "").error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST(ServicesBadInputTest, HeadersOfTwentyKilobytesAreRefusedAndHarmNobody) {
  TestService service;
  const auto replica = service.StartReplica();
  const std::string request = testing::TinyRequest(8, 8).SerializeAsString();
  EXPECT_EQ(service.CallRaw(kMethods[0], request, nullptr, std::string(20'000, 'x')).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  // The connection may go with it; whoever connects is served.
  EXPECT_TRUE(testing::Eventually([&] { return service.CallRaw(kMethods[0], request).ok(); }));
}

struct Row {
  const char* name;
  void (*spoil)(v1::GenerateRequest*);
  grpc::StatusCode code;
  const char* reason;
  const char* field;
};

TEST(ServicesBadInputTest, EveryErrorHasItsCodeReasonAndField) {
  constexpr grpc::StatusCode kInvalid = grpc::StatusCode::INVALID_ARGUMENT;
  const Row rows[] = {
      {"no input", [](auto* r) { r->clear_input(); }, kInvalid, "INPUT_MISSING", "input"},
      {"empty prompt", [](auto* r) { r->mutable_token_ids()->clear_ids(); }, kInvalid, "INPUT_MISSING", "input"},
      {"text without a tokenizer", [](auto* r) { r->set_text("hello"); }, kInvalid, "TOKENIZER_MISSING", "text"},
      {"an id out of range", [](auto* r) { r->mutable_token_ids()->add_ids(100); }, kInvalid, "TOKEN_OUT_OF_RANGE",
       "token_ids.ids[3]"},
      {"the mask", [](auto* r) { r->mutable_token_ids()->add_ids(99); }, kInvalid, "MASK_TOKEN_IN_PROMPT",
       "token_ids.ids[3]"},
      {"block_length", [](auto* r) { r->mutable_options()->set_block_length(5); }, kInvalid, "OPTION_INVALID",
       "options.block_length"},
      {"too long", [](auto* r) { r->mutable_options()->set_gen_length(512); }, kInvalid, "SEQUENCE_TOO_LONG",
       "options.gen_length"},
      {"temperature", [](auto* r) { r->mutable_options()->set_temperature(-1); }, kInvalid, "OPTION_INVALID",
       "options.temperature"},
      {"a long request_id", [](auto* r) { r->set_request_id(std::string(129, 'a')); }, kInvalid, "OPTION_INVALID",
       "request_id"},
      {"a newline in request_id", [](auto* r) { r->set_request_id("a\nb"); }, kInvalid, "OPTION_INVALID", "request_id"},
      {"another model", [](auto* r) { r->set_model("other"); }, grpc::StatusCode::NOT_FOUND, "MODEL_NOT_FOUND", ""},
  };
  TestService service;
  const auto replica = service.StartReplica();
  for (const Row& row : rows) {
    v1::GenerateRequest request = TinyRequest(8, 8);
    row.spoil(&request);
    v1::GenerateResponse response;
    const grpc::Status status = service.Generate(request, &response);
    const Details details = DetailsOf(status);
    EXPECT_EQ(status.error_code(), row.code) << row.name << ": " << status.error_message();
    EXPECT_EQ(details.reason, row.reason) << row.name;
    EXPECT_EQ(details.field, row.field) << row.name;
    EXPECT_EQ(details.domain, "unmask") << row.name;
    grpc::Status streamed;
    EXPECT_TRUE(service.GenerateStream(request, &streamed).empty()) << row.name << ": no half a result";
    EXPECT_EQ(streamed.error_code(), row.code) << row.name;
    EXPECT_EQ(streamed.error_message(), status.error_message()) << row.name;
  }
  EXPECT_EQ(service.server->fleet().open_sequences(), 0);
}

TEST(ServicesBadInputTest, AStreamThatNoReplicaCanHoldFailsBeforeItsFirstEvent) {
  TestService service;
  testing::ScriptedReplicaOptions small;
  small.kv_positions = 16;
  const auto replica = service.StartReplica(small);
  grpc::Status status;
  EXPECT_TRUE(service.GenerateStream(TinyRequest(64, 64), &status).empty());
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(DetailsOf(status).reason, "OVERLOADED");
}

TEST(ServicesBadInputTest, WithoutATokenizerTextMethodsSaySo) {
  TestService service;
  const auto replica = service.StartReplica();
  grpc::ClientContext one;
  v1::TokenizeRequest tokenize;
  tokenize.set_text("hello");
  v1::TokenizeResponse tokens;
  const grpc::Status status = service.inference->Tokenize(&one, tokenize, &tokens);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(DetailsOf(status).reason, "TOKENIZER_MISSING");
  grpc::ClientContext two;
  v1::DetokenizeResponse text;
  EXPECT_EQ(service.inference->Detokenize(&two, v1::DetokenizeRequest(), &text).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
}

}  // namespace
}  // namespace unmask
