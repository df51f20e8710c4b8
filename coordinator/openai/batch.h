// OpenAI's /v1/batches and /v1/files: what clients ask, and the objects that they get. Beside OpenAI's own fields a
// batch has "diffusion": the job (unmask.v1.BatchJob) that it is.
#ifndef UNMASK_COORDINATOR_OPENAI_BATCH_H_
#define UNMASK_COORDINATOR_OPENAI_BATCH_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "unmask/v1/batch_service.pb.h"

namespace unmask::openai {

struct BatchRequest {
  std::string input_file;
  std::string endpoint;           // A completion's path.
  std::string metadata = "null";  // The client's own: as it came, or null.
  v1::BatchJob job;               // What "diffusion" says of it: seed and default_options.
};

// INVALID_ARGUMENT as of coordinator/json_message.h; its field is a path in the body.
absl::StatusOr<BatchRequest> ParseBatch(absl::string_view body);

struct FileNames {
  std::string id;
  std::string name;
  bool results = false;  // Of a batch; else an input.
};

nlohmann::ordered_json FileJson(const FileNames& file, int64_t bytes, int64_t created);

// What a batch has beside its job.
struct BatchNames {
  std::string input_file;
  std::string endpoint;
  std::string metadata;
  std::string output_file;  // "": there is none.
  std::string error_file;
};

nlohmann::ordered_json BatchJson(const v1::BatchJob& job, const BatchNames& names);

// Which part of a list a client wants.
struct Page {
  int64_t limit = 0;
  std::string after;       // The id before the first; "": from the beginning.
  bool ascending = false;  // The oldest first.
};

// From the query's parameters, as they came. INVALID_ARGUMENT blames the parameter. most: the limit's bound.
absl::StatusOr<Page> ParsePage(const std::vector<std::pair<std::string, std::string>>& query, int64_t limit,
                               int64_t most);

// all: the oldest first, each object with its "id". INVALID_ARGUMENT: none has that of page.after.
absl::StatusOr<nlohmann::ordered_json> ListJson(std::vector<nlohmann::ordered_json> all, const Page& page);

}  // namespace unmask::openai

#endif  // UNMASK_COORDINATOR_OPENAI_BATCH_H_
