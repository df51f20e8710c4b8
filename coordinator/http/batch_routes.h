// OpenAI's /v1/files and /v1/batches, for the same jobs as BatchService has.
#ifndef UNMASK_COORDINATOR_HTTP_BATCH_ROUTES_H_
#define UNMASK_COORDINATOR_HTTP_BATCH_ROUTES_H_

#include <optional>
#include <string>

#include "coordinator/batch/runner.h"
#include "coordinator/http/listener.h"
#include "coordinator/service_context.h"

namespace unmask {

// runner: null where there is no store; then each of them says so.
void AddBatchRoutes(const ServiceContext& context, BatchRunner* runner, Listener* listener);

// The path without the ids in it: "/v1/files/{file}". Nothing for others.
std::optional<std::string> BatchPathLabel(const std::string& path);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_HTTP_BATCH_ROUTES_H_
