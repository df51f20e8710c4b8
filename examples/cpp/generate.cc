// Asks an Unmask service and prints the text as its blocks are finished: generate HOST:PORT PROMPT
#include <chrono>
#include <iostream>
#include <memory>

#include <grpcpp/grpcpp.h>

#include "unmask/v1/inference.grpc.pb.h"

namespace {

// Waits while nobody is there, asks again when refused for the moment. A stream that has begun is never repeated.
constexpr char kServiceConfig[] = R"({"methodConfig": [{
  "name": [{"service": "unmask.v1.InferenceService"}],
  "waitForReady": true,
  "retryPolicy": {"maxAttempts": 5, "initialBackoff": "1s", "maxBackoff": "30s", "backoffMultiplier": 3,
                  "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]}}]})";

grpc::Status Generate(const std::string& server, const std::string& prompt) {
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(kServiceConfig);
  // An attempt to connect to a machine or pod that is gone is given up after five seconds, not twenty.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  const auto channel = grpc::CreateCustomChannel(server, grpc::InsecureChannelCredentials(), arguments);
  const auto service = unmask::v1::InferenceService::NewStub(channel);

  unmask::v1::GenerateRequest request;
  unmask::v1::ChatMessage& message = *request.mutable_chat()->add_messages();
  message.set_role("user");
  message.set_content(prompt);
  unmask::v1::GenerationOptions& options = *request.mutable_options();
  options.set_gen_length(64);
  options.set_block_length(32);
  options.set_remasking(unmask::v1::REMASKING_CONFIDENCE_THRESHOLD);
  options.set_threshold(0.9f);
  options.set_seed(7);

  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(5));
  const auto stream = service->GenerateStream(&context, request);
  unmask::v1::GenerateStreamResponse event;
  while (stream->Read(&event)) {
    if (event.has_block()) std::cout << event.block().text_delta() << std::flush;
    if (event.has_completed()) {
      const unmask::v1::GenerateResponse& done = event.completed();
      std::cout << "\n\n" << done.usage().steps() << " steps, exact: " << std::boolalpha << done.exactness().exact()
                << ", seed " << done.options().seed() << "\n";
    }
  }
  return stream->Finish();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: generate HOST:PORT PROMPT\n";
    return 64;
  }
  const grpc::Status status = Generate(argv[1], argv[2]);
  if (!status.ok()) {
    std::cerr << "status " << status.error_code() << ": " << status.error_message() << "\n";
    return 1;
  }
}
