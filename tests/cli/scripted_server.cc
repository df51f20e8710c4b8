#include "tests/cli/scripted_server.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "cli/client.h"
#include "unmask/v1/fleet.grpc.pb.h"
#include "unmask/v1/inference.grpc.pb.h"
#include "unmask/v1/model.grpc.pb.h"

namespace unmask {
namespace {

grpc::Status ToGrpc(const absl::Status& status) {
  const absl::optional<absl::Cord> details = status.GetPayload(kStatusDetailsPayload);
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      details ? std::string(*details) : "");
}

}  // namespace

struct ScriptedServer::Impl final : v1::InferenceService::Service,
                                    v1::ModelService::Service,
                                    v1::FleetService::Service {
  using Writer = grpc::ServerWriter<v1::GenerateStreamResponse>;

  grpc::Status Generate(grpc::ServerContext* context, const v1::GenerateRequest* request,
                        v1::GenerateResponse* response) override {
    const Script script = Begin(*context, [&](Asked& asked) { asked.generate = *request; });
    return End(script, context, response);
  }
  grpc::Status GenerateStream(grpc::ServerContext* context, const v1::GenerateRequest* request,
                              Writer* writer) override {
    const Script script = Begin(*context, [&](Asked& asked) { asked.generate = *request; });
    return Stream(script, context, writer);
  }
  grpc::Status Infill(grpc::ServerContext* context, const v1::InfillRequest* request,
                      v1::GenerateResponse* response) override {
    const Script script = Begin(*context, [&](Asked& asked) { asked.infill = *request; });
    return End(script, context, response);
  }
  grpc::Status InfillStream(grpc::ServerContext* context, const v1::InfillRequest* request, Writer* writer) override {
    const Script script = Begin(*context, [&](Asked& asked) { asked.infill = *request; });
    return Stream(script, context, writer);
  }
  grpc::Status Score(grpc::ServerContext* context, const v1::ScoreRequest* request,
                     v1::ScoreResponse* response) override {
    const Script script = Begin(*context, [&](Asked& asked) { asked.score = *request; });
    *response = script.scored;
    return End(script, context, nullptr);
  }
  grpc::Status Tokenize(grpc::ServerContext*, const v1::TokenizeRequest* request,
                        v1::TokenizeResponse* response) override {
    MutexLock lock(&mutex);
    asked.tokenize = *request;
    *response = script.tokenized;
    return grpc::Status::OK;
  }
  grpc::Status Detokenize(grpc::ServerContext*, const v1::DetokenizeRequest* request,
                          v1::DetokenizeResponse* response) override {
    MutexLock lock(&mutex);
    asked.detokenize = *request;
    *response = script.detokenized;
    return grpc::Status::OK;
  }
  grpc::Status GetModel(grpc::ServerContext*, const v1::GetModelRequest*, v1::GetModelResponse* response) override {
    MutexLock lock(&mutex);
    *response->mutable_model() = script.model;
    return grpc::Status::OK;
  }
  grpc::Status GetFleet(grpc::ServerContext*, const v1::GetFleetRequest*, v1::GetFleetResponse* response) override {
    MutexLock lock(&mutex);
    *response = script.fleet;
    return grpc::Status::OK;
  }

  template <typename Note>
  Script Begin(const grpc::ServerContext& context, const Note& note) {
    MutexLock lock(&mutex);
    note(asked);
    const auto trace = context.client_metadata().find("traceparent");
    asked.traceparent =
        trace == context.client_metadata().end() ? "" : std::string(trace->second.data(), trace->second.size());
    ++asked.generations;
    return script;
  }

  grpc::Status Stream(const Script& script, grpc::ServerContext* context, Writer* writer) {
    for (const v1::GenerateStreamResponse& event : script.events) {
      if (event.has_completed() && !script.status.ok()) break;
      if (event.has_completed() && script.hang) break;
      if (!writer->Write(event)) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(script.step_ms));
    }
    return End(script, context, nullptr);
  }

  grpc::Status End(const Script& script, grpc::ServerContext* context, v1::GenerateResponse* response) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (script.hang && !context->IsCancelled() && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    if (context->IsCancelled()) {
      MutexLock lock(&mutex);
      ++asked.cancelled;
    }
    if (response != nullptr && !script.events.empty()) *response = script.events.back().completed();
    return ToGrpc(script.status);
  }

  Mutex mutex;
  Script script ABSL_GUARDED_BY(mutex);
  Asked asked ABSL_GUARDED_BY(mutex);
  int port = 0;
  std::unique_ptr<grpc::Server> server;
};

ScriptedServer::ScriptedServer() : impl_(std::make_unique<Impl>()) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &impl_->port);
  builder.RegisterService(static_cast<v1::InferenceService::Service*>(impl_.get()));
  builder.RegisterService(static_cast<v1::ModelService::Service*>(impl_.get()));
  builder.RegisterService(static_cast<v1::FleetService::Service*>(impl_.get()));
  impl_->server = builder.BuildAndStart();
}

ScriptedServer::~ScriptedServer() {
  impl_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
}

std::string ScriptedServer::address() const { return absl::StrCat("127.0.0.1:", impl_->port); }

void ScriptedServer::Set(const Script& script) {
  MutexLock lock(&impl_->mutex);
  impl_->script = script;
}

Asked ScriptedServer::asked() const {
  MutexLock lock(&impl_->mutex);
  return impl_->asked;
}

}  // namespace unmask
