#include "cli/batch_progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace unmask {
namespace {

v1::BatchJob Job(v1::BatchJobState state, int total, int succeeded, int failed) {
  v1::BatchJob job;
  job.set_state(state);
  job.mutable_counts()->set_total(total);
  job.mutable_counts()->set_succeeded(succeeded);
  job.mutable_counts()->set_failed(failed);
  return job;
}

TEST(BatchProgressTest, ShowsRateTimeLeftAndFailures) {
  const v1::BatchJob job = Job(v1::BATCH_JOB_STATE_RUNNING, 10000, 4288, 12);
  EXPECT_EQ(BatchProgressLine(job, 87.25, 74),
            "running  [####.......]   43 %  4300 of 10000  12 failed  87.2/s  1m6s left");
  EXPECT_EQ(BatchProgressLine(job, 0, 60), "running  [######..........]   43 %  4300 of 10000  12 failed");
  EXPECT_EQ(BatchProgressLine(job, 87.25, 20), "running   43 %  4300");
}

TEST(BatchProgressTest, AnEndedJobHasNoTimeLeft) {
  EXPECT_EQ(BatchProgressLine(Job(v1::BATCH_JOB_STATE_SUCCEEDED, 10, 10, 0), 5, 45),
            "succeeded  [########]  100 %  10 of 10  5.0/s");
}

TEST(BatchProgressTest, APauseSaysWhy) {
  v1::BatchJob job = Job(v1::BATCH_JOB_STATE_PAUSED, 10, 5, 0);
  EXPECT_EQ(BatchStateName(job), "paused");
  job.mutable_error()->set_message("the store's disk is full");
  EXPECT_EQ(BatchStateName(job), "paused: the store's disk is full");
}

}  // namespace
}  // namespace unmask
