// Neither prompts nor tokens are told to those who only watch: logs, metrics, error details.
#include <gmock/gmock.h>
#include <httplib.h>
#include <openssl/sha.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "tests/coordinator/test_service.h"

namespace unmask {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::TestService;

constexpr char kToken[] = "tok-5d41402abc4b2a76";
constexpr char kWrongToken[] = "tok-wrong-7793e0aa";
constexpr char kPrompt[] = "SecretPromptOfAClient";

std::string Digest(const std::string& text) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const uint8_t*>(text.data()), text.size(), reinterpret_cast<uint8_t*>(digest.data()));
  return absl::BytesToHexString(digest);
}

// Everything that a run with prompts, tokens and errors leaves outside of its answers.
std::string Traces() {
  const std::string file = absl::StrCat(::testing::TempDir(), "/unmask-secrets-", getpid());
  std::ofstream(file) << "infer " << Digest(kToken) << "\n";
  ::testing::internal::CaptureStderr();
  std::string traces;
  {
    auto tokenizer = Tokenizer::Load(std::string(std::getenv("UNMASK_SOURCE_DIR")) + "/models/random");
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
    ServerOptions options;
    options.auth_tokens = file;
    options.model.tokenizer = *std::move(tokenizer);
    TestService service(options);
    testing::ScriptedReplicaOptions replica_options;
    auto* shape = replica_options.description.mutable_shape();
    shape->set_embedding_size(options.model.tokenizer->size());
    shape->set_vocab_size(options.model.tokenizer->size());
    shape->set_mask_token_id(options.model.tokenizer->TokenId("<|mdm_mask|>").value_or(0));
    shape->set_eos_token_id(options.model.tokenizer->TokenId("<|endoftext|>").value_or(1));
    replica_options.description.mutable_ranks(0)->mutable_shard()->set_vocabulary_end(options.model.tokenizer->size());
    const auto replica = service.StartReplica(replica_options);

    v1::GenerateRequest request;
    request.set_text(kPrompt);
    request.mutable_options()->set_gen_length(8);
    const auto call = [&](const std::string& token) {
      const std::string path = "/unmask.v1.InferenceService/Generate";
      const grpc::Status status = service.CallRaw(path, request.SerializeAsString(), nullptr, "Bearer " + token);
      absl::StrAppend(&traces, status.error_message(), status.error_details());
      return status.error_code();
    };
    EXPECT_EQ(call(kToken), grpc::StatusCode::OK);
    EXPECT_EQ(call(kWrongToken), grpc::StatusCode::UNAUTHENTICATED);
    request.mutable_options()->set_steps(3'000'000);
    request.mutable_options()->set_block_length(3);
    EXPECT_EQ(call(kToken), grpc::StatusCode::INVALID_ARGUMENT);
    request.clear_options();
    request.mutable_options()->set_gen_length(1'000'000);
    EXPECT_EQ(call(kToken), grpc::StatusCode::INVALID_ARGUMENT);
    httplib::Client admin("http://" + service.server->admin_address());
    if (const auto page = admin.Get("/metrics")) absl::StrAppend(&traces, page->body);
  }
  std::fflush(stderr);
  std::remove(file.c_str());
  return absl::StrCat(traces, ::testing::internal::GetCapturedStderr());
}

TEST(SecretsTest, LogsMetricsAndErrorsHoldNoPromptAndNoToken) {
  std::string traces = Traces();
  SetLogFormat(LogFormat::kJson);
  absl::StrAppend(&traces, Traces());
  SetLogFormat(LogFormat::kText);
  EXPECT_THAT(traces, HasSubstr("unmask_")) << "no metrics";
  EXPECT_THAT(traces, HasSubstr("method=Generate")) << "no log";
  EXPECT_THAT(traces, HasSubstr("\"method\":\"Generate\"")) << "no JSON log";
  EXPECT_THAT(traces, HasSubstr("TOKEN_INVALID")) << "no error details";
  for (const char* secret : {kPrompt, kToken, kWrongToken}) EXPECT_THAT(traces, Not(HasSubstr(secret)));
  EXPECT_THAT(traces, Not(HasSubstr(Digest(kToken))));
}

}  // namespace
}  // namespace unmask
