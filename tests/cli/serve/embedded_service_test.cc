// A service for the time of one command.
#include "cli/embedded_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/fleet_watch.h"
#include "cli/progress_bar.h"
#include "cli/service_addresses.h"
#include "tests/cli/serve/harness.h"

namespace unmask {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class EmbeddedServiceTest : public ServeTest {
 protected:
  EmbeddedServiceTest() {
    setenv("UNMASK_BINARY", (std::string(getenv("UNMASK_BIN_DIR")) + "/unmask").c_str(), 1);
    options_.model = Path("model");
    options_.show_progress = false;
  }
  EmbeddedServiceOptions options_;
};

TEST_F(EmbeddedServiceTest, ServesUntilItIsDestroyed) {
  {
    const auto service = EmbeddedService::Start(options_);
    ASSERT_TRUE(service.ok()) << service.status();
    v1::GetFleetResponse fleet;
    EXPECT_TRUE(FleetProbe((*service)->address()).Ask(absl::Seconds(2), &fleet));
    EXPECT_THAT(Processes(), Not(IsEmpty()));
  }
  EXPECT_THAT(Processes(), IsEmpty());
  EXPECT_THAT(RuntimeFolders(), IsEmpty());
  EXPECT_TRUE(Tells("coordinator ends"));
}

TEST_F(EmbeddedServiceTest, AFailurePassesOnCodeAndMessage) {
  Write("worker_exit", "65");
  const auto service = EmbeddedService::Start(options_);
  ASSERT_FALSE(service.ok());
  EXPECT_EQ(ExitCodeOf(service.status()), 65);
  EXPECT_EQ(service.status().message(), "replica-0: the checkpoint is torn");
  options_.model = Path("nowhere");
  EXPECT_EQ(ExitCodeOf(EmbeddedService::Start(options_).status()), 78);
}

TEST_F(EmbeddedServiceTest, DiesWithTheCommandHoweverThatEnds) {
  options_.tensor_parallel = 2;
  const pid_t command = fork();
  if (command == 0) {
    const auto service = EmbeddedService::Start(options_);
    Write("up", "");
    pause();
  }
  EXPECT_TRUE(Eventually([&] { return std::filesystem::exists(Path("up")); }));
  EXPECT_THAT(Processes(), Not(IsEmpty()));
  kill(command, SIGKILL);
  waitpid(command, nullptr, 0);
  EXPECT_TRUE(NothingIsLeft());
}

TEST(ExitCodeOfTest, FollowsTheTable) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCodeOf(absl::InvalidArgumentError("")), 64);
  EXPECT_EQ(ExitCodeOf(absl::NotFoundError("")), 64);
  EXPECT_EQ(ExitCodeOf(absl::UnavailableError("")), 69);
  EXPECT_EQ(ExitCodeOf(absl::ResourceExhaustedError("")), 69);
  EXPECT_EQ(ExitCodeOf(absl::DeadlineExceededError("")), 69);
  EXPECT_EQ(ExitCodeOf(absl::InternalError("")), 70);
}

TEST(ProgressLineTest, FitsItsWidth) {
  EXPECT_EQ(ProgressLine("Loading toy", 500'000, 1'000'000, 60),
            "Loading toy  [###########............]   50 %  0.5 of 1.0 MB");
  EXPECT_EQ(ProgressLine("Loading toy", 0, 0, 60), "Loading toy ...");
  for (int width = 0; width < 100; ++width) {
    EXPECT_LE(ProgressLine("Loading toy", 8'000'000'000, 16'000'000'000, width).size(), static_cast<size_t>(width));
  }
}

TEST(ServiceAddressesTest, WildcardsAreDialledOnLoopback) {
  EXPECT_EQ(DialAddress("0.0.0.0:80"), "127.0.0.1:80");
  EXPECT_EQ(DialAddress("[::]:80"), "[::1]:80");
  EXPECT_EQ(DialAddress("10.0.0.1:80"), "10.0.0.1:80");
}

TEST(ServiceAddressesTest, MalformedAddressesAreNamed) {
  for (const char* good : {"localhost:0", "127.0.0.1:65535", "[::1]:50051"}) EXPECT_TRUE(CheckAddress("x", good).ok());
  for (const char* bad : {"", ":1", "host", "host:", "host:65536", "host:-1", "::1:5", "host:1x"}) {
    EXPECT_THAT(std::string(CheckAddress("listen", bad).message()), HasSubstr("listen: ")) << bad;
  }
}

}  // namespace
}  // namespace unmask
