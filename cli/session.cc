#include "cli/session.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

#include "base/exit_codes.h"
#include "base/status.h"
#include "cli/errors.h"

namespace unmask {

namespace {

absl::StatusOr<Credentials> ReadCredentials(const ConnectionFlags& flags) {
  UNMASK_RETURN_IF_ERROR(CheckClientTls(flags.tls, "tls", "tls-ca"));
  UNMASK_ASSIGN_OR_RETURN(std::string token, ReadToken(flags.token_file, "token-file"));
  return Credentials{flags.tls, std::move(token)};
}

}  // namespace

void ConnectionFlags::Register(CLI::App* app) {
  app->add_option("--server", server, "A running service, host:port (else one is started for this command)")
      ->group("Service");
  app->add_option("--tls-ca", tls.ca, "PEM certificates that the server's must lead to (else plaintext)")
      ->group("Service");
  app->add_option("--tls-cert", tls.cert, "PEM certificate to show, with its chain")->group("Service");
  app->add_option("--tls-key", tls.key, "PEM private key of that certificate")->group("Service");
  app->add_option("--token-file", token_file, "File of the bearer token to show")->group("Service");
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
  Credentials credentials;
  if (!address.empty()) {
    absl::StatusOr<Credentials> checked = ReadCredentials(flags);
    if (!checked.ok()) return WithExitCode(checked.status(), kExitConfig);
    credentials = *std::move(checked);
  } else {
    UNMASK_ASSIGN_OR_RETURN(session->embedded_, EmbeddedService::Start(flags.embedded));
    address = session->embedded_->address();
  }
  session->client_ = Client::Create(address, credentials);
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
