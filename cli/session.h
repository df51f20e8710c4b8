// What every client command begins with: a service to talk to, and Ctrl-C.
#ifndef UNMASK_CLI_SESSION_H_
#define UNMASK_CLI_SESSION_H_

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cli/client.h"
#include "cli/embedded_service.h"
#include "cli/interrupt.h"

namespace unmask {

struct ConnectionFlags {
  std::string server;      // host:port; empty: an embedded service.
  TlsFiles tls;            // Without a CA: plaintext.
  std::string token_file;  // Empty: no token.
  std::string model_name;  // Of a service with several models.
  EmbeddedServiceOptions embedded;

  void Register(CLI::App* app);
};

class Session {
 public:
  // Connects to the server, or starts an embedded service, which ends with the session.
  static absl::StatusOr<std::unique_ptr<Session>> Open(const ConnectionFlags& flags);

  Client& client() { return *client_; }
  // Its signals cancel the client's call.
  Interrupt& interrupt() { return *interrupt_; }

  // The model that requests without more words go to.
  absl::StatusOr<v1::Model> Model();

  // The exit code of a failed command, its error told on standard error. Silent after Ctrl-C.
  int Fail(const absl::Status& status);

 private:
  Session() = default;

  std::string model_name_;
  std::unique_ptr<EmbeddedService> embedded_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Interrupt> interrupt_;  // Last: it uses the client.
};

}  // namespace unmask

#endif  // UNMASK_CLI_SESSION_H_
