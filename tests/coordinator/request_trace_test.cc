// How a request is found again: by the id and the trace that its caller gave it, in headers and in the log.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "base/log.h"
#include "tests/coordinator/test_service.h"

namespace unmask {
namespace {

using ::testing::HasSubstr;
using testing::TestService;
using testing::TinyRequest;
using Headers = std::map<std::string, std::string>;

constexpr char kTrace[] = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr char kSpan[] = "00f067aa0ba902b7";
constexpr char kTraceparent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

class RequestTraceTest : public ::testing::Test {
 protected:
  RequestTraceTest() {
    SetLogFormat(LogFormat::kJson);
    ::testing::internal::CaptureStderr();
    service_ = std::make_unique<TestService>();
  }
  ~RequestTraceTest() override {
    if (service_ != nullptr) End();
    SetLogFormat(LogFormat::kText);
  }

  // The headers that come back.
  Headers Ask(const v1::GenerateRequest& request, const Headers& headers, bool stream = false) {
    grpc::ClientContext context;
    for (const auto& [name, value] : headers) context.AddMetadata(name, value);
    if (stream) {
      const auto reader = service_->inference->GenerateStream(&context, request);
      for (v1::GenerateStreamResponse event; reader->Read(&event);) response_ = event.completed();
      reader->Finish();
    } else {
      service_->inference->Generate(&context, request, &response_);
    }
    Headers back;
    const bool refused = context.GetServerInitialMetadata().empty();  // As retry policies need it.
    for (const auto& [name, value] :
         refused ? context.GetServerTrailingMetadata() : context.GetServerInitialMetadata()) {
      back.emplace(std::string(name.data(), name.size()), std::string(value.data(), value.size()));
    }
    return back;
  }

  // Ends the service and reads its log: all of it one JSON object a line. The lines of requests.
  std::vector<nlohmann::json> End() {
    service_.reset();
    std::istringstream log(::testing::internal::GetCapturedStderr());
    std::vector<nlohmann::json> requests;
    for (std::string line; std::getline(log, line);) {
      const nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      EXPECT_TRUE(json.is_object()) << line;
      for (const char* field : {"ts", "level", "component", "msg"}) EXPECT_TRUE(json.contains(field)) << line;
      if (json.value("msg", "") == "request") requests.push_back(json);
    }
    return requests;
  }

  std::unique_ptr<TestService> service_;
  v1::GenerateResponse response_;
};

TEST_F(RequestTraceTest, IdAndTraceComeBackAndStandInTheOneLineOfTheRequest) {
  const auto replica = service_->StartReplica();
  v1::GenerateRequest request = TinyRequest(8, 8);
  request.set_request_id("mine/7");
  for (const bool stream : {false, true}) {
    const Headers back = Ask(request, {{"traceparent", kTraceparent}, {"x-request-id", "not this"}}, stream);
    EXPECT_EQ(back.at("x-request-id"), "mine/7");
    EXPECT_EQ(response_.request_id(), "mine/7");
    const std::string& span = back.at("traceparent");
    EXPECT_THAT(span, ::testing::StartsWith(std::string("00-") + kTrace + "-"));
    EXPECT_THAT(span, Not(HasSubstr(kSpan))) << "the service's span is its own";
  }
  const std::vector<nlohmann::json> requests = End();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].at("method"), "Generate");
  EXPECT_EQ(requests[1].at("method"), "GenerateStream");
  for (const nlohmann::json& line : requests) {
    EXPECT_EQ(line.at("request_id"), "mine/7");
    EXPECT_EQ(line.at("trace_id"), kTrace);
    EXPECT_EQ(line.at("parent_span_id"), kSpan);
    EXPECT_NE(line.at("span_id"), kSpan);
    EXPECT_EQ(line.at("code"), "OK");
    EXPECT_EQ(line.at("replica"), "a");
    EXPECT_EQ(line.at("epoch"), 1);
    EXPECT_EQ(line.at("strategy"), "low_confidence");
    EXPECT_EQ(line.at("tokens"), 8);
    EXPECT_EQ(line.at("steps"), 8);
    for (const char* field : {"queue_ms", "first_block_ms", "total_ms"}) EXPECT_GE(line.at(field), 0) << field;
    EXPECT_LE(line.at("queue_ms"), line.at("total_ms"));
  }
  EXPECT_NE(requests[0].at("span_id"), requests[1].at("span_id"));
}

TEST_F(RequestTraceTest, TheHeaderGivesTheIdWhereTheRequestHasNone) {
  const auto replica = service_->StartReplica();
  EXPECT_EQ(Ask(TinyRequest(8, 8), {{"x-request-id", "of the proxy"}}).at("x-request-id"), "of the proxy");
  EXPECT_EQ(response_.request_id(), "of the proxy");
  const std::string drawn = Ask(TinyRequest(8, 8), {}).at("x-request-id");
  EXPECT_EQ(drawn.size(), 16u);
  EXPECT_EQ(response_.request_id(), drawn);
}

TEST_F(RequestTraceTest, ARefusedRequestHasItsLineToo) {
  const Headers back = Ask(TinyRequest(8, 8), {{"x-request-id", "early"}, {"traceparent", kTraceparent}});
  EXPECT_EQ(back.at("x-request-id"), "early");
  const std::vector<nlohmann::json> requests = End();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].at("code"), "UNAVAILABLE");
  EXPECT_EQ(requests[0].at("reason"), "MODEL_LOADING");
  EXPECT_EQ(requests[0].at("request_id"), "early");
  EXPECT_EQ(requests[0].at("trace_id"), kTrace);
  EXPECT_FALSE(requests[0].contains("replica"));
}

TEST_F(RequestTraceTest, WithoutAWellFormedTraceThereIsNone) {
  const auto replica = service_->StartReplica();
  EXPECT_EQ(Ask(TinyRequest(8, 8), {}).count("traceparent"), 0u);
  EXPECT_EQ(Ask(TinyRequest(8, 8), {{"traceparent", "00-0-0-00"}}).count("traceparent"), 0u);
  for (const nlohmann::json& line : End()) EXPECT_FALSE(line.contains("trace_id"));
}

}  // namespace
}  // namespace unmask
