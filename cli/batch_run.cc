#include "cli/batch_run.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/digest.h"
#include "base/exit_codes.h"
#include "base/status.h"
#include "cli/batch_calls.h"
#include "cli/batch_progress.h"
#include "cli/errors.h"

namespace unmask {
namespace {

namespace fs = std::filesystem;

// The same command finds its job again by this: what it computes, and where to.
absl::StatusOr<std::string> JobName(const BatchRunFlags& flags) {
  if (!flags.name.empty()) return flags.name;
  UNMASK_ASSIGN_OR_RETURN(const std::string input, DigestOf(flags.in));
  char host[256] = {};
  gethostname(host, sizeof(host) - 1);
  Digest digest;
  digest.Add(absl::StrCat(input, "\n", fs::absolute(flags.out).lexically_normal().string(), "\n", host, "\n",
                          flags.generation.options.SerializeAsString()));
  return absl::StrCat("run-", digest.Finish().substr(0, 24));
}

// The job, new or found again. Another one in a store of our own was begun by another command.
absl::StatusOr<v1::BatchJob> FindOrSubmit(const BatchRunFlags& flags, const std::string& name, Client* client) {
  absl::StatusOr<v1::BatchJob> job = client->GetBatchJob(name);
  if (job.ok()) {
    UNMASK_ASSIGN_OR_RETURN(const std::string input, DigestOf(flags.in));
    if (input != job->input_digest()) {
      return absl::InvalidArgumentError(absl::StrCat("the job ", name, " is of another input than ", flags.in));
    }
    fprintf(stderr, "unmask: going on at %ld of %ld lines\n",
            static_cast<long>(job->counts().succeeded() + job->counts().failed()),
            static_cast<long>(job->counts().total()));
    return client->ResumeBatchJob(name);
  }
  if (!absl::IsNotFound(job.status())) return job.status();
  if (!flags.connection.embedded.store.empty()) {
    UNMASK_ASSIGN_OR_RETURN(const auto others, client->ListBatchJobs({}));
    if (others.jobs_size() > 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(flags.connection.embedded.store,
                       " is of another input or other options: go on with those, or delete that folder"));
    }
  }
  v1::BatchJob asked;
  asked.set_name(name);
  return SubmitFile(flags.in, std::move(asked), flags.generation, client);
}

absl::Status WriteOutput(const BatchRunFlags& flags, const std::string& name, Client* client) {
  UNMASK_ASSIGN_OR_RETURN(WholeFile file, FileAt(flags.out));
  UNMASK_RETURN_IF_ERROR(Annotate(file.Begin(), flags.out));
  UNMASK_RETURN_IF_ERROR(FetchResults(name, client, [&](const std::string& line) { return file.Append(line); }));
  return Annotate(file.Commit(), flags.out);
}

// *begun: there is a job.
absl::Status Run(const BatchRunFlags& flags, const std::string& name, Session* session, bool* begun) {
  Client& client = session->client();
  UNMASK_ASSIGN_OR_RETURN(v1::BatchJob job, FindOrSubmit(flags, name, &client));
  *begun = true;
  const absl::StatusOr<v1::BatchJob> ended = WatchToItsEnd(name, session);
  if (session->interrupt().fired()) {
    client.Rearm();
    // Where it fails, our own service is ending by itself; its store is as good.
    const absl::StatusOr<v1::BatchJob> paused = client.PauseBatchJob(name);
    if (paused.ok()) job = *paused;
    fprintf(stderr, "\nunmask: %s; the same command goes on\n",
            paused.ok() ? BatchProgressLine(job, 0, 120).c_str() : "stopped");
    return absl::CancelledError();
  }
  UNMASK_RETURN_IF_ERROR(ended.status());
  if (ended->state() == v1::BATCH_JOB_STATE_CANCELLED) {
    return absl::CancelledError(absl::StrCat("the job ", name, " was cancelled: delete it to begin anew"));
  }
  UNMASK_RETURN_IF_ERROR(WriteOutput(flags, name, &client));
  fprintf(stderr, "unmask: %s\n", Summary(*ended).c_str());
  return client.DeleteBatchJob(name);
}

}  // namespace

int RunBatch(BatchRunFlags flags) {
  std::error_code error;
  if (fs::exists(flags.out, error)) {
    if (flags.skip_existing) {
      fprintf(stderr, "unmask: %s is there already\n", flags.out.c_str());
      return kExitOk;
    }
    return ReportError(absl::InvalidArgumentError(absl::StrCat(flags.out, " exists")));
  }
  const absl::StatusOr<std::string> name = JobName(flags);
  if (!name.ok()) return ReportError(name.status());
  const absl::Status place = FileAt(flags.out).status();
  if (!place.ok()) return ReportError(place);
  const bool own = flags.connection.server.empty();
  const std::string store = flags.out + ".job";
  const bool is_new = own && !fs::exists(store, error);
  if (own) flags.connection.embedded.store = store;
  auto session = Session::Open(flags.connection);
  if (!session.ok()) return ReportError(session.status());
  bool begun = false;
  const absl::Status status = Run(flags, *name, session->get(), &begun);
  const int exit_code = status.ok() ? kExitOk : (*session)->Fail(status);
  session->reset();
  if (status.ok() ? own : is_new && !begun) fs::remove_all(store, error);
  return exit_code;
}

}  // namespace unmask
