// What the handlers of the HTTP port share: who asks, and how an answer or an error goes out.
#ifndef UNMASK_COORDINATOR_HTTP_EXCHANGE_H_
#define UNMASK_COORDINATOR_HTTP_EXCHANGE_H_

#include <httplib.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/openai/completion.h"
#include "coordinator/service_context.h"

namespace unmask {

inline constexpr char kJson[] = "application/json";

std::optional<std::string> Authorization(const httplib::Request& request);

// Texts may hold bytes that are no UTF-8, which are replaced: of a client's names, in errors.
std::string Dump(const nlohmann::ordered_json& json);

// asked: what the body was read as, if it could be.
void SetError(const absl::Status& status, const openai::Completion* asked, httplib::Response* reply);

// A method that answers at once: act() yields absl::Status, and has filled the reply where that is OK. method: as of
// method_scopes.h.
template <typename Act>
void Perform(const ServiceContext& context, const char* method, const httplib::Request& request,
             httplib::Response* reply, const Act& act) {
  const auto received = std::chrono::steady_clock::now();
  absl::Status status = context.access->Check(method, Authorization(request));
  if (status.ok()) status = act();
  if (!status.ok()) SetError(status, nullptr, reply);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - received;
  context.metrics->RequestFinished(method, status, taken.count());
}

// The same for one whose reply is an object: make() yields absl::StatusOr of it.
template <typename Make>
void Answer(const ServiceContext& context, const char* method, const httplib::Request& request,
            httplib::Response* reply, const Make& make) {
  Perform(context, method, request, reply, [&] {
    absl::StatusOr<nlohmann::ordered_json> json = make();
    if (json.ok()) reply->set_content(Dump(*json) + "\n", kJson);
    return json.status();
  });
}

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_HTTP_EXCHANGE_H_
