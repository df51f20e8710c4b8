// F9: the coordinator is killed at random instants of a job, from its creation to its end. The next one goes on, and
// the output's bytes are those of an undisturbed run. UNMASK_LONG=1: 50 kills of a job of 500 lines.
#include <chrono>
#include <cstdio>
#include <random>
#include <thread>

#include "tests/coordinator/batch/batch_client.h"
#include "tests/coordinator/batch/coordinator_process.h"

namespace unmask {
namespace {

using testing::BatchClient;
using testing::CoordinatorProcess;
using testing::Eventually;
using testing::ReadFile;
using testing::Scratch;
using testing::ScriptedReplica;
using testing::ScriptedReplicaOptions;
using testing::TinyLines;

const bool kLong = std::getenv("UNMASK_LONG") != nullptr;
const int kLines = kLong ? 500 : 300;
const int kKills = kLong ? 50 : 5;

struct Life {
  explicit Life(const Scratch& folder) : process(folder), client(process.Address("grpc")) {
    ScriptedReplicaOptions options;
    options.step_time = std::chrono::milliseconds(2);
    replica = ScriptedReplica::Start(process.Address("fleet"), options);
  }
  CoordinatorProcess process;
  BatchClient client;
  std::unique_ptr<ScriptedReplica> replica;
};

std::string Undisturbed(std::chrono::milliseconds* taken) {
  const Scratch folder;
  Life life(folder);
  const auto begin = std::chrono::steady_clock::now();
  life.client.Create("job", TinyLines(kLines, /*bad=*/50), "out.jsonl");
  EXPECT_EQ(life.client.Watch("job").state(), v1::BATCH_JOB_STATE_SUCCEEDED);
  *taken = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  return ReadFile(folder / "store/files/out.jsonl");
}

TEST(BatchKillTest, KilledAtAnyInstantAJobGivesTheSameBytes) {
  const char* given = std::getenv("UNMASK_SEED");
  const unsigned seed = given != nullptr ? std::atoi(given) : std::random_device()();
  printf("UNMASK_SEED=%u\n", seed);
  std::mt19937 random(seed);
  std::chrono::milliseconds calm_time;
  const std::string calm = Undisturbed(&calm_time);
  ASSERT_EQ(std::count(calm.begin(), calm.end(), '\n'), kLines);

  int hits = 0;  // Kills of a job that had begun and not ended.
  int jobs = 0;
  int64_t resumed = 0;  // Lines that were there after a kill and were not computed again.
  while (hits < kKills) {
    ASSERT_LT(jobs, kKills + 10) << "kills do not hit";
    const Scratch folder;
    ++jobs;
    v1::BatchJobState state = v1::BATCH_JOB_STATE_UNSPECIFIED;
    auto life = std::make_unique<Life>(folder);
    life->client.Create("job", TinyLines(kLines, /*bad=*/50), "out.jsonl");
    for (int of_this_job = 0; of_this_job < 5 && hits < kKills; ++of_this_job) {
      const auto instant = std::chrono::microseconds(random() % (1000 * std::max<int64_t>(calm_time.count() / 3, 1)));
      std::this_thread::sleep_for(instant);
      life->process.Kill();
      life = std::make_unique<Life>(folder);
      const v1::BatchJob job = life->client.Get("job");
      ASSERT_EQ(job.name(), "job") << "an acknowledged job is gone";
      const int64_t done = job.counts().succeeded() + job.counts().failed();
      state = job.state();
      if (state >= v1::BATCH_JOB_STATE_SUCCEEDED) break;
      ++hits;
      resumed += done;
    }
    ASSERT_EQ(life->client.Watch("job").state(), v1::BATCH_JOB_STATE_SUCCEEDED);
    ASSERT_EQ(ReadFile(folder / "store/files/out.jsonl"), calm);
    ASSERT_EQ(life->client.Results("job"), calm);
    ASSERT_FALSE(std::filesystem::exists(folder / "store/files/out.jsonl.partial"));
  }
  EXPECT_GT(resumed, 0) << "every kill came before the first result";
  printf("%d kills hit %d jobs of %d lines; %ld results were there after them\n", hits, jobs, kLines,
         static_cast<long>(resumed));
}

// An acknowledged creation is there; one that was not acknowledged is whole or not there at all.
TEST(BatchKillTest, KilledWhileJobsAreCreatedEachIsThereWholeOrNotAtAll) {
  std::mt19937 random(7);
  const Scratch folder;
  int interrupted = 0;
  for (int kill = 0; kill < (kLong ? 30 : 4); ++kill) {
    auto process = std::make_unique<CoordinatorProcess>(folder);
    std::vector<std::string> acknowledged;
    std::thread creator([&, address = process->Address("grpc")] {
      BatchClient client(address);
      for (int i = 0;; ++i) {
        v1::CreateBatchJobRequest request;
        request.mutable_job()->set_name(absl::StrCat("job-", kill, "-", i));
        request.set_lines(TinyLines(1200));
        if (!client.Create(request).ok()) return;
        acknowledged.push_back(request.job().name());
      }
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 200));
    process->Kill();
    creator.join();
    process = std::make_unique<CoordinatorProcess>(folder);
    BatchClient client(process->Address("grpc"));
    for (const std::string& name : acknowledged) EXPECT_EQ(client.Get(name).name(), name) << "lost";
    const v1::BatchJob last = client.Get(absl::StrCat("job-", kill, "-", acknowledged.size()));
    if (last.name().empty()) ++interrupted;
    EXPECT_TRUE(last.name().empty() || last.counts().total() == 1200);
  }
  EXPECT_GT(interrupted, 0) << "no kill came during a creation";
}

}  // namespace
}  // namespace unmask
