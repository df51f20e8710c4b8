// The metrics page is one that Prometheus takes, names all that docs/operating.md lists, and the dashboard and the
// rules ask for nothing that is not on it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include "tests/coordinator/batch/batch_client.h"
#include "tests/coordinator/batch/scratch.h"
#include "tests/coordinator/test_service.h"
#include "tests/support/golden.h"

namespace unmask {
namespace {

using testing::Eventually;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::TestService;
using testing::TinyRequest;
using Names = std::set<std::string>;

constexpr char kRules[] = "helm/unmask/files/rules.yaml";

std::string SourceFile(const std::string& path) {
  std::ifstream file(testing::SourcePath(path));
  EXPECT_TRUE(file) << path;
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

// What a service shows that has answered, refused, lost a replica and run a batch job.
const std::string& Page() {
  static const std::string page = [] {
    const testing::Scratch scratch;
    ServerOptions ports;
    ports.http_listen = "127.0.0.1:0";
    ports.store = scratch / "store";
    TestService service(ports);
    EXPECT_TRUE(httplib::Client("http://" + service.server->http_address()).Get("/v1/models"));
    testing::ScriptedReplicaOptions options;
    options.dies_at_step = 4;
    auto replica = service.StartReplica(options);
    v1::GenerateResponse response;
    EXPECT_FALSE(service.Generate(TinyRequest(8, 3), &response).ok());
    std::thread client([&] {
      v1::GenerateResponse replayed;
      EXPECT_TRUE(service.Generate(TinyRequest(16, 8), &replayed).ok());
    });
    EXPECT_TRUE(Eventually([&] { return service.StateOf("a") == v1::REPLICA_STATE_DOWN; }));
    options.dies_at_step = 0;
    replica = service.StartReplica(options);
    client.join();
    testing::BatchClient batch(service.channel);
    batch.Create("job", testing::TinyLines(4, /*bad=*/4));
    EXPECT_EQ(batch.Watch("job").state(), v1::BATCH_JOB_STATE_SUCCEEDED);
    httplib::Client admin("http://" + service.server->admin_address());
    const auto reply = admin.Get("/metrics");
    EXPECT_TRUE(reply && reply->status == 200);
    return reply ? reply->body : std::string();
  }();
  return page;
}

Names Families(const std::string& page) {
  Names names;
  const std::regex type("# TYPE (\\S+) ");
  for (std::sregex_iterator it(page.begin(), page.end(), type), end; it != end; ++it) names.insert((*it)[1]);
  return names;
}

// Metrics that the text speaks of and the page does not have.
Names Unknown(const std::string& text, const std::string& page) {
  const Names families = Families(page);
  Names unknown;
  const std::regex name("\\b(unmask|process)_[a-z_]+\\b");
  for (std::sregex_iterator it(text.begin(), text.end(), name), end; it != end; ++it) {
    const std::string found = it->str();
    const std::string family = std::regex_replace(found, std::regex("_(bucket|sum|count)$"), "");
    if (families.count(found) == 0 && families.count(family) == 0) unknown.insert(found);
  }
  return unknown;
}

// All that promtool says; its exit code is checked to be 0.
std::string Promtool(const std::string& arguments) {
  FILE* pipe = popen(("promtool " + arguments + " 2>&1").c_str(), "r");
  std::string output;
  char buffer[4096];
  while (const size_t got = fread(buffer, 1, sizeof(buffer), pipe)) output.append(buffer, got);
  const int status = pclose(pipe);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
      << "promtool " << arguments << " (scripts/setup.sh installs it): " << output;
  return output;
}

TEST(MetricsTest, ThePageIsOneThatPromtoolHasNothingToSayAbout) {
  ASSERT_THAT(Page(), HasSubstr("unmask_"));
  const std::string file = ::testing::TempDir() + "/unmask-metrics-" + std::to_string(getpid());
  std::ofstream(file) << Page();
  EXPECT_EQ(Promtool("check metrics <" + file), "");
  std::remove(file.c_str());
}

TEST(MetricsTest, EverythingThatOperatorsCountOnIsThere) {
  const Names families = Families(Page());
  for (const char* name : {"unmask_requests_total",
                           "unmask_rejected_total",
                           "unmask_request_duration_seconds",
                           "unmask_request_queue_seconds",
                           "unmask_time_to_first_block_seconds",
                           "unmask_queued_requests",
                           "unmask_queued_work_units",
                           "unmask_running_requests",
                           "unmask_denoising_steps_total",
                           "unmask_step_duration_seconds",
                           "unmask_step_windows",
                           "unmask_committed_tokens_total",
                           "unmask_tokens_per_step",
                           "unmask_canvas_tokens",
                           "unmask_canvas_tokens_capacity",
                           "unmask_replica_state",
                           "unmask_replica_restarts_total",
                           "unmask_sequence_replays_total",
                           "unmask_batch_jobs",
                           "unmask_batch_items_running",
                           "unmask_batch_items_total",
                           "unmask_batch_store_failing",
                           "unmask_expected_replicas",
                           "unmask_build_info",
                           "process_cpu_seconds_total",
                           "process_start_time_seconds",
                           "process_resident_memory_bytes",
                           "process_virtual_memory_bytes",
                           "process_open_fds",
                           "process_max_fds"}) {
    EXPECT_TRUE(families.count(name)) << name;
  }
  EXPECT_THAT(Unknown(SourceFile("docs/operating.md"), Page()), IsEmpty());
  for (const std::string& name : families) EXPECT_THAT(SourceFile("docs/operating.md"), HasSubstr("`" + name));
}

TEST(MetricsTest, TheFiguresAreThoseOfWhatHappened) {
  EXPECT_THAT(Page(), HasSubstr("unmask_replica_restarts_total{reason=\"ended\"} 1\n"));
  EXPECT_THAT(Page(), HasSubstr("unmask_sequence_replays_total{reason=\"ended\"} 1\n"));
  EXPECT_THAT(Page(), HasSubstr("unmask_sequence_replays_total{reason=\"silent\"} 0\n"));
  // 16 of the request, 8, 16 and 8 of the job's three lines that can be.
  EXPECT_THAT(Page(), HasSubstr("unmask_committed_tokens_total 48\n"));
  EXPECT_THAT(Page(), HasSubstr("unmask_tokens_per_step_sum{strategy=\"low_confidence\"} 48\n"));
  EXPECT_THAT(Page(), HasSubstr("unmask_batch_jobs{state=\"succeeded\"} 1\n"));
  EXPECT_THAT(Page(), HasSubstr("unmask_batch_jobs{state=\"running\"} 0\n"));
  EXPECT_THAT(Page(), HasSubstr("unmask_batch_items_total{outcome=\"succeeded\"} 3\n"));
  EXPECT_THAT(Page(), HasSubstr("unmask_batch_items_total{outcome=\"failed\"} 1\n"));
  EXPECT_THAT(Page(), HasSubstr("unmask_batch_items_running 0\n"));
  EXPECT_THAT(Page(), HasSubstr("unmask_batch_store_failing 0\n"));
  EXPECT_THAT(Page(), HasSubstr("unmask_time_to_first_block_seconds_count{method=\"Generate\"} 1\n"));
  EXPECT_THAT(Page(), Not(HasSubstr("process_resident_memory_bytes 0\n")));
  EXPECT_THAT(Page(), Not(HasSubstr("unmask_step_duration_seconds_count 0\n")));
}

TEST(MetricsTest, TheDashboardAsksOnlyForWhatIsThere) {
  const nlohmann::json dashboard = nlohmann::json::parse(SourceFile("helm/unmask/files/dashboard.json"));
  std::string asked;
  int graphs = 0;
  for (const auto& panel : dashboard.at("panels")) {
    for (const auto& target : panel.value("targets", nlohmann::json::array())) {
      asked += target.at("expr").get<std::string>() + "\n";
      ++graphs;
    }
  }
  EXPECT_GT(graphs, 20);
  EXPECT_THAT(Unknown(asked, Page()), IsEmpty());
  EXPECT_THAT(Unknown(asked + "rate(unmask_steps_per_token_bucket[1m])", Page()),
              ::testing::ElementsAre("unmask_steps_per_token_bucket"));
}

TEST(MetricsTest, TheRulesAskOnlyForWhatIsThereAndFireWhenTheyShould) {
  EXPECT_THAT(Unknown(SourceFile(kRules), Page()), IsEmpty());
  EXPECT_THAT(Promtool("check rules " + testing::SourcePath(kRules)), HasSubstr("SUCCESS"));
  EXPECT_THAT(Promtool("test rules " + testing::SourcePath("tests/operating/rules_test.yaml")), HasSubstr("SUCCESS"));
}

}  // namespace
}  // namespace unmask
