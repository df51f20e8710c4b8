// The jobs of a service, without anybody who computes: what the store has survives, and nothing happens twice.
#include "coordinator/batch/book.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "coordinator/errors.h"
#include "gmock/gmock.h"
#include "tests/coordinator/batch/scratch.h"

namespace unmask {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::ReadFile;
using testing::Scratch;
using testing::TinyLines;
using testing::WriteFile;

struct Book {
  Book() : folder{scratch / "store"} { Reopen(); }
  void Reopen() {
    book.reset();
    EXPECT_TRUE(folder.Prepare().ok());
    auto opened = BatchBook::Open(folder, limits);
    ASSERT_TRUE(opened.ok()) << opened.status();
    book = *std::move(opened);
  }
  v1::BatchJob Create(const std::string& name, const std::string& lines, const std::string& output = "") {
    v1::CreateBatchJobRequest request;
    request.mutable_job()->set_name(name);
    request.mutable_job()->set_output_path(output);
    request.set_lines(lines);
    auto job = book->Create(request, 42, 1000);
    EXPECT_TRUE(job.ok()) << job.status();
    return job.ok() ? *job : v1::BatchJob();
  }
  absl::Status Refused(const std::string& lines) {
    v1::CreateBatchJobRequest request;
    request.set_lines(lines);
    return book->Create(request, 42, 1000).status();
  }
  // Computes up to `most` lines, in disorder; how many it did.
  int Compute(int most, bool save = true) {
    std::vector<BatchBook::Task> tasks;
    while (static_cast<int>(tasks.size()) < most) {
      auto task = book->Next();
      if (!task) break;
      tasks.push_back(*std::move(task));
    }
    std::reverse(tasks.begin(), tasks.end());
    for (const auto& task : tasks) {
      v1::BatchJobResult result;
      result.set_index(task.line.index);
      result.set_failed(task.line.index % 10 == 9);
      result.set_line(absl::StrCat("result of ", task.line.text));
      book->Record(task.key, result);
    }
    if (save) {
      EXPECT_TRUE(book->Save(2000).ok());
    }
    return tasks.size();
  }
  v1::BatchJobState State(const std::string& name) { return book->Get(name)->state(); }

  Scratch scratch;
  BatchFolder folder;
  BatchLimits limits;
  std::unique_ptr<BatchBook> book;
};

TEST(BatchBookTest, AJobRunsToItsEndInOrder) {
  Book book;
  const v1::BatchJob created = book.Create("a", TinyLines(250), "out.jsonl");
  EXPECT_EQ(created.state(), v1::BATCH_JOB_STATE_PENDING);
  EXPECT_EQ(created.counts().total(), 250);
  EXPECT_TRUE(created.has_seed());
  EXPECT_EQ(created.input_digest().size(), 64u);
  while (book.Compute(70) > 0) {
    const v1::BatchJobState state = book.State("a");
    EXPECT_TRUE(state == v1::BATCH_JOB_STATE_RUNNING || state == v1::BATCH_JOB_STATE_SUCCEEDED);
  }
  const v1::BatchJob ended = *book.book->Get("a");
  EXPECT_EQ(ended.state(), v1::BATCH_JOB_STATE_SUCCEEDED);
  EXPECT_EQ(ended.counts().succeeded(), 225);
  EXPECT_EQ(ended.counts().failed(), 25);
  EXPECT_EQ(ended.end_time().seconds(), 2000);
  std::string expected;
  std::istringstream lines(TinyLines(250));
  for (std::string line; std::getline(lines, line);) absl::StrAppend(&expected, "result of ", line, "\n");
  EXPECT_EQ(ReadFile(book.scratch / "store/files/out.jsonl"), expected);
}

TEST(BatchBookTest, WhatWasSavedIsNeverDoneAgainAndWhatWasNotIs) {
  Book book;
  book.Create("a", TinyLines(100), "out.jsonl");
  EXPECT_EQ(book.Compute(30), 30);
  EXPECT_EQ(book.Compute(20, /*save=*/false), 20);
  book.Reopen();
  EXPECT_EQ(book.book->Get("a")->counts().succeeded() + book.book->Get("a")->counts().failed(), 30);
  std::set<int64_t> again;
  std::vector<BatchBook::Task> tasks;
  while (auto task = book.book->Next()) {
    again.insert(task->line.index);
    tasks.push_back(*std::move(task));
  }
  EXPECT_EQ(again.size(), 70u);
  EXPECT_EQ(*again.begin(), 30) << "a line with a result was handed out";
  for (auto& task : tasks) book.book->Return(std::move(task));
  EXPECT_EQ(book.Compute(100), 70);
  EXPECT_EQ(book.State("a"), v1::BATCH_JOB_STATE_SUCCEEDED);
}

TEST(BatchBookTest, EndsAJobThatWasKilledBetweenItsLastResultAndItsEnd) {
  Book book;
  const v1::BatchJob created = book.Create("a", TinyLines(5), "out.jsonl");
  book.Compute(5);
  const std::string output = ReadFile(book.scratch / "store/files/out.jsonl");
  // As if the end had not been stored: with the output there, and without it.
  for (const bool there : {true, false}) {
    book.book.reset();
    auto store = *BatchStore::Open(book.folder.path);
    v1::BatchJob job = store->Jobs()->front().second;
    ASSERT_EQ(job.state(), v1::BATCH_JOB_STATE_SUCCEEDED);
    job.set_state(v1::BATCH_JOB_STATE_PENDING);
    ASSERT_TRUE(store->SaveJob(store->Jobs()->front().first, job).ok());
    store.reset();
    if (!there) fs::remove(book.scratch / "store/files/out.jsonl");
    book.Reopen();
    EXPECT_EQ(book.Compute(5), 0);
    EXPECT_EQ(book.State("a"), v1::BATCH_JOB_STATE_SUCCEEDED);
    EXPECT_EQ(ReadFile(book.scratch / "store/files/out.jsonl"), output);
  }
}

TEST(BatchBookTest, ABadInputIsRefusedWithAllItsPlacesAndLeavesNothing) {
  Book book;
  std::string lines = TinyLines(1200);
  lines += "{\"custom_id\": \"x\", \"generate\": {\"text\": 1, }}\n{\"custom_id\": \"line-7\", \"generate\": {}}\n";
  const absl::Status status = book.Refused(lines);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorReason(status), kBatchInputInvalid);
  EXPECT_THAT(std::string(status.message()), HasSubstr("line 1201, column 44: "));
  EXPECT_THAT(ErrorDetails(status), HasSubstr("line 1202, column 15"));
  EXPECT_THAT(ErrorDetails(status), HasSubstr("custom_id is that of line 8, too"));
  EXPECT_FALSE(book.book->Next().has_value());
  EXPECT_EQ(book.book->List({})->jobs_size(), 0);
  EXPECT_EQ(ErrorReason(book.Refused("\n \n")), kInputMissing);
  book.limits.lines = 10;
  book.Reopen();
  EXPECT_THAT(std::string(book.Refused(TinyLines(11)).message()), HasSubstr("more than 10 lines"));
  EXPECT_TRUE(book.Refused(TinyLines(10)).ok());
}

TEST(BatchBookTest, AJobKilledWhileItWasStoredNeverWas) {
  Book book;
  book.book.reset();
  {
    auto store = *BatchStore::Open(book.folder.path);
    const int64_t key = *store->BeginJob();
    ASSERT_TRUE(store->AddLines(key, {{0, "x"}, {1, "y"}}).ok());
  }
  book.Reopen();
  EXPECT_EQ(book.book->List({})->jobs_size(), 0);
  EXPECT_FALSE(book.book->Next().has_value());
  book.Create("a", TinyLines(3));
  EXPECT_EQ(book.Compute(10), 3);
}

TEST(BatchBookTest, ValidatesOnly) {
  Book book;
  v1::CreateBatchJobRequest request;
  request.set_lines(TinyLines(3));
  request.set_validate_only(true);
  EXPECT_EQ(book.book->Create(request, 1, 1)->counts().total(), 3);
  EXPECT_EQ(book.book->List({})->jobs_size(), 0);
  EXPECT_FALSE(book.book->Next().has_value());
}

TEST(BatchBookTest, InputComesFromFilesBelowTheFolderOnly) {
  Book book;
  WriteFile(book.scratch / "store/files/in.jsonl", TinyLines(3));
  WriteFile(book.scratch / "outside.jsonl", TinyLines(3));
  WriteFile(book.scratch / "store/uploads/abc", TinyLines(4));
  v1::CreateBatchJobRequest request;
  request.mutable_job()->set_name("a");
  for (const char* path : {"../../outside.jsonl", "../uploads/abc"}) {
    request.set_path(path);
    EXPECT_EQ(ErrorReason(book.book->Create(request, 1, 1).status()), kPathNotAllowed) << path;
  }
  request.set_path("in.jsonl");
  request.mutable_job()->set_output_path("../out");
  EXPECT_EQ(ErrorReason(book.book->Create(request, 1, 1).status()), kPathNotAllowed);
  request.mutable_job()->set_output_path("in.jsonl");
  EXPECT_EQ(ErrorReason(book.book->Create(request, 1, 1).status()), kOutputExists) << "it would be overwritten";
  request.mutable_job()->clear_output_path();
  EXPECT_EQ(book.book->Create(request, 1, 1)->counts().total(), 3);
  request.mutable_job()->set_name("b");
  request.set_upload("../files/in.jsonl");
  EXPECT_EQ(book.book->Create(request, 1, 1).status().code(), absl::StatusCode::kInvalidArgument);
  request.set_upload("abc");
  EXPECT_EQ(book.book->Create(request, 1, 1)->counts().total(), 4);
  EXPECT_FALSE(fs::exists(book.scratch / "store/uploads/abc")) << "kept though it is stored";
}

TEST(BatchBookTest, JobsRunInOrderAndPausedOnesLetTheNextOnesPass) {
  Book book;
  book.Create("a", TinyLines(4));
  book.Create("b", TinyLines(2));
  std::optional<BatchBook::Task> first = book.book->Next();
  EXPECT_EQ(book.State("b"), v1::BATCH_JOB_STATE_PENDING);
  EXPECT_EQ(book.book->Pause("a")->state(), v1::BATCH_JOB_STATE_PAUSED);
  EXPECT_FALSE(book.book->Runs(first->key));
  EXPECT_NE(book.book->Next()->key, first->key);
  book.book->Return(*first);
  book.Reopen();
  EXPECT_EQ(book.State("a"), v1::BATCH_JOB_STATE_PAUSED) << "a restart resumed what was paused";
  EXPECT_EQ(book.Compute(10), 2);
  EXPECT_EQ(book.State("b"), v1::BATCH_JOB_STATE_SUCCEEDED);
  EXPECT_EQ(book.book->Resume("a")->state(), v1::BATCH_JOB_STATE_PENDING);
  EXPECT_EQ(book.Compute(10), 4);
  EXPECT_EQ(book.State("a"), v1::BATCH_JOB_STATE_SUCCEEDED);
  EXPECT_EQ(book.book->Pause("a")->state(), v1::BATCH_JOB_STATE_SUCCEEDED);
}

TEST(BatchBookTest, CancelEndsAJobForGoodAndDeleteForgetsIt) {
  Book book;
  book.Create("a", TinyLines(10), "out.jsonl");
  book.Compute(4);
  std::optional<BatchBook::Task> late = book.book->Next();
  EXPECT_EQ(book.book->Delete("a").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(book.book->Cancel("a", 1500)->state(), v1::BATCH_JOB_STATE_CANCELLED);
  EXPECT_EQ(book.book->Cancel("a", 1600)->end_time().seconds(), 1500) << "cancelled twice";
  book.book->Record(late->key, v1::BatchJobResult());
  EXPECT_EQ(book.Compute(10), 0);
  v1::ListBatchJobResultsRequest results;
  results.set_name("a");
  EXPECT_EQ(book.book->Results(results)->results_size(), 4) << "what was computed stays";
  EXPECT_FALSE(fs::exists(book.scratch / "store/files/out.jsonl"));
  EXPECT_TRUE(book.book->Delete("a").ok());
  EXPECT_EQ(ErrorReason(book.book->Get("a").status()), kJobNotFound);
  EXPECT_EQ(ErrorReason(book.book->Delete("a")), kJobNotFound);
  book.Reopen();
  EXPECT_EQ(book.book->List({})->jobs_size(), 0);
  book.Create("a", TinyLines(2));
  EXPECT_EQ(book.Compute(10), 2) << "results of a deleted job count for a new one";
}

TEST(BatchBookTest, NamesAreTakenOnce) {
  Book book;
  book.Create("a", TinyLines(1));
  v1::CreateBatchJobRequest request;
  request.set_lines(TinyLines(1));
  request.mutable_job()->set_name("a");
  EXPECT_EQ(ErrorReason(book.book->Create(request, 1, 1).status()), kJobExists);
  for (const std::string& name : {std::string("A"), std::string("a b"), std::string("../x"), std::string(64, 'a')}) {
    request.mutable_job()->set_name(name);
    EXPECT_EQ(ErrorReason(book.book->Create(request, 1, 1).status()), kJobInvalid) << name;
  }
  request.mutable_job()->clear_name();
  EXPECT_EQ(book.book->Create(request, 0xabc, 1)->name(), "job-0000000000000abc");
}

TEST(BatchBookTest, ListsInPages) {
  Book book;
  for (const char* name : {"a", "b", "c", "d"}) book.Create(name, TinyLines(1));
  book.Compute(2);
  v1::ListBatchJobsRequest request;
  request.set_page_size(3);
  auto page = *book.book->List(request);
  ASSERT_EQ(page.jobs_size(), 3);
  request.set_page_token(page.next_page_token());
  page = *book.book->List(request);
  ASSERT_EQ(page.jobs_size(), 1);
  EXPECT_EQ(page.jobs(0).name(), "d");
  EXPECT_EQ(page.next_page_token(), "");
  v1::ListBatchJobsRequest pending;
  pending.set_state(v1::BATCH_JOB_STATE_PENDING);
  EXPECT_EQ(book.book->List(pending)->jobs_size(), 2);
  request.set_page_token("x");
  EXPECT_EQ(ErrorReason(book.book->List(request).status()), kPageTokenInvalid);
  request.clear_page_token();
  request.set_page_size(1001);
  EXPECT_EQ(book.book->List(request).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(BatchBookTest, ResultsComeByIndex) {
  Book book;
  book.Create("a", TinyLines(30));
  book.Compute(20);
  v1::ListBatchJobResultsRequest request;
  request.set_name("a");
  request.set_start_index(5);
  request.set_page_size(10);
  auto page = *book.book->Results(request);
  ASSERT_EQ(page.results_size(), 10);
  EXPECT_EQ(page.results(0).index(), 5);
  EXPECT_EQ(page.next_index(), 15);
  EXPECT_TRUE(page.results(4).failed());
  request.set_start_index(20);
  page = *book.book->Results(request);
  EXPECT_EQ(page.results_size(), 0);
  EXPECT_FALSE(page.has_next_index());
  request.set_start_index(-1);
  EXPECT_EQ(book.book->Results(request).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(BatchBookTest, OneCoordinatorHasAStore) {
  Book book;
  book.Create("a", TinyLines(1));
  const pid_t child = fork();  // Locks are a process's.
  if (child == 0) {
    const auto other = BatchBook::Open(book.folder);
    _exit(absl::IsFailedPrecondition(other.status()) ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0) << "a second coordinator opened the store";
}

}  // namespace
}  // namespace unmask
