// A service that plays what a test wrote down, on a free loopback port, in this process.
#ifndef UNMASK_TESTS_CLI_SCRIPTED_SERVER_H_
#define UNMASK_TESTS_CLI_SCRIPTED_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "unmask/v1/fleet.pb.h"
#include "unmask/v1/inference.pb.h"
#include "unmask/v1/model.pb.h"

namespace unmask {

// What the service answers. Set before the calls that it concerns.
struct Script {
  std::vector<v1::GenerateStreamResponse> events;  // The unary calls answer with the last one's `completed`.
  absl::Status status;  // What generations end with; its kStatusDetailsPayload goes into the trailers.
  bool hang = false;    // Before the end of a generation, until it is cancelled.
  int step_ms = 0;      // Between events.
  v1::Model model;
  v1::GetFleetResponse fleet;
  v1::ScoreResponse scored;
  v1::TokenizeResponse tokenized;
  v1::DetokenizeResponse detokenized;
};

// What the service was asked last.
struct Asked {
  v1::GenerateRequest generate;
  v1::InfillRequest infill;
  v1::ScoreRequest score;
  v1::TokenizeRequest tokenize;
  v1::DetokenizeRequest detokenize;
  std::string traceparent;  // Of a generation.
  int generations = 0;
  int cancelled = 0;
};

class ScriptedServer {
 public:
  ScriptedServer();
  ~ScriptedServer();

  std::string address() const;
  void Set(const Script& script);
  Asked asked() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace unmask

#endif  // UNMASK_TESTS_CLI_SCRIPTED_SERVER_H_
