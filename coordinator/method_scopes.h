// Which scope a bearer token needs for each public method. Deny by default: a method that the table does not name needs
// a scope that no token can have, and a test compares the table with the services' descriptors.
#ifndef UNMASK_COORDINATOR_METHOD_SCOPES_H_
#define UNMASK_COORDINATOR_METHOD_SCOPES_H_

#include <optional>

#include "absl/strings/string_view.h"

namespace unmask {

// kOpen: anybody may call. A token has any set of the others; none includes another.
enum class Scope { kOpen, kInfer, kBatch, kAdmin };

struct MethodScope {
  absl::string_view method;  // Its bare name: unique over the public services.
  Scope scope;
};

inline constexpr MethodScope kMethodScopes[] = {
    {"Generate", Scope::kInfer},
    {"GenerateStream", Scope::kInfer},
    {"Infill", Scope::kInfer},
    {"InfillStream", Scope::kInfer},
    {"Score", Scope::kInfer},
    {"Tokenize", Scope::kInfer},
    {"Detokenize", Scope::kInfer},
    {"GetModel", Scope::kInfer},
    {"ListModels", Scope::kInfer},
    {"UploadBatchInput", Scope::kBatch},
    {"CreateBatchJob", Scope::kBatch},
    {"GetBatchJob", Scope::kBatch},
    {"ListBatchJobs", Scope::kBatch},
    {"WatchBatchJob", Scope::kBatch},
    {"PauseBatchJob", Scope::kBatch},
    {"ResumeBatchJob", Scope::kBatch},
    {"CancelBatchJob", Scope::kBatch},
    {"DeleteBatchJob", Scope::kBatch},
    {"ListBatchJobResults", Scope::kBatch},
    {"GetFleet", Scope::kAdmin},  // Hosts and process ids.
};

// What the HTTP port has beside the services' methods.
inline constexpr MethodScope kHttpScopes[] = {
    {"UploadFile", Scope::kBatch}, {"GetFile", Scope::kBatch},    {"GetFileContent", Scope::kBatch},
    {"ListFiles", Scope::kBatch},  {"DeleteFile", Scope::kBatch},
};

constexpr std::optional<Scope> ScopeOf(absl::string_view method) {
  for (const MethodScope& entry : kMethodScopes) {
    if (entry.method == method) return entry.scope;
  }
  for (const MethodScope& entry : kHttpScopes) {
    if (entry.method == method) return entry.scope;
  }
  return std::nullopt;
}

constexpr absl::string_view ScopeName(Scope scope) {
  switch (scope) {
    case Scope::kOpen:
      return "open";
    case Scope::kInfer:
      return "infer";
    case Scope::kBatch:
      return "batch";
    case Scope::kAdmin:
      return "admin";
  }
  return "";
}

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_METHOD_SCOPES_H_
