#include "cli/session.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

#include "base/status.h"
#include "cli/errors.h"

namespace unmask {

void ConnectionFlags::Register(CLI::App* app) {
  app->add_option("--server", server, "A running service, host:port (else one is started for this command)")
      ->group("Service");
  app->add_option("--model-name", model_name, "Which model of the service (its only one)")->group("Service");
  app->add_option("--model", embedded.model, "Without a server: checkpoint folder (the embedded model)")
      ->group("Service");
  app->add_option("--tensor-parallel", embedded.tensor_parallel, "Without a server: ranks")->group("Service");
  app->add_option("--dtype", embedded.dtype, "Without a server: auto, fp32, bf16 or int8")->group("Service");
  app->add_option("--threads", embedded.threads, "Without a server: threads of each rank")->group("Service");
}

absl::StatusOr<std::unique_ptr<Session>> Session::Open(const ConnectionFlags& flags) {
  std::unique_ptr<Session> session(new Session);
  session->model_name_ = flags.model_name;
  std::string address = flags.server;
  if (address.empty()) {
    UNMASK_ASSIGN_OR_RETURN(session->embedded_, EmbeddedService::Start(flags.embedded));
    address = session->embedded_->address();
  }
  session->client_ = Client::Create(address);
  session->interrupt_ = std::make_unique<Interrupt>([client = session->client_.get()] { client->Cancel(); });
  return session;
}

absl::StatusOr<v1::Model> Session::Model() {
  v1::GetModelRequest request;
  request.set_model(model_name_);
  UNMASK_ASSIGN_OR_RETURN(v1::GetModelResponse response, client_->GetModel(request));
  return std::move(*response.mutable_model());
}

int Session::Fail(const absl::Status& status) {
  if (!interrupt_->fired()) return ReportError(status);
  if (isatty(STDERR_FILENO)) std::fputc('\n', stderr);  // Behind the ^C that the terminal shows.
  return interrupt_->exit_code();
}

}  // namespace unmask
