#include "cli/batch_calls.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/digest.h"
#include "base/status.h"
#include "cli/batch_progress.h"

namespace unmask {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr size_t kPiece = 1 << 18;
constexpr std::chrono::seconds kPatience(60);  // With a service that is away.
constexpr std::chrono::milliseconds kRedial(300);

absl::StatusOr<std::ifstream> OpenInput(const std::string& path) {
  std::error_code error;
  std::ifstream file(path, std::ios::binary);
  if (!file || fs::is_directory(path, error)) return absl::NotFoundError(absl::StrCat(path, " cannot be read"));
  return file;
}

// Empty at the end.
absl::StatusOr<std::string> ReadPiece(std::ifstream* file, const std::string& path) {
  std::string piece(kPiece, '\0');
  file->read(piece.data(), static_cast<std::streamsize>(piece.size()));
  if (file->bad()) return absl::InternalError(absl::StrCat(path, " cannot be read"));
  piece.resize(static_cast<size_t>(file->gcount()));
  return piece;
}

}  // namespace

absl::StatusOr<std::string> DigestOf(const std::string& path) {
  UNMASK_ASSIGN_OR_RETURN(std::ifstream file, OpenInput(path));
  Digest digest;
  while (true) {
    UNMASK_ASSIGN_OR_RETURN(const std::string piece, ReadPiece(&file, path));
    if (piece.empty()) return digest.Finish();
    digest.Add(piece);
  }
}

absl::StatusOr<v1::BatchJob> SubmitFile(const std::string& path, v1::BatchJob job, const GenerationFlags& flags,
                                        Client* client) {
  UNMASK_ASSIGN_OR_RETURN(std::ifstream file, OpenInput(path));
  UNMASK_ASSIGN_OR_RETURN(const v1::UploadBatchInputResponse uploaded,
                          client->UploadBatchInput([&] { return ReadPiece(&file, path); }));
  v1::CreateBatchJobRequest request;
  *job.mutable_default_options() = flags.options;
  if (flags.options.has_seed()) job.set_seed(flags.options.seed());
  job.mutable_default_options()->clear_seed();
  *request.mutable_job() = std::move(job);
  request.set_upload(uploaded.upload());
  return client->CreateBatchJob(request);
}

absl::StatusOr<v1::BatchJob> WatchToItsEnd(const std::string& name, Session* session) {
  BatchProgress progress;
  std::optional<Clock::time_point> lost;  // Since when nothing has been heard but errors.
  v1::BatchJob latest;
  while (true) {
    const absl::Status status = session->client().WatchBatchJob(name, [&](const v1::BatchJob& job) {
      lost.reset();
      latest = job;
      progress.Show(job, Clock::now());
    });
    progress.Clear();
    if (status.ok()) return latest;
    // A coordinator that restarts goes on with the job.
    if (!lost) lost = Clock::now();
    if (!absl::IsUnavailable(status) || session->interrupt().fired() || Clock::now() - *lost > kPatience) return status;
    std::this_thread::sleep_for(kRedial);
  }
}

absl::StatusOr<WholeFile> FileAt(const std::string& path) {
  const fs::path folder = fs::path(path).parent_path();
  OwnedFd opened(open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened.ok()) return absl::InvalidArgumentError(absl::StrCat("the folder of ", path, " cannot be opened"));
  return WholeFile(std::move(opened), fs::path(path).filename());
}

absl::Status FetchResults(const std::string& name, Client* client,
                          const std::function<absl::Status(const std::string& line)>& write) {
  v1::ListBatchJobResultsRequest request;
  request.set_name(name);
  while (true) {
    UNMASK_ASSIGN_OR_RETURN(const v1::ListBatchJobResultsResponse page, client->ListBatchJobResults(request));
    for (const auto& result : page.results()) UNMASK_RETURN_IF_ERROR(write(result.line() + "\n"));
    if (!page.has_next_index()) return absl::OkStatus();
    request.set_start_index(page.next_index());
  }
}

std::string Summary(const v1::BatchJob& job) {
  return absl::StrCat(job.counts().total(), " lines: ", job.counts().succeeded(), " succeeded, ", job.counts().failed(),
                      " failed");
}

}  // namespace unmask
