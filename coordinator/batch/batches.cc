// BatchBook as OpenAI's API sees it: jobs that came through it, and their results as files.
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "coordinator/batch/book.h"
#include "coordinator/errors.h"

namespace unmask {
namespace {

constexpr int64_t kPieceLines = 1000;
constexpr size_t kPieceBytes = 1 << 20;

std::string OutputId(absl::string_view job, bool failed) {
  return absl::StrCat("file-", job, failed ? "-errors" : "-output");
}

}  // namespace

// Nothing is copied: the files are what the store has, until they are deleted.
absl::StatusOr<std::vector<KeptFile>> BatchBook::OutputsOf(int64_t key, const v1::BatchJob& job, int64_t now) {
  std::vector<KeptFile> outputs;
  for (const bool failed : {false, true}) {
    if ((failed ? job.counts().failed() : job.counts().succeeded()) == 0) continue;
    KeptFile& output = outputs.emplace_back();
    output.id = OutputId(job.name(), failed);
    output.name = absl::StrCat(job.name(), failed ? "_errors.jsonl" : "_output.jsonl");
    output.created = now;
    output.job = key;
    output.failed = failed;
    UNMASK_ASSIGN_OR_RETURN(output.bytes, store_->ResultBytes(key, failed));
  }
  return outputs;
}

BatchBook::Batch BatchBook::BatchOf(const Entry& entry) const {
  Batch batch{View(entry), *entry.origin, OutputId(entry.job.name(), false), OutputId(entry.job.name(), true)};
  for (std::string* id : {&batch.output_file, &batch.error_file}) {
    if (!kept_.Has(*id)) id->clear();
  }
  return batch;
}

absl::StatusOr<BatchBook::Batch> BatchBook::GetBatch(const std::string& name) const {
  UNMASK_ASSIGN_OR_RETURN(const int64_t key, KeyOf(name));
  const Entry& entry = entries_.at(key);
  if (entry.origin) return BatchOf(entry);
  return ServiceError(absl::StatusCode::kNotFound, kJobNotFound, "the batch job is no batch of OpenAI's API",
                      {{"job", Shown(name)}});
}

std::vector<BatchBook::Batch> BatchBook::Batches() const {
  std::vector<Batch> batches;
  for (const auto& [key, entry] : entries_) {
    if (entry.origin) batches.push_back(BatchOf(entry));
  }
  return batches;
}

absl::StatusOr<std::string> BatchBook::ResultLines(const KeptFile& file, int64_t* index) {
  UNMASK_RETURN_IF_ERROR(kept_.Get(file.id).status());  // It may have been deleted meanwhile.
  std::string lines;
  while (lines.empty()) {
    UNMASK_ASSIGN_OR_RETURN(const auto results, store_->Results(file.job, *index, kPieceLines, kPieceBytes));
    if (results.empty()) break;
    for (const v1::BatchJobResult& result : results) {
      if (result.failed() == file.failed) absl::StrAppend(&lines, result.line(), "\n");
    }
    *index = results.back().index() + 1;
  }
  return lines;
}

}  // namespace unmask
