// L4 with a batch job: interactive requests beside one take little longer than alone, and the job goes on. A step takes
// a fixed time and holds few windows, so that what is measured is the order of work, not the machine.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "gmock/gmock.h"
#include "tests/coordinator/batch/batch_client.h"
#include "tests/coordinator/batch/scratch.h"
#include "tests/coordinator/test_service.h"

namespace unmask {
namespace {

using testing::BatchClient;
using testing::Eventually;
using testing::Scratch;
using testing::TestService;
using testing::TinyRequest;
using Clock = std::chrono::steady_clock;

// Times what a request takes alone. Promised are 2 (tests/coordinator/load_test.cc, on a simulated clock); here the
// machine's own delays come on top.
constexpr double kMost = 3;
constexpr int kSteps = 8;       // Of a request.
constexpr int kLines = 20'000;  // More than are computed meanwhile.

// The median of some requests, one after another, in milliseconds.
double Median(const TestService& service, v1::Priority priority, int requests) {
  std::vector<double> times;
  for (int i = 0; i < requests; ++i) {
    v1::GenerateRequest request = TinyRequest(kSteps, kSteps);
    request.set_priority(priority);
    v1::GenerateResponse response;
    const Clock::time_point sent = Clock::now();
    const grpc::Status status = service.Generate(request, &response);
    EXPECT_TRUE(status.ok()) << v1::Priority_Name(priority) << ": " << status.error_message();
    times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - sent).count());
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

int64_t Windows(const testing::ScriptedReplica& replica) {
  int64_t windows = 0;
  for (const auto& step : replica.steps()) windows += step.windows_size();
  return windows;
}

TEST(BatchPriorityTest, ABatchJobLeavesInteractiveRequestsTheirLatency) {
  const Scratch scratch;
  ServerOptions with_store;
  with_store.store = scratch / "store";
  TestService service(with_store);
  testing::ScriptedReplicaOptions options;
  options.step_time = std::chrono::milliseconds(5);
  options.max_rows = 32 * (3 + kSteps);  // The job has hundreds of lines under way, of which a step holds some 20.
  const auto replica = service.StartReplica(options);
  constexpr int kRequests = 20;
  const double alone = Median(service, v1::PRIORITY_INTERACTIVE, kRequests);

  BatchClient client(service.channel);
  client.Create("job", testing::TinyLines(kLines));
  ASSERT_TRUE(Eventually([&] { return service.server->fleet().open_sequences() >= 512; })) << "it does not saturate";
  const int64_t before = Windows(*replica);
  const double beside = Median(service, v1::PRIORITY_INTERACTIVE, kRequests);
  const int64_t of_job = Windows(*replica) - before - kRequests * kSteps;
  // The planted variant: everything at one priority, so that requests take turns with the job's lines.
  const double planted = Median(service, v1::PRIORITY_BATCH, 3);
  ASSERT_EQ(client.Get("job").state(), v1::BATCH_JOB_STATE_RUNNING) << "the job ended before the measurement";
  EXPECT_TRUE(client.Ask(&v1::BatchService::Stub::CancelBatchJob, "job").ok());
  printf("alone %.0f ms, beside a job %.0f ms and %ld windows of it, at the job's priority %.0f ms\n", alone, beside,
         static_cast<long>(of_job), planted);
  EXPECT_GT(of_job, kRequests * kSteps) << "the job starves";
  EXPECT_LE(beside, kMost * alone);
  EXPECT_GT(planted, kMost * alone) << "the measure does not see who waits";
}

}  // namespace
}  // namespace unmask
