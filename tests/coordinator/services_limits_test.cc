// What is too much is refused, or waits: messages, prompts, streams of a connection, requests at once. Who is refused
// hears the value and the bound.
#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tests/coordinator/stream_reader.h"
#include "tests/coordinator/test_service.h"

namespace unmask {
namespace {

using testing::DetailsOf;
using testing::Eventually;
using ::testing::HasSubstr;
using testing::StreamReader;
using testing::TestService;
using testing::TinyRequest;

constexpr char kGenerate[] = "/unmask.v1.InferenceService/Generate";

std::map<std::string, std::string> MetadataOf(const grpc::Status& status) {
  google::rpc::Status details;
  google::rpc::ErrorInfo info;
  details.ParseFromString(status.error_details());
  for (const auto& detail : details.details()) {
    if (detail.UnpackTo(&info)) return {info.metadata().begin(), info.metadata().end()};
  }
  return {};
}

int Accepted(const std::vector<std::unique_ptr<StreamReader>>& readers) {
  return std::count_if(readers.begin(), readers.end(), [](const auto& reader) { return reader->accepted(); });
}

TEST(ServicesLimitsTest, AMessageOverFourMebibytesIsRefusedAndTold) {
  TestService service;
  const auto replica = service.StartReplica();
  const grpc::Status status = service.CallRaw(kGenerate, std::string(5 << 20, 'x'));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("message"));
  EXPECT_THAT(status.error_message(), HasSubstr(std::to_string(5 << 20)));
  EXPECT_THAT(status.error_message(), HasSubstr(std::to_string(4 << 20)));
}

TEST(ServicesLimitsTest, APromptOfAMillionTokensIsRefusedAndTold) {
  TestService service;
  const auto replica = service.StartReplica();
  v1::GenerateRequest request = TinyRequest(8, 8);
  request.mutable_token_ids()->mutable_ids()->Resize(1'000'000, 1);
  v1::GenerateResponse response;
  const grpc::Status status = service.Generate(request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(DetailsOf(status).reason, "SEQUENCE_TOO_LONG");
  EXPECT_EQ(DetailsOf(status).field, "options.gen_length");
  EXPECT_THAT(status.error_message(), HasSubstr("prompt of 1000000 and answer of 8 tokens"));
  EXPECT_THAT(status.error_message(), HasSubstr("max_sequence_length 512"));
}

TEST(ServicesLimitsTest, MoreRequestsThanMayBeOpenAreRefusedAndToldUntilOneEnds) {
  ServerOptions options;
  options.max_open_requests = 5;
  TestService service(std::move(options));
  const auto replica = service.StartReplica();
  replica->Hold();
  std::vector<std::unique_ptr<StreamReader>> readers;
  for (int i = 0; i < 5; ++i) {
    readers.push_back(std::make_unique<StreamReader>(service.inference.get(), TinyRequest(8, 8), /*slow=*/false));
  }
  ASSERT_TRUE(Eventually([&] { return Accepted(readers) == 5; }));
  grpc::Status status;
  EXPECT_TRUE(service.GenerateStream(TinyRequest(8, 8), &status).empty());
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(DetailsOf(status).reason, "OVERLOADED");
  EXPECT_TRUE(DetailsOf(status).retry);
  EXPECT_EQ(MetadataOf(status)["open_requests"], "6");
  EXPECT_EQ(MetadataOf(status)["max_open_requests"], "5");
  replica->Go();
  for (const auto& reader : readers) EXPECT_TRUE(Eventually([&] { return reader->ended(); }));
  v1::GenerateResponse response;
  EXPECT_TRUE(Eventually([&] { return service.Generate(TinyRequest(8, 8), &response).ok(); }));
  for (const auto& reader : readers) EXPECT_EQ(reader->Fault(StreamReader::Comparable(response)), "");
}

TEST(ServicesLimitsTest, StreamsBeyondWhatAConnectionHoldsWaitForItsOthers) {
  constexpr int kMost = 1024;
  constexpr int kStreams = kMost + 50;
  TestService service;
  const auto replica = service.StartReplica();
  v1::GenerateResponse expected;
  ASSERT_TRUE(service.Generate(TinyRequest(8, 8), &expected).ok());
  replica->Hold();
  std::vector<std::unique_ptr<StreamReader>> readers;
  for (int i = 0; i < kStreams; ++i) {
    readers.push_back(std::make_unique<StreamReader>(service.inference.get(), TinyRequest(8, 8), /*slow=*/false));
  }
  EXPECT_TRUE(Eventually([&] { return Accepted(readers) >= kMost; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_EQ(Accepted(readers), kMost);
  EXPECT_EQ(service.server->fleet().open_sequences(), kMost);
  replica->Go();
  for (const auto& reader : readers) {
    ASSERT_TRUE(Eventually([&] { return reader->ended(); }));
    EXPECT_EQ(reader->Fault(StreamReader::Comparable(expected)), "");
  }
}

}  // namespace
}  // namespace unmask
