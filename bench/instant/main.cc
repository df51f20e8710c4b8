// instant_replica: replicas without a model for a running coordinator, see bench/instant/replica.h. SIGTERM drains.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "bench/instant/replica.h"

int main(int argc, char** argv) {
  std::string coordinator;
  unmask::bench::InstantReplicaOptions options;
  int replicas = 1;
  int step_us = 0;
  int row_ns = 0;
  CLI::App app("Replicas without a model, for load on a coordinator.", "instant_replica");
  app.add_option("--coordinator", coordinator, "its fleet port")->required();
  app.add_option("--model", options.model, "the coordinator's --model-name")->capture_default_str();
  app.add_option("--name", options.name, "of the first; the others get a number")->capture_default_str();
  app.add_option("--replicas", replicas)->check(CLI::Range(1, 64))->capture_default_str();
  app.add_option("--step-us", step_us, "what a step takes, and")->check(CLI::NonNegativeNumber);
  app.add_option("--row-ns", row_ns, "what each of its rows takes more")->check(CLI::NonNegativeNumber);
  app.add_option("--kv-positions", options.kv_positions, "of all sequences that it takes at once")->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  sigset_t signals;
  sigemptyset(&signals);
  for (const int wanted : {SIGTERM, SIGINT}) sigaddset(&signals, wanted);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  options.step_time = std::chrono::microseconds(step_us);
  options.row_time = std::chrono::nanoseconds(row_ns);
  std::vector<std::unique_ptr<unmask::bench::InstantReplica>> fleet;
  const std::string name = options.name;
  for (int i = 0; i < replicas; ++i) {
    options.name = i == 0 ? name : name + "-" + std::to_string(i);
    fleet.push_back(std::make_unique<unmask::bench::InstantReplica>(coordinator, options));
  }
  int signal = 0;
  sigwait(&signals, &signal);
  for (const auto& replica : fleet) replica->Drain();
  for (const auto& replica : fleet) replica->Wait();
  return 0;
}
