// unmask batch: many requests from a file.
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/exit_codes.h"
#include "base/status.h"
#include "cli/batch_calls.h"
#include "cli/batch_progress.h"
#include "cli/batch_run.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/table.h"

namespace unmask {
namespace {

struct JobFlags {
  std::string name;
  std::string file;  // In or out.
  std::string output_path;
  bool json = false;
  ConnectionFlags connection;
  GenerationFlags generation;
};

using Work = std::function<absl::Status(const JobFlags& flags, Session* session)>;

int WithService(const JobFlags& flags, const Work& work) {
  if (flags.connection.server.empty()) {
    return ReportError(absl::InvalidArgumentError("--server is needed: jobs outlive a service of this command's own"));
  }
  const auto session = Session::Open(flags.connection);
  if (!session.ok()) return ReportError(session.status());
  const absl::Status status = work(flags, session->get());
  return status.ok() ? kExitOk : (*session)->Fail(status);
}

absl::Status Submit(const JobFlags& flags, Session* session) {
  v1::BatchJob job;
  job.set_name(flags.name);
  job.set_output_path(flags.output_path);
  UNMASK_ASSIGN_OR_RETURN(job, SubmitFile(flags.file, std::move(job), flags.generation, &session->client()));
  return PrintOut(absl::StrCat(flags.json ? ToJson(job) : job.name(), "\n"));
}

absl::Status List(const JobFlags& flags, Session* session) {
  std::vector<std::vector<std::string>> rows = {{"NAME", "STATE", "LINES", "DONE", "FAILED", "CREATED"}};
  v1::ListBatchJobsRequest request;
  while (true) {
    UNMASK_ASSIGN_OR_RETURN(const auto page, session->client().ListBatchJobs(request));
    for (const v1::BatchJob& job : page.jobs()) {
      if (flags.json) UNMASK_RETURN_IF_ERROR(PrintOut(ToJson(job) + "\n"));
      const v1::BatchJobCounts& counts = job.counts();
      rows.push_back({job.name(), BatchStateName(job), absl::StrCat(counts.total()),
                      absl::StrCat(counts.succeeded() + counts.failed()), absl::StrCat(counts.failed()),
                      absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixSeconds(job.create_time().seconds()),
                                       absl::LocalTimeZone())});
    }
    if (page.next_page_token().empty()) break;
    request.set_page_token(page.next_page_token());
  }
  return flags.json ? absl::OkStatus() : PrintOut(FormatTable(rows));
}

absl::Status Watch(const JobFlags& flags, Session* session) {
  UNMASK_ASSIGN_OR_RETURN(const v1::BatchJob job, WatchToItsEnd(flags.name, session));
  if (flags.json) return PrintOut(ToJson(job) + "\n");
  return PrintOut(absl::StrCat(BatchStateName(job), ", ", Summary(job), "\n"));
}

absl::Status Results(const JobFlags& flags, Session* session) {
  Client& client = session->client();
  if (flags.file.empty()) return FetchResults(flags.name, &client, PrintOut);
  UNMASK_ASSIGN_OR_RETURN(WholeFile file, FileAt(flags.file));
  UNMASK_RETURN_IF_ERROR(Annotate(file.Begin(), flags.file));
  UNMASK_RETURN_IF_ERROR(FetchResults(flags.name, &client, [&](const std::string& line) { return file.Append(line); }));
  return Annotate(file.Commit(), flags.file);
}

// Pause, resume, cancel: what the job then is.
Work Changing(absl::StatusOr<v1::BatchJob> (Client::*change)(const std::string&)) {
  return [change](const JobFlags& flags, Session* session) -> absl::Status {
    UNMASK_ASSIGN_OR_RETURN(const v1::BatchJob job, (session->client().*change)(flags.name));
    return PrintOut(absl::StrCat(flags.json ? ToJson(job) : BatchStateName(job), "\n"));
  };
}

absl::Status Delete(const JobFlags& flags, Session* session) { return session->client().DeleteBatchJob(flags.name); }

void AddRun(CLI::App* batch, int* exit_code) {
  const auto flags = std::make_shared<BatchRunFlags>();
  CLI::App* command = batch->add_subcommand(
      "run", "From a file of requests to a file of results; stopped with Ctrl-C, the same command goes on");
  command->add_option("IN", flags->in, "One request a line: {\"custom_id\": …, \"generate\": {…}} or \"infill\"")
      ->required();
  command
      ->add_option("OUT", flags->out,
                   "Results in the order of the lines; OUT.job holds what a run without a server has")
      ->required();
  command->add_option("--name", flags->name,
                      "The job's, by which it is found again (one of the command, its files and this host)");
  command->add_flag("--skip-existing", flags->skip_existing,
                    "An OUT that is there was written by this command before: that is all, and well");
  flags->generation.RegisterOptions(command);
  flags->connection.Register(command);
  command->callback([flags, exit_code] { *exit_code = RunBatch(*flags); });
}

// The other commands are alike: flags, a service, one piece of work.
struct Entry {
  const char* name;
  const char* help;
  bool of_job;  // Takes a job's name.
  Work work;
};

}  // namespace

void AddBatch(CLI::App* app, int* exit_code) {
  CLI::App* batch = app->add_subcommand("batch", "Many requests from a file, each computed exactly once");
  batch->require_subcommand(1);
  AddRun(batch, exit_code);
  const Entry entries[] = {
      {"submit", "Hand a file of requests to a service; prints the job's name", false, Submit},
      {"list", "The jobs of a service", false, List},
      {"watch", "Show a job's progress until it has ended", true, Watch},
      {"results", "A job's results so far, in order", true, Results},
      {"pause", "Stop computing a job, for now", true, Changing(&Client::PauseBatchJob)},
      {"resume", "Go on with a paused job", true, Changing(&Client::ResumeBatchJob)},
      {"cancel", "End a job for good", true, Changing(&Client::CancelBatchJob)},
      {"delete", "Forget a job that has ended", true, Delete},
  };
  for (const Entry& entry : entries) {
    const auto flags = std::make_shared<JobFlags>();
    CLI::App* command = batch->add_subcommand(entry.name, entry.help);
    if (entry.of_job) command->add_option("NAME", flags->name, "The job's")->required();
    const std::string name = entry.name;
    if (name == "submit") {
      command->add_option("IN", flags->file, "One request a line, as of unmask batch run")->required();
      command->add_option("--name", flags->name, "The job's, a-z, 0-9, - and _ (one is drawn)");
      command->add_option("--output", flags->output_path, "Write a file below the service's store, too");
      flags->generation.RegisterOptions(command);
    } else if (name == "results") {
      command->add_option("OUT", flags->file, "Write them there (standard output)");
    }
    if (name != "results" && name != "delete") command->add_flag("--json", flags->json, "Print proto3 JSON");
    flags->connection.Register(command);
    command->callback([flags, exit_code, work = entry.work] { *exit_code = WithService(*flags, work); });
  }
}

}  // namespace unmask
