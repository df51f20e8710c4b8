// Rank 0's end of the stream against a coordinator of a few lines.
#include "worker/leader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "tests/support/patience.h"

namespace unmask {
namespace {

using internal::v1::CoordinatorMessage;
using internal::v1::ReplicaDescription;
using internal::v1::ReplicaMessage;
using internal::v1::ReplicaReady;
using internal::v1::StepResult;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// Accepts replicas, keeps what they say, and says what a test wants.
class FakeCoordinator : public internal::v1::FleetLinkService::Service {
 public:
  // Port 0: a free one.
  explicit FakeCoordinator(int port = 0) {
    grpc::ServerBuilder builder;
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~FakeCoordinator() override { server_->Shutdown(std::chrono::system_clock::now()); }

  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  // The next message of a kind; fails the test where it does not come.
  ReplicaMessage Expect(ReplicaMessage::MessageCase kind) {
    const auto deadline = steady_clock::now() + seconds(10) * Patience();
    MutexLock lock(&mutex_);
    while (true) {
      while (!said_.empty()) {
        const ReplicaMessage message = said_.front();
        said_.pop_front();
        if (message.message_case() == kind) return message;
      }
      if (!changed_.WaitUntil(&mutex_, deadline) && steady_clock::now() >= deadline) {
        ADD_FAILURE() << "no message of kind " << kind;
        return ReplicaMessage();
      }
    }
  }

  bool Heard(ReplicaMessage::MessageCase kind) {
    MutexLock lock(&mutex_);
    for (const ReplicaMessage& message : said_) {
      if (message.message_case() == kind) return true;
    }
    return false;
  }

  void Say(const CoordinatorMessage& message) {
    MutexLock lock(&mutex_);
    if (stream_ != nullptr) stream_->Write(message);
  }

  void HangUp() {
    MutexLock lock(&mutex_);
    if (context_ != nullptr) context_->TryCancel();
  }

 private:
  using Stream = grpc::ServerReaderWriter<CoordinatorMessage, ReplicaMessage>;

  grpc::Status Attach(grpc::ServerContext* context, Stream* stream) override {
    {
      MutexLock lock(&mutex_);
      stream_ = stream;
      context_ = context;
      CoordinatorMessage attached;
      attached.mutable_attached()->set_epoch(++epochs_);
      stream->Write(attached);
    }
    ReplicaMessage message;
    while (stream->Read(&message)) {
      MutexLock lock(&mutex_);
      said_.push_back(message);
      changed_.SignalAll();
    }
    MutexLock lock(&mutex_);
    stream_ = nullptr;
    context_ = nullptr;
    return grpc::Status::OK;
  }

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<ReplicaMessage> said_;
  Stream* stream_ = nullptr;
  grpc::ServerContext* context_ = nullptr;
  uint64_t epochs_ = 0;
};

ReplicaDescription Description() {
  ReplicaDescription description;
  description.set_name("replica-a");
  return description;
}

ReplicaReady Ready() {
  ReplicaReady ready;
  ready.set_numerics("weights:1");
  return ready;
}

CoordinatorMessage StepMessage(uint64_t id, uint64_t epoch) {
  CoordinatorMessage message;
  message.mutable_step()->set_id(id);
  message.mutable_step()->set_epoch(epoch);
  return message;
}

StepResult Result(uint64_t id, uint64_t epoch) {
  StepResult result;
  result.set_id(id);
  result.set_epoch(epoch);
  return result;
}

TEST(LeaderTest, DescribesItselfFirstThenLoadsThenIsReadyThenAnswers) {
  FakeCoordinator coordinator;
  Leader leader({coordinator.address()}, Description());
  EXPECT_EQ(coordinator.Expect(ReplicaMessage::kDescription).description().name(), "replica-a");
  coordinator.Expect(ReplicaMessage::kLoading);
  leader.SetLoading(10, 100);
  EXPECT_EQ(coordinator.Expect(ReplicaMessage::kLoading).loading().bytes_done(), 10);
  leader.SetReady(Ready());
  EXPECT_EQ(coordinator.Expect(ReplicaMessage::kReady).ready().numerics(), "weights:1");
  EXPECT_EQ(leader.Next()->attached().epoch(), 1);
  coordinator.Say(StepMessage(1, 1));
  EXPECT_EQ(leader.Next()->step().id(), 1);
  leader.Send(Result(1, 1));
  EXPECT_EQ(coordinator.Expect(ReplicaMessage::kResult).result().id(), 1);
}

// Waits until the state file begins with `state`; says what it is where it does not.
std::string StateIs(const std::string& path, const std::string& state) {
  const auto limit = steady_clock::now() + seconds(20) * Patience();
  std::string line;
  while (steady_clock::now() < limit) {
    std::ifstream file(path);
    std::getline(file, line);
    if (line.rfind(state, 0) == 0) return "";
    std::this_thread::sleep_for(milliseconds(10));
  }
  return line;
}

TEST(LeaderTest, TheStateFileSaysHowTheReplicaIs) {
  const std::string path = testing::TempDir() + "/unmask-state-" + std::to_string(getpid());
  auto coordinator = std::make_unique<FakeCoordinator>();
  const int port = coordinator->port();
  coordinator = nullptr;
  LeaderOptions options = {"127.0.0.1:" + std::to_string(port)};
  options.state_file = path;
  {
    Leader leader(options, Description());
    EXPECT_EQ(StateIs(path, "waiting for the coordinator at 127.0.0.1:"), "");
    leader.SetLoading(5 << 20, 9 << 20);
    coordinator = std::make_unique<FakeCoordinator>(port);
    EXPECT_EQ(StateIs(path, "loading: 5 of 9 MiB"), "");
    leader.SetReady(Ready());
    EXPECT_EQ(StateIs(path, "ready"), "");
    const auto first = std::filesystem::last_write_time(path);
    const auto limit = steady_clock::now() + seconds(20) * Patience();  // Written anew while nothing changes.
    while (std::filesystem::last_write_time(path) == first && steady_clock::now() < limit) {
      std::this_thread::sleep_for(milliseconds(10));
    }
    EXPECT_NE(std::filesystem::last_write_time(path), first);
    coordinator = nullptr;
    EXPECT_EQ(StateIs(path, "waiting"), "");
    coordinator = std::make_unique<FakeCoordinator>(port);
    EXPECT_EQ(StateIs(path, "ready"), "");
    leader.Drain();
    EXPECT_EQ(StateIs(path, "draining"), "");
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(LeaderTest, HeartsBeatWhileNobodyAsksForAnything) {
  FakeCoordinator coordinator;
  Leader leader({coordinator.address()}, Description());
  coordinator.Expect(ReplicaMessage::kHeartbeat);
  const auto begin = steady_clock::now();
  for (int i = 0; i < 3; ++i) coordinator.Expect(ReplicaMessage::kHeartbeat);
  EXPECT_LT(steady_clock::now() - begin, seconds(5) * Patience());
  EXPECT_GT(steady_clock::now() - begin, milliseconds(1500));
}

TEST(LeaderTest, WaitsForACoordinatorThatComesUpLater) {
  auto coordinator = std::make_unique<FakeCoordinator>();
  const int port = coordinator->port();
  coordinator = nullptr;
  Leader leader({"127.0.0.1:" + std::to_string(port)}, Description());
  leader.SetReady(Ready());
  std::this_thread::sleep_for(milliseconds(700));
  coordinator = std::make_unique<FakeCoordinator>(port);
  coordinator->Expect(ReplicaMessage::kDescription);
  coordinator->Expect(ReplicaMessage::kReady);
}

TEST(LeaderTest, DialsAgainAndIsReadyAgainAndForgetsTheOldConnection) {
  FakeCoordinator coordinator;
  Leader leader({coordinator.address()}, Description());
  leader.SetReady(Ready());
  coordinator.Expect(ReplicaMessage::kReady);
  EXPECT_EQ(leader.Next()->attached().epoch(), 1);
  coordinator.Say(StepMessage(1, 1));
  EXPECT_EQ(leader.Next()->step().id(), 1);
  coordinator.Say(StepMessage(2, 1));  // Will never be carried out.
  std::this_thread::sleep_for(milliseconds(100));
  coordinator.HangUp();
  coordinator.Expect(ReplicaMessage::kDescription);
  coordinator.Expect(ReplicaMessage::kReady);
  EXPECT_EQ(leader.Next()->attached().epoch(), 2);
  leader.Send(Result(1, 1));  // Of the connection that is gone: dropped.
  leader.Send(Result(7, 2));
  EXPECT_EQ(coordinator.Expect(ReplicaMessage::kResult).result().id(), 7);
}

TEST(LeaderTest, DrainingGoesOnUntilTheCoordinatorHangsUp) {
  FakeCoordinator coordinator;
  Leader leader({coordinator.address()}, Description());
  leader.SetReady(Ready());
  coordinator.Expect(ReplicaMessage::kReady);
  EXPECT_TRUE(leader.Next()->has_attached());
  leader.Drain();
  leader.Drain();  // Asked twice, said once.
  coordinator.Expect(ReplicaMessage::kDraining);
  coordinator.Say(StepMessage(1, 1));
  EXPECT_EQ(leader.Next()->step().id(), 1);
  leader.Send(Result(1, 1));
  coordinator.Expect(ReplicaMessage::kResult);
  EXPECT_FALSE(coordinator.Heard(ReplicaMessage::kDraining));
  coordinator.HangUp();
  EXPECT_FALSE(leader.Next().has_value());
  EXPECT_FALSE(leader.cut_off());
}

TEST(LeaderTest, DrainingHasAnEnd) {
  FakeCoordinator coordinator;
  Leader leader({.coordinator = coordinator.address(), .drain_timeout = seconds(1)}, Description());
  EXPECT_TRUE(leader.Next()->has_attached());
  const auto begin = steady_clock::now();
  leader.Drain();
  EXPECT_FALSE(leader.cut_off());
  EXPECT_FALSE(leader.Next().has_value());
  EXPECT_LT(steady_clock::now() - begin, seconds(5) * Patience());
  EXPECT_GE(steady_clock::now() - begin, seconds(1));
  EXPECT_TRUE(leader.cut_off());
}

TEST(LeaderTest, DrainingWithoutACoordinatorEndsAtOnce) {
  Leader leader({"127.0.0.1:1"}, Description());
  const auto begin = steady_clock::now();
  leader.Drain();
  EXPECT_FALSE(leader.Next().has_value());
  EXPECT_LT(steady_clock::now() - begin, seconds(2) * Patience());
}

TEST(LeaderTest, EndsWhileConnectedAndWhileDialling) {
  const auto begin = steady_clock::now();
  { Leader leader({"127.0.0.1:1"}, Description()); }
  FakeCoordinator coordinator;
  {
    Leader leader({coordinator.address()}, Description());
    coordinator.Expect(ReplicaMessage::kDescription);
  }
  EXPECT_LT(steady_clock::now() - begin, seconds(5) * Patience());
}

}  // namespace
}  // namespace unmask
