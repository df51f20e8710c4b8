#include "cli/errors.h"

#include <gtest/gtest.h>

#include "cli/client.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace unmask {
namespace {

absl::Status WithDetails(absl::StatusCode code, const std::string& message,
                         const std::vector<const google::protobuf::Message*>& details) {
  google::rpc::Status proto;
  for (const auto* detail : details) proto.add_details()->PackFrom(*detail);
  absl::Status status(code, message);
  status.SetPayload(kStatusDetailsPayload, absl::Cord(proto.SerializeAsString()));
  return status;
}

TEST(ErrorsTest, AFieldViolationIsNamedOnce) {
  google::rpc::BadRequest bad;
  auto* violation = bad.add_field_violations();
  violation->set_field("options.block_length");
  violation->set_description("block_length 30 does not divide gen_length 128");
  const auto status = WithDetails(absl::StatusCode::kInvalidArgument, violation->description(), {&bad});
  EXPECT_EQ(DescribeError(status),
            "options.block_length: block_length 30 does not divide gen_length 128 (INVALID_ARGUMENT)");
}

TEST(ErrorsTest, SeveralViolationsHaveALineEach) {
  google::rpc::BadRequest bad;
  for (const char* field : {"a", "b"}) {
    bad.add_field_violations()->set_field(field);
    bad.mutable_field_violations()->rbegin()->set_description("is wrong");
  }
  EXPECT_EQ(DescribeError(WithDetails(absl::StatusCode::kInvalidArgument, "2 fields are wrong", {&bad})),
            "2 fields are wrong (INVALID_ARGUMENT)\n  a: is wrong\n  b: is wrong");
}

TEST(ErrorsTest, WhatAConstantMessageLeavesOutStandsBehindIt) {
  google::rpc::ErrorInfo info;
  info.set_reason("OVERLOADED");
  (*info.mutable_metadata())["queued"] = "256";
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(3);
  const auto status = WithDetails(absl::StatusCode::kResourceExhausted, "the queue is full", {&info, &retry});
  EXPECT_EQ(DescribeError(status), "the queue is full (RESOURCE_EXHAUSTED, queued 256, try again in 3 s)");
  EXPECT_EQ(ReasonOf(status), "OVERLOADED");
}

TEST(ErrorsTest, AServiceCannotWriteToTheTerminal) {
  EXPECT_EQ(DescribeError(absl::InternalError("a\x1b[2Jb\nc")), "a␛[2Jb⏎c (INTERNAL)");
}

TEST(ErrorsTest, BrokenDetailsAreLeftOut) {
  absl::Status status = absl::NotFoundError("no such model");
  status.SetPayload(kStatusDetailsPayload, absl::Cord("\xff\xff garbage"));
  EXPECT_EQ(DescribeError(status), "no such model (NOT_FOUND)");
  EXPECT_EQ(ReasonOf(status), "");
}

}  // namespace
}  // namespace unmask
