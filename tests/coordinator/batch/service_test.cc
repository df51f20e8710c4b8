// Batch jobs over gRPC, computed by a scripted replica.
#include <httplib.h>

#include <map>
#include <set>
#include <sstream>

#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "tests/coordinator/batch/batch_client.h"
#include "tests/coordinator/batch/scratch.h"
#include "tests/coordinator/test_service.h"

namespace unmask {
namespace {

using testing::BatchClient;
using testing::DetailsOf;
using testing::Eventually;
using ::testing::HasSubstr;
using testing::ReadFile;
using testing::Scratch;
using testing::ScriptedReplicaOptions;
using testing::TestService;
using testing::TinyLines;
using Stub = v1::BatchService::Stub;

ServerOptions WithStore(const Scratch& scratch) {
  ServerOptions options;
  options.store = scratch / "store";
  return options;
}

// A service with one replica. slow: what a step takes.
struct Batch {
  explicit Batch(const Scratch& scratch, std::chrono::milliseconds slow = {})
      : service(WithStore(scratch)), client(service.channel) {
    ScriptedReplicaOptions options;
    options.step_time = slow;
    replica = service.StartReplica(options);
  }
  TestService service;
  BatchClient client;
  std::unique_ptr<testing::ScriptedReplica> replica;
};

TEST(BatchServiceTest, ComputesEveryLineInOrderAndKeepsErrorsToTheirLines) {
  const Scratch scratch;
  Batch batch(scratch);
  batch.client.Create("job", TinyLines(100, /*bad=*/10), "out.jsonl");
  int states = 0;
  const v1::BatchJob job = batch.client.Watch("job", &states);
  EXPECT_EQ(job.state(), v1::BATCH_JOB_STATE_SUCCEEDED);
  EXPECT_GE(states, 2);
  EXPECT_EQ(job.counts().succeeded(), 90);
  EXPECT_EQ(job.counts().failed(), 10);
  const std::string output = ReadFile(scratch / "store/files/out.jsonl");
  EXPECT_EQ(output, batch.client.Results("job"));
  EXPECT_EQ(output, batch.client.Results("job", /*page_size=*/7));
  std::istringstream lines(output);
  int index = 0;
  for (std::string line; std::getline(lines, line); ++index) {
    EXPECT_THAT(line, HasSubstr(absl::StrCat("{\"custom_id\":\"line-", index, "\",")));
    EXPECT_THAT(line, HasSubstr(index % 10 == 9 ? "block_length 3 does not divide gen_length" : "\"token_ids\":["));
  }
  EXPECT_EQ(index, 100);
  httplib::Client admin("http://" + batch.service.server->admin_address());
  EXPECT_THAT(admin.Get("/metrics")->body, HasSubstr("unmask_requests_total{code=\"OK\",method=\"BatchLine\"} 90\n"));
}

// What is computed is what a client gets who asks for the same with the line's seed.
TEST(BatchServiceTest, ALineIsAnsweredLikeARequest) {
  const Scratch scratch;
  Batch batch(scratch);
  batch.client.Create("job", TinyLines(1));
  batch.client.Watch("job");
  const std::string line = batch.client.Results("job");
  v1::GenerateResponse of_line;
  const std::string prefix = "{\"custom_id\":\"line-0\",\"generate\":";
  ASSERT_TRUE(
      google::protobuf::util::JsonStringToMessage(line.substr(prefix.size(), line.size() - prefix.size() - 2), &of_line)
          .ok())
      << line;
  v1::GenerateRequest request;
  for (const int id : {1, 2, 3}) request.mutable_token_ids()->add_ids(id);
  *request.mutable_options() = of_line.options();
  request.mutable_output()->set_token_ids(true);
  v1::GenerateResponse response;
  ASSERT_TRUE(batch.service.Generate(request, &response).ok());
  EXPECT_THAT(of_line.token_ids(), ::testing::ElementsAreArray(response.token_ids()));
  request.mutable_options()->set_seed(of_line.options().seed() + 1);
  ASSERT_TRUE(batch.service.Generate(request, &response).ok());
  EXPECT_THAT(of_line.token_ids(), ::testing::Not(::testing::ElementsAreArray(response.token_ids())));
}

TEST(BatchServiceTest, AScoreIsAnsweredLikeARequest) {
  const Scratch scratch;
  Batch batch(scratch);
  const std::string prompt = R"("prompt":{"token_ids":{"ids":[1,2,3]}})";
  const std::string lines =
      absl::StrCat(R"({"custom_id":"a","score":{)", prompt, R"(,"targets":[{"token_ids":{"ids":[10,11,12,13,14]}}]}})",
                   "\n", R"({"custom_id":"b","score":{)", prompt, R"(,"targets":[]}})", "\n");
  batch.client.Create("job", lines);
  const v1::BatchJob job = batch.client.Watch("job");
  EXPECT_EQ(job.counts().succeeded(), 1);
  EXPECT_EQ(job.counts().failed(), 1);
  std::istringstream results(batch.client.Results("job"));
  std::string line;
  std::getline(results, line);
  const std::string prefix = R"({"custom_id":"a","score":)";
  v1::ScoreResponse of_line;
  ASSERT_TRUE(
      google::protobuf::util::JsonStringToMessage(line.substr(prefix.size(), line.size() - prefix.size() - 1), &of_line)
          .ok())
      << line;
  v1::ScoreRequest request;
  for (const int id : {1, 2, 3}) request.mutable_prompt()->mutable_token_ids()->add_ids(id);
  for (const int id : {10, 11, 12, 13, 14}) {
    if (request.targets().empty()) request.add_targets();
    request.mutable_targets(0)->mutable_token_ids()->add_ids(id);
  }
  request.set_seed(of_line.seed());
  v1::ScoreResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(batch.service.inference->Score(&context, request, &response).ok());
  EXPECT_EQ(of_line.scores(0).SerializeAsString(), response.scores(0).SerializeAsString());
  std::getline(results, line);
  EXPECT_THAT(line, HasSubstr(R"({"custom_id":"b","error":{"code":"INVALID_ARGUMENT","reason":"INPUT_MISSING")"));
}

TEST(BatchServiceTest, TheSameSeedGivesTheSameBytes) {
  const Scratch scratch;
  Batch batch(scratch);
  batch.client.Create("a", TinyLines(40));
  batch.client.Create("b", TinyLines(40));
  batch.client.Watch("b");
  EXPECT_EQ(batch.client.Watch("a").state(), v1::BATCH_JOB_STATE_SUCCEEDED);
  EXPECT_EQ(batch.client.Results("a"), batch.client.Results("b"));
}

TEST(BatchServiceTest, AnUploadOfAnySizeBecomesAJob) {
  const Scratch scratch;
  Batch batch(scratch);
  const std::string lines = TinyLines(30'000);
  ASSERT_GT(lines.size(), size_t{4} << 20) << "it would fit one message";
  v1::UploadBatchInputResponse uploaded;
  grpc::ClientContext context;
  auto writer = batch.client.stub().UploadBatchInput(&context, &uploaded);
  for (size_t at = 0; at < lines.size(); at += 100'000) {
    v1::UploadBatchInputRequest piece;
    piece.set_chunk(lines.substr(at, 100'000));
    ASSERT_TRUE(writer->Write(piece));
  }
  writer->WritesDone();
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_EQ(uploaded.size(), static_cast<int64_t>(lines.size()));
  v1::CreateBatchJobRequest request;
  request.set_upload(uploaded.upload());
  v1::BatchJob job;
  ASSERT_TRUE(batch.client.Create(request, &job).ok());
  EXPECT_EQ(job.counts().total(), 30'000);
  EXPECT_EQ(job.input_digest(), uploaded.digest());
  EXPECT_TRUE(batch.client.Ask(&Stub::CancelBatchJob, job.name()).ok());
}

TEST(BatchServiceTest, BadInputsAreRefusedWithTheirPlaces) {
  const Scratch scratch;
  Batch batch(scratch);
  v1::CreateBatchJobRequest request;
  request.set_lines("{\"custom_id\": \"a\", \"generate\": {}}\n{\"custom_id\": \"b\", }\n");
  grpc::Status status = batch.client.Create(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(DetailsOf(status).reason, "BATCH_INPUT_INVALID");
  EXPECT_EQ(DetailsOf(status).field, "line 2, column 20");
  EXPECT_THAT(status.error_message(), HasSubstr("line 2, column 20: "));
  request.set_path("/etc/passwd");
  EXPECT_EQ(DetailsOf(batch.client.Create(request)).reason, "PATH_NOT_ALLOWED");
  request.clear_input();
  EXPECT_EQ(DetailsOf(batch.client.Create(request)).reason, "INPUT_MISSING");
  EXPECT_EQ(batch.service.CallRaw("/unmask.v1.BatchService/CreateBatchJob", "\xff").error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(DetailsOf(batch.client.Ask(&Stub::CancelBatchJob, "nothing")).reason, "JOB_NOT_FOUND");
  batch.client.Watch("nothing", nullptr, &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST(BatchServiceTest, WithoutAStoreItSaysSo) {
  TestService service;
  BatchClient client(service.channel);
  const grpc::Status status = client.Ask(&Stub::CancelBatchJob, "a");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(DetailsOf(status).reason, "STORE_MISSING");
}

TEST(BatchServiceTest, PausedAndCancelledJobsComputeNothing) {
  const Scratch scratch;
  Batch batch(scratch);
  batch.replica->Hold();
  batch.client.Create("job", TinyLines(200));
  EXPECT_TRUE(Eventually([&] { return batch.service.server->fleet().open_sequences() > 0; }));
  EXPECT_TRUE(batch.client.Ask(&Stub::PauseBatchJob, "job").ok());
  EXPECT_TRUE(Eventually([&] { return batch.service.server->fleet().open_sequences() == 0; })) << "lines go on";
  batch.replica->Go();
  EXPECT_EQ(batch.client.Get("job").state(), v1::BATCH_JOB_STATE_PAUSED);
  EXPECT_TRUE(batch.client.Ask(&Stub::ResumeBatchJob, "job").ok());
  EXPECT_EQ(batch.client.Watch("job").counts().succeeded(), 200);

  batch.replica->Hold();
  batch.client.Create("other", TinyLines(200));
  EXPECT_TRUE(Eventually([&] { return batch.service.server->fleet().open_sequences() > 0; }));
  EXPECT_EQ(DetailsOf(batch.client.Ask(&Stub::DeleteBatchJob, "other")).reason, "JOB_NOT_TERMINAL");
  EXPECT_TRUE(batch.client.Ask(&Stub::CancelBatchJob, "other").ok());
  EXPECT_TRUE(Eventually([&] { return batch.service.server->fleet().open_sequences() == 0; })) << "lines go on";
  batch.replica->Go();
  EXPECT_EQ(batch.client.Watch("other").state(), v1::BATCH_JOB_STATE_CANCELLED);
  EXPECT_TRUE(batch.client.Ask(&Stub::DeleteBatchJob, "other").ok());
  EXPECT_EQ(batch.client.Get("other").name(), "");
}

TEST(BatchServiceTest, LinesWaitForAReplicaAndAreNoMoreThanItCanUse) {
  const Scratch scratch;
  TestService service(WithStore(scratch));
  BatchClient client(service.channel);
  client.Create("job", TinyLines(500));
  auto replica = service.StartReplica();
  EXPECT_TRUE(Eventually([&] { return client.Get("job").counts().succeeded() > 0; })) << "the job does not begin";
  replica->Hold();
  const size_t before = replica->steps().size();
  EXPECT_TRUE(Eventually([&] { return replica->steps().size() > before; }));
  EXPECT_TRUE(Eventually([&] { return service.server->fleet().Describe().queued() >= 16; })) << "it could have more";
  EXPECT_LE(service.server->fleet().Describe().queued(), 32);
  replica->Go();
  EXPECT_EQ(client.Watch("job").counts().succeeded(), 500);
  size_t most = 0;
  for (const auto& step : replica->steps()) most = std::max<size_t>(most, step.windows_size());
  EXPECT_GE(most, 16u) << "the replica's steps were not filled";
}

TEST(BatchServiceTest, AReplicasDeathCostsNoLineAndNoByte) {
  const Scratch scratch;
  Batch batch(scratch, std::chrono::milliseconds(1));
  batch.client.Create("calm", TinyLines(150));
  batch.client.Watch("calm");
  batch.client.Create("job", TinyLines(150));
  EXPECT_TRUE(Eventually([&] { return batch.client.Get("job").counts().succeeded() > 0; }));
  batch.replica->Die();
  const v1::BatchJob hit = batch.client.Get("job");
  EXPECT_EQ(hit.state(), v1::BATCH_JOB_STATE_RUNNING);
  EXPECT_TRUE(Eventually([&] { return batch.service.StateOf("a") == v1::REPLICA_STATE_DOWN; }));
  const auto next = batch.service.StartReplica();
  EXPECT_EQ(batch.client.Watch("job").counts().succeeded(), 150);
  EXPECT_EQ(batch.client.Results("job"), batch.client.Results("calm"));
}

TEST(BatchServiceTest, DrainingWaitsForNoLineAndTheNextServiceGoesOn) {
  const Scratch scratch;
  std::string calm;
  int64_t before = 0;
  {
    Batch batch(scratch, std::chrono::milliseconds(1));
    batch.client.Create("calm", TinyLines(150));
    batch.client.Watch("calm");
    calm = batch.client.Results("calm");
    batch.client.Create("job", TinyLines(150), "out.jsonl");
    EXPECT_TRUE(Eventually([&] { return batch.client.Get("job").counts().succeeded() > 0; }));
    batch.replica->Hold();  // What is under way will not end.
    batch.service.server->Drain();
    EXPECT_TRUE(Eventually([&] { return batch.service.server->idle(); }));
    before = batch.client.Get("job").counts().succeeded();
    EXPECT_LT(before, 150);
  }
  Batch batch(scratch);
  EXPECT_GE(batch.client.Get("job").counts().succeeded(), before);
  EXPECT_EQ(batch.client.Watch("job").state(), v1::BATCH_JOB_STATE_SUCCEEDED);
  EXPECT_EQ(batch.client.Results("job"), calm);
  EXPECT_EQ(ReadFile(scratch / "store/files/out.jsonl"), calm);
}

}  // namespace
}  // namespace unmask
