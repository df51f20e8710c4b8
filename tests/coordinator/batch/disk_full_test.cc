// F10: the store's disk is full, at one write or another. The job is paused and says why, requests are answered as
// ever, nothing is torn; once there is space the job goes on, and its bytes are those of an undisturbed run.
#include <sched.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "gmock/gmock.h"
#include "tests/coordinator/batch/batch_client.h"
#include "tests/coordinator/batch/coordinator_process.h"

namespace unmask {
namespace {

namespace fs = std::filesystem;
using testing::BatchClient;
using testing::CoordinatorProcess;
using testing::DetailsOf;
using testing::Eventually;
using testing::ReadFile;
using testing::Scratch;
using testing::ScriptedReplica;
using testing::ScriptedReplicaOptions;
using testing::TinyLines;

constexpr int kLines = 300;
constexpr int kGenLength = 64;  // Results of about a kilobyte,
// soon computed: batch steps are short for a minute after an interactive request, and each life begins with one.
constexpr int kSteps = 2;

// A file system of 8 MB in a mount namespace of our own.
class SmallDisk {
 public:
  static bool EnterNamespace() {
    // Mounting needs root, or a user namespace in which we are.
    if (geteuid() == 0 ? unshare(CLONE_NEWNS) != 0 : unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    return mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  }
  explicit SmallDisk(const std::string& path) : path_(path) {
    fs::create_directories(path_);
    EXPECT_EQ(mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=8m"), 0);
  }
  ~SmallDisk() { umount2(path_.c_str(), MNT_DETACH); }

  int64_t Free() const {
    struct statvfs stats = {};
    statvfs(path_.c_str(), &stats);
    return static_cast<int64_t>(stats.f_bavail) * static_cast<int64_t>(stats.f_frsize);
  }
  // Until this much is free.
  void Fill(int64_t free) {
    std::ofstream file(path_ + "/ballast", std::ios::binary | std::ios::app);
    file << std::string(std::max<int64_t>(Free() - free, 0), 'x');
  }
  void Empty() { fs::remove(path_ + "/ballast"); }

 private:
  const std::string path_;
};

std::string IntegrityOf(const std::string& path) {
  sqlite3* database = nullptr;
  sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READWRITE, nullptr);
  std::string answer;
  sqlite3_exec(
      database, "PRAGMA integrity_check",
      [](void* out, int, char** values, char**) {
        *static_cast<std::string*>(out) += values[0];
        return 0;
      },
      &answer, nullptr);
  sqlite3_close(database);
  return answer;
}

struct Life {
  Life(const Scratch& folder, const std::string& store)
      : process(folder, store),
        client(process.Address("grpc")),
        inference(v1::InferenceService::NewStub(
            grpc::CreateChannel(process.Address("grpc"), grpc::InsecureChannelCredentials()))) {
    ScriptedReplicaOptions options;
    options.step_time = std::chrono::milliseconds(1);
    replica = ScriptedReplica::Start(process.Address("fleet"), options);
    EXPECT_TRUE(Eventually([&] { return Answers(); }));
  }
  bool Answers() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    v1::GenerateResponse response;
    return inference->Generate(&context, testing::TinyRequest(8, 8), &response).ok();
  }
  bool PausedByTheDisk(const std::string& name) {
    const v1::BatchJob job = client.Get(name);
    return job.state() == v1::BATCH_JOB_STATE_PAUSED && job.error().reason() == "STORAGE_FULL";
  }

  CoordinatorProcess process;
  BatchClient client;
  std::unique_ptr<v1::InferenceService::Stub> inference;
  std::unique_ptr<ScriptedReplica> replica;
};

class DiskFullTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { has_namespace_ = SmallDisk::EnterNamespace(); }
  void SetUp() override {
    if (!has_namespace_) GTEST_SKIP() << "mounts are not allowed here";
  }
  static std::string Calm() {
    const Scratch folder;
    Life life(folder, folder / "store");
    life.client.Create("job", TinyLines(kLines, 0, kGenLength), "out.jsonl", kSteps);
    EXPECT_EQ(life.client.Watch("job").state(), v1::BATCH_JOB_STATE_SUCCEEDED);
    return ReadFile(folder / "store/files/out.jsonl");
  }
  static bool has_namespace_;
};
bool DiskFullTest::has_namespace_ = false;

TEST_F(DiskFullTest, AFullDiskPausesTheJobAndHarmsNothingElse) {
  const std::string calm = Calm();
  ASSERT_EQ(std::count(calm.begin(), calm.end(), '\n'), kLines);
  const int places = std::getenv("UNMASK_LONG") != nullptr ? 40 : 5;
  int paused = 0;
  for (int place = 0; place < places; ++place) {
    const Scratch folder;
    SmallDisk disk(folder / "disk");
    Life life(folder, folder / "disk/store");
    life.client.Create("job", TinyLines(kLines, 0, kGenLength), "out.jsonl", kSteps);
    // From the next write on, to about when the output is written.
    disk.Fill(place * static_cast<int64_t>(2 * calm.size()) / places);
    const auto comes_to_rest = [&] {
      return life.PausedByTheDisk("job") || life.client.Get("job").state() == v1::BATCH_JOB_STATE_SUCCEEDED;
    };
    bool rests = false;
    for (int patience = 0; patience < 9 && !rests; ++patience) rests = Eventually(comes_to_rest);
    ASSERT_TRUE(rests) << life.client.Get("job").ShortDebugString();
    if (life.PausedByTheDisk("job")) {
      ++paused;
      EXPECT_TRUE(life.Answers()) << "a request suffers from a full store";
      EXPECT_FALSE(fs::exists(folder / "disk/store/files/out.jsonl")) << "torn, or too early";
      const int64_t done = life.client.Get("job").counts().succeeded();
      EXPECT_LE(done, kLines);
      if (place % 2 == 1) {  // A coordinator killed meanwhile changes nothing; it may have to start on a full disk.
        life.process.Kill();
        Life next(folder, folder / "disk/store");
        EXPECT_TRUE(next.Answers());
        disk.Empty();
        EXPECT_TRUE(Eventually([&] { return next.client.Get("job").counts().succeeded() >= done; })) << "results lost";
        EXPECT_EQ(next.client.Watch("job").state(), v1::BATCH_JOB_STATE_SUCCEEDED);
        next.process.Kill();
      }
    }
    disk.Empty();
    if (place % 2 == 0) {
      EXPECT_EQ(life.client.Watch("job").state(), v1::BATCH_JOB_STATE_SUCCEEDED);
    }
    EXPECT_EQ(ReadFile(folder / "disk/store/files/out.jsonl"), calm) << "place " << place;
    life.process.Kill();
    EXPECT_EQ(IntegrityOf(folder / "disk/store/batch.sqlite"), "ok");
  }
  EXPECT_GE(paused, places / 2) << "the disk was hardly ever full in time";
  printf("%d of %d jobs were paused by a full disk\n", paused, places);
}

TEST_F(DiskFullTest, AJobThatDoesNotFitIsRefused) {
  const Scratch folder;
  SmallDisk disk(folder / "disk");
  Life life(folder, folder / "disk/store");
  disk.Fill(0);
  v1::CreateBatchJobRequest request;
  request.mutable_job()->set_name("job");
  request.set_lines(TinyLines(1200));
  const grpc::Status status = life.client.Create(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_EQ(DetailsOf(status).reason, "STORAGE_FULL");
  EXPECT_TRUE(life.Answers());
  EXPECT_EQ(life.client.Get("job").name(), "");
  disk.Empty();
  EXPECT_TRUE(life.client.Create(request).ok());
  EXPECT_EQ(life.client.Watch("job").counts().succeeded(), 1200);
}

}  // namespace
}  // namespace unmask
