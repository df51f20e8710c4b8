#include <memory>
#include <string>

#include "base/exit_codes.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/serve_options.h"
#include "cli/service.h"
#include "cli/supervision.h"

namespace unmask {
namespace {

constexpr char kDescription[] = "Run the service on this host: a coordinator and its replicas";
constexpr char kFooter[] =
    "Coordinator and replicas are child processes, restarted when they fail. SIGTERM or SIGINT finishes what runs and\n"
    "ends; a second SIGINT ends at once. Exit codes: 0 done; 64 usage; 65 a corrupt checkpoint; 70 requests were cut "
    "off;\n"
    "78 a configuration that cannot work.";

int Serve(const ServeOptions& options) {
  SetLogComponent("serve");
  SetLogFormat(ParseLogFormat(options.log_format));
  const absl::StatusOr<ServePlan> plan = PlanServe(options);
  if (!plan.ok()) {
    LogError(plan.status().message());
    return ConfigExitCode(plan.status());
  }
  if (options.check_config) {
    printf("%s", PlanJson(*plan).c_str());
    return kExitOk;
  }
  return RunSupervised(
      [&](EventLoop* loop, const RuntimeDirectory* runtime) { return Service(*plan, loop, runtime).Run(); });
}

}  // namespace

void AddServe(CLI::App* app, int* exit_code) {
  CLI::App* command = app->add_subcommand("serve", kDescription);
  command->footer(kFooter);
  const auto options = std::make_shared<ServeOptions>();
  const auto add = [command](const char* group, const char* name, auto* value, const char* help) {
    return command->add_option(name, *value, help)->group(group)->capture_default_str();
  };
  add("Model", "--model", &options->model, "checkpoint folder in Hugging Face's LLaDA layout; the embedded model")
      ->type_name("DIR");
  add("Model", "--model-name", &options->model_name, "name that requests use; the folder's")->type_name("NAME");
  add("Model", "--dtype", &options->dtype,
      "to compute in; auto: bf16 where stored so and native, else fp32; int8: quick, approximate")
      ->check(CLI::IsMember({"auto", "fp32", "bf16", "int8"}));
  add("Model", "--weights-digest", &options->weights_digest,
      "refuse weights that are others: the digest in \"numerics\" after \"weights:\", of as many ranks")
      ->type_name("HEX");
  command->add_option("--eot-token-id", options->eot_token_id, "end-of-turn token, for checkpoints without a tokenizer")
      ->group("Model")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N");

  add("Replicas", "--replicas", &options->replicas, "copies of the model here; 0: all replicas dial in from elsewhere")
      ->check(CLI::Range(0, 1024))
      ->type_name("N");
  add("Replicas", "--tensor-parallel", &options->tensor_parallel, "ranks of a replica; each holds a slice of the model")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
  add("Replicas", "--threads", &options->threads, "of each rank; 0: the allowed cores, shared among the ranks")
      ->check(CLI::Range(0, 4096))
      ->type_name("N");
  add("Replicas", "--device", &options->device, "to compute on")->check(CLI::IsMember({"cpu", "cuda"}));
  add("Replicas", "--kv-memory", &options->kv_memory, "memory for K/V of each rank; as much as the device affords")
      ->type_name("BYTES");

  add("Ports", "--listen", &options->listen, "gRPC for clients; port 0 takes a free one")->type_name("HOST:PORT");
  add("Ports", "--fleet-listen", &options->fleet_listen, "gRPC for replicas")->type_name("HOST:PORT");
  add("Ports", "--admin-listen", &options->admin_listen, "HTTP: /livez /readyz /metrics")->type_name("HOST:PORT");

  add("Ports", "--http-listen", &options->http_listen, "HTTP for clients: OpenAI's API, and a page at /; else none")
      ->type_name("HOST:PORT");

  add("TLS for clients", "--tls-cert", &options->tls.cert, "PEM certificate of the port, with its chain")
      ->type_name("FILE");
  add("TLS for clients", "--tls-key", &options->tls.key, "its PEM private key")->type_name("FILE");
  add("TLS for clients", "--tls-client-ca", &options->tls.ca,
      "PEM certificates that clients' must lead to; else they need none")
      ->type_name("FILE");
  add("TLS for clients", "--tls-ca", &options->tls_ca, "PEM certificates by which serve itself trusts the port")
      ->type_name("FILE");
  add("TLS for replicas", "--fleet-tls-cert", &options->fleet_tls.cert,
      "PEM certificate of the port, with its chain; the replicas show it too")
      ->type_name("FILE");
  add("TLS for replicas", "--fleet-tls-key", &options->fleet_tls.key, "its PEM private key")->type_name("FILE");
  add("TLS for replicas", "--fleet-tls-client-ca", &options->fleet_tls.ca,
      "PEM certificates that replicas' must lead to; else they need none")
      ->type_name("FILE");
  add("TLS for replicas", "--fleet-tls-ca", &options->fleet_tls_ca, "PEM certificates by which replicas trust the port")
      ->type_name("FILE");
  add("Access", "--auth-tokens", &options->auth_tokens,
      "lines SCOPE[,SCOPE] SHA256-HEX: only holders of these bearer tokens may call; scopes infer, batch, admin")
      ->type_name("FILE");
  add("Access", "--token-file", &options->token_file, "a token of scope admin, for serve's own calls")
      ->type_name("FILE");
  command->add_flag("--open-reflection", options->open_reflection, "reflection also without a token")->group("Access");

  add("Running", "--store", &options->store,
      "folder of batch jobs, which outlive the service; without one there are none")
      ->type_name("DIR");
  add("Running", "--ready-file", &options->ready_file,
      "write addresses and pid here, as JSON, when a request would be served")
      ->type_name("FILE");
  add("Running", "--address-file", &options->address_file, "the same, as soon as the ports are bound")
      ->type_name("FILE");
  add("Running", "--drain-timeout", &options->drain_timeout, "seconds that SIGTERM leaves to what runs; 0: no limit")
      ->check(CLI::NonNegativeNumber)
      ->type_name("SECONDS");
  AddLogFormat(command, &options->log_format);
  command->add_flag("--check-config", options->check_config, "print what would be run, as JSON, and end")
      ->group("Running");
  command->callback([options, exit_code] { *exit_code = Serve(*options); });
}

}  // namespace unmask
