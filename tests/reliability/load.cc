#include "tests/reliability/load.h"

#include <gtest/gtest.h>
#include <httplib.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <set>
#include <sstream>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tests/support/golden.h"

namespace unmask::testing {
namespace {

google::rpc::Status Details(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  return details;
}

}  // namespace

bool LongForm() {
  const char* value = std::getenv("UNMASK_LONG");
  return value != nullptr && std::string(value) == "1";
}

int ByForm(int in_short, int in_long) { return LongForm() ? in_long : in_short; }

uint32_t Seed() {
  static const uint32_t seed = [] {
    const char* value = std::getenv("UNMASK_SEED");
    const uint32_t chosen = value != nullptr ? std::strtoul(value, nullptr, 10) : 20;
    printf("UNMASK_SEED=%u\n", chosen);
    return chosen;
  }();
  return seed;
}

std::vector<std::string> TinyTpFlags(int replicas, int ranks) {
  return {"--model",           SourcePath("tests/goldens/models/tiny-tp"),
          "--tensor-parallel", std::to_string(ranks),
          "--replicas",        std::to_string(replicas),
          "--threads",         "1",
          "--dtype",           "fp32"};
}

v1::GenerateRequest MixedRequest(int i) {
  v1::GenerateRequest request;
  std::minstd_rand random(i + 1);
  for (int n = 0; n < 5 + i % 11; ++n) request.mutable_token_ids()->add_ids(random() % 1000);
  v1::GenerationOptions* options = request.mutable_options();
  options->set_gen_length(32 + 16 * (i % 3));
  options->set_block_length(16);
  options->set_remasking(static_cast<v1::Remasking>(1 + i % v1::Remasking_MAX));
  options->set_cache(static_cast<v1::Cache>(1 + i / v1::Remasking_MAX % v1::Cache_MAX));
  options->set_temperature(i % 2 ? 0.7f : 0);
  options->set_cfg_scale(i % 5 == 0 ? 0.5f : 0);
  options->set_seed(1000 + i);
  request.mutable_output()->set_canvas(true);
  request.mutable_output()->set_confidences(true);
  return request;
}

Answer Generate(Service& service, const v1::GenerateRequest& request, std::chrono::milliseconds time) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + time);
  Answer answer;
  answer.status = service.inference().Generate(&context, request, &answer.response);
  return answer;
}

std::string Reason(const grpc::Status& status) {
  const google::rpc::Status details = Details(status);
  for (const google::protobuf::Any& detail : details.details()) {
    google::rpc::ErrorInfo info;
    if (detail.UnpackTo(&info)) return info.reason();
  }
  return "";
}

bool HasRetryInfo(const grpc::Status& status) {
  const google::rpc::Status details = Details(status);
  return std::any_of(details.details().begin(), details.details().end(),
                     [](const auto& detail) { return detail.template Is<google::rpc::RetryInfo>(); });
}

Load::Load(Service* service, int distinct, int stride) : service_(*service), stride_(stride) {
  for (int i = 0; i < distinct; ++i) {
    const Answer answer = Generate(service_, MixedRequest(i * stride_));
    EXPECT_TRUE(answer.status.ok()) << "undisturbed request " << i << ": " << answer.status.error_message();
    EXPECT_EQ(answer.response.replays(), 0);
    undisturbed_.push_back(Identity(answer.response));
  }
}

Load::~Load() { Stop(); }

void Load::Start(int clients) {
  stopping_ = false;
  for (int client = 0; client < clients; ++client) clients_.emplace_back([this, client] { Ask(client); });
}

Load::Report Load::Stop() {
  stopping_ = true;
  for (std::thread& client : clients_) client.join();
  clients_.clear();
  MutexLock lock(&mutex_);
  return {answered_, replays_, lost_, convicted_, wrong_};
}

void Load::Ask(int client) {
  std::minstd_rand random(Seed() + client);
  for (int i = -1; !stopping_ || i >= 0;) {
    if (i < 0) i = random() % undisturbed_.size();
    if (client % 2 == 0) {
      const Answer answer = Generate(service_, MixedRequest(i * stride_));
      if (Lost(answer.status)) continue;
      Check(i, answer.status, answer.response);
    } else {
      const Streamed streamed = GenerateStream(service_, MixedRequest(i * stride_));
      if (Lost(streamed.status)) continue;
      Check(i, streamed.status, streamed.completed);
      const std::string why = streamed.status.ok() ? CheckHistory(streamed) : "";
      MutexLock lock(&mutex_);
      if (!why.empty()) wrong_.push_back("request " + std::to_string(i) + "'s stream: " + why);
    }
    i = -1;
  }
}

// Whether the call is to be asked again.
bool Load::Lost(const grpc::Status& status) {
  if (!ask_again_ || status.error_code() != grpc::StatusCode::UNAVAILABLE) return false;
  ++lost_;
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  return true;
}

void Load::Check(int i, const grpc::Status& status, const v1::GenerateResponse& response) {
  ++answered_;
  replays_ += response.replays();
  if (status.ok() && Identity(response) == undisturbed_[i]) return;
  if (may_convict_ && Reason(status) == "POISON_REQUEST") {
    ++convicted_;
    return;
  }
  MutexLock lock(&mutex_);
  wrong_.push_back("request " + std::to_string(i) + ": " +
                   (status.ok() ? "a different answer after " + std::to_string(response.replays()) + " replays"
                                : std::to_string(status.error_code()) + " " + status.error_message()));
}

std::string CheckHistory(const Streamed& streamed) {
  if (streamed.events.empty() || !streamed.events.front().has_accepted()) return "it does not begin with `accepted`";
  if (!streamed.events.back().has_completed()) return "it does not end with `completed`";
  const v1::Accepted& accepted = streamed.events.front().accepted();
  std::vector<int32_t> canvas(accepted.canvas().begin(), accepted.canvas().end());
  std::set<int32_t> committed;
  int block = 0;
  int steps = 0;  // Of the block, so far.
  int told = 0;   // Blocks.
  for (const v1::GenerateStreamResponse& event : streamed.events) {
    if (event.has_block() && event.block().block() != told++) return "blocks are told out of order";
    if (!event.has_step()) continue;
    const v1::StepEvent& step = event.step();
    if (step.block() < block) return "a step of an earlier block";
    if (step.block() > block) steps = 0;
    block = step.block();
    steps += step.merged();
    if (step.step() + 1 != steps) return "step " + std::to_string(step.step()) + " is told twice, late or not at all";
    for (const v1::Commit& commit : step.commits()) {
      if (commit.position() < accepted.prompt_length() || commit.position() >= static_cast<int>(canvas.size())) {
        return "a commit outside of the answer";
      }
      if (commit.kind() == v1::COMMIT_KIND_UNMASKED && !committed.insert(commit.position()).second) {
        return "position " + std::to_string(commit.position()) + " is committed twice";
      }
      if (commit.kind() == v1::COMMIT_KIND_REMASKED) committed.erase(commit.position());
      canvas[commit.position()] = commit.token_id();
    }
  }
  // What follows the end of the text is not computed once the text is decided.
  const int decided = accepted.prompt_length() + streamed.completed.usage().completion_tokens();
  const auto& final = streamed.completed.canvas();
  if (decided > final.size() || !std::equal(canvas.begin(), canvas.begin() + decided, final.begin())) {
    return "the commits do not give the canvas";
  }
  return "";
}

double Metric(Service& service, const std::string& name) {
  httplib::Client client("http://" + service.admin());
  const auto page = client.Get("/metrics");
  EXPECT_TRUE(page && page->status == 200);
  if (!page) return -1;
  std::istringstream lines(page->body);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(name + " ", 0) == 0) return std::strtod(line.c_str() + name.size(), nullptr);
  }
  return -1;
}

}  // namespace unmask::testing
