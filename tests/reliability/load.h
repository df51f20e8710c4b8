// Load on a service of real processes, and what its answers must be: those of an undisturbed run.
//
// Every test of this folder has a short form, for `make test`, and a long one, for `make nemesis` and `make soak`:
// UNMASK_LONG=1. All randomness follows from UNMASK_SEED, which is printed.
#ifndef UNMASK_TESTS_RELIABILITY_LOAD_H_
#define UNMASK_TESTS_RELIABILITY_LOAD_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "tests/support/service.h"

namespace unmask::testing {

bool LongForm();
int ByForm(int in_short, int in_long);
uint32_t Seed();

std::vector<std::string> TinyTpFlags(int replicas, int ranks);

// Request i of an endless list: 27 in a row cover every strategy with every K/V policy; lengths and temperatures vary,
// and each has a seed of its own.
inline constexpr int kKinds = 27;
v1::GenerateRequest MixedRequest(int i);

struct Answer {
  grpc::Status status;
  v1::GenerateResponse response;
};
Answer Generate(Service& service, const v1::GenerateRequest& request,
                std::chrono::milliseconds time = std::chrono::seconds(120));

// ErrorInfo.reason of a status' details; "" if it has none.
std::string Reason(const grpc::Status& status);
// Whether its details say when to try again.
bool HasRetryInfo(const grpc::Status& status);

// Clients that ask for one request of the list after another, and compare each answer with the undisturbed one. Each
// second client streams, and also checks what the events say.
class Load {
 public:
  struct Report {
    int answered = 0;
    int replays = 0;
    int lost = 0;                    // Calls whose connection was lost, and that were asked again.
    int convicted = 0;               // Requests that failed as poison, where that may be.
    std::vector<std::string> wrong;  // What failed, differed or told its story in another order.
  };

  // Computes the undisturbed answers first: `service` must be at peace. `distinct` requests of the list are used, each
  // `stride`-th.
  Load(Service* service, int distinct, int stride = 1);
  ~Load();

  void Start(int clients);
  // Clients whose connection is lost (UNAVAILABLE) ask again; else that is wrong too.
  void AskAgain() { ask_again_ = true; }
  // Where kills are many, three in a row may hit the same request while it is alone in its step: it looks like poison,
  // and may fail as such. Else that is wrong too.
  void MayConvict() { may_convict_ = true; }
  Report Stop();  // Lets the clients finish what they have asked for.
  int answered() const { return answered_; }
  int replays() const { return replays_; }
  int lost() const { return lost_; }

 private:
  void Ask(int client);
  bool Lost(const grpc::Status& status);
  void Check(int i, const grpc::Status& status, const v1::GenerateResponse& response);

  Service& service_;
  const int stride_;
  std::vector<std::string> undisturbed_;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> ask_again_ = false;
  std::atomic<bool> may_convict_ = false;
  std::atomic<int> convicted_ = 0;
  std::atomic<int> lost_ = 0;
  std::atomic<int> answered_ = 0;
  std::atomic<int> replays_ = 0;
  std::vector<std::thread> clients_;
  Mutex mutex_;
  std::vector<std::string> wrong_ ABSL_GUARDED_BY(mutex_);
};

// What is wrong with the history of a completed stream: "" if its commits, applied in order to a canvas of masks, give
// the completed text, each position of a strategy that never masks again is committed once, steps ascend within a
// block and blocks ascend, and everything ends with `completed`.
std::string CheckHistory(const Streamed& streamed);

// The value of a metric without labels on the admin port's /metrics; -1 where there is none.
double Metric(Service& service, const std::string& name);

// Polls `done` until it holds, at most `limit`.
template <typename Condition>
bool Eventually(std::chrono::milliseconds limit, Condition done) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_RELIABILITY_LOAD_H_
