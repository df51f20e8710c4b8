// The mailbox between a sequence and a slow call.
#include <map>

#include "coordinator/token_stream.h"
#include "gmock/gmock.h"

namespace unmask {
namespace {

using v1::GenerateStreamResponse;

struct FakeWriter : CallWriter {
  void Write(const GenerateStreamResponse& event) override { written.push_back(event); }
  void Finish(const absl::StatusOr<v1::GenerateResponse>& outcome) override { results.push_back(outcome); }
  std::vector<GenerateStreamResponse> written;
  std::vector<absl::StatusOr<v1::GenerateResponse>> results;
};

struct Mailbox {
  Metrics metrics{"test", 0};
  FakeWriter writer;
  TokenStream stream{&writer, RequestRecord(&metrics, "GenerateStream")};

  // Reads all that is there, one write after the other.
  void ReadOn() {
    size_t before = 0;
    do {
      before = writer.written.size();
      stream.OnWritten();
    } while (writer.written.size() > before);
  }
};

GenerateStreamResponse StepEvent(int block, int step, int position) {
  GenerateStreamResponse event;
  event.mutable_step()->set_block(block);
  event.mutable_step()->set_step(step);
  event.mutable_step()->set_merged(1);
  event.mutable_step()->set_masks_left(1000 - position);
  event.mutable_step()->add_commits()->set_position(position);
  event.mutable_step()->add_proposals()->set_position(position + 1);
  return event;
}

GenerateStreamResponse BlockEvent(int block) {
  GenerateStreamResponse event;
  event.mutable_block()->set_block(block);
  return event;
}

TEST(TokenStreamTest, OneWriteIsUnderWayAtATime) {
  Mailbox box;
  box.stream.OnEvents({BlockEvent(0), BlockEvent(1)});
  EXPECT_EQ(box.writer.written.size(), 0u) << "not open yet";
  box.stream.Open();
  EXPECT_EQ(box.writer.written.size(), 1u);
  box.stream.OnEvents({BlockEvent(2)});
  EXPECT_EQ(box.writer.written.size(), 1u);
  box.stream.OnWritten();
  EXPECT_EQ(box.writer.written.size(), 2u);
}

TEST(TokenStreamTest, AReaderThatKeepsUpSeesEveryStep) {
  Mailbox box;
  box.stream.Open();
  for (int step = 0; step < 100; ++step) {
    box.stream.OnEvents({StepEvent(0, step, step)});
    box.ReadOn();
  }
  EXPECT_EQ(box.writer.written.size(), 100u);
}

TEST(TokenStreamTest, ASlowReaderHoldsAFewEventsAndMissesNoCommit) {
  Mailbox box;
  box.stream.Open();
  constexpr int kBlocks = 4;
  constexpr int kSteps = 1000;
  for (int block = 0; block < kBlocks; ++block) {
    for (int step = 0; step < kSteps; ++step) box.stream.OnEvents({StepEvent(block, step, block * kSteps + step)});
    box.stream.OnEvents({BlockEvent(block)});
  }
  // Unmerged ones, and of each block one merged step and its end.
  EXPECT_LE(box.stream.waiting_events(), TokenStream::kUnmergedEvents + 2 * kBlocks);
  box.stream.OnDone(v1::GenerateResponse());
  EXPECT_TRUE(box.writer.results.empty()) << "the result comes last";
  box.ReadOn();
  ASSERT_EQ(box.writer.results.size(), 1u);
  EXPECT_TRUE(box.writer.results[0].ok());

  int position = 0;
  int steps = 0;
  int block = 0;
  for (const auto& event : box.writer.written) {
    if (event.has_block()) {
      EXPECT_EQ(event.block().block(), block++);
      continue;
    }
    EXPECT_EQ(event.step().block(), block);
    steps += event.step().merged();
    EXPECT_EQ(event.step().merged(), event.step().commits_size());
    for (const auto& commit : event.step().commits()) EXPECT_EQ(commit.position(), position++);
    EXPECT_EQ(event.step().step(), (position - 1) % kSteps) << "as of its last step";
    EXPECT_EQ(event.step().masks_left(), 1000 - (position - 1));
    ASSERT_EQ(event.step().proposals_size(), 1);
    EXPECT_EQ(event.step().proposals(0).position(), position);
  }
  EXPECT_EQ(steps, kBlocks * kSteps);
  EXPECT_EQ(block, kBlocks);
}

TEST(TokenStreamTest, AnAbortDropsWhatWaitsAndEndsTheCallAfterItsWrite) {
  Mailbox box;
  box.stream.Open();
  box.stream.OnEvents({BlockEvent(0), BlockEvent(1)});
  box.stream.Abort(absl::CancelledError("gone"));
  EXPECT_TRUE(box.writer.results.empty()) << "a write is under way";
  box.stream.OnWritten();
  EXPECT_EQ(box.writer.written.size(), 1u);
  ASSERT_EQ(box.writer.results.size(), 1u);
  EXPECT_EQ(box.writer.results[0].status().code(), absl::StatusCode::kCancelled);
}

TEST(TokenStreamTest, WhatASequenceSaysAfterAnAbortIsIgnored) {
  Mailbox box;
  box.stream.Open();
  box.stream.Abort(absl::CancelledError("gone"));
  box.stream.OnStarted();
  box.stream.OnEvents({BlockEvent(0)});
  box.stream.OnDone(v1::GenerateResponse());
  box.stream.Abort(absl::CancelledError("again"));
  EXPECT_TRUE(box.writer.written.empty());
  EXPECT_EQ(box.writer.results.size(), 1u);
}

TEST(TokenStreamTest, AnAbortAfterTheResultKeepsTheResult) {
  Mailbox box;
  box.stream.Open();
  box.stream.OnEvents({BlockEvent(0), BlockEvent(1)});
  box.stream.OnDone(v1::GenerateResponse());
  box.stream.Abort(absl::CancelledError("gone"));
  box.ReadOn();
  EXPECT_EQ(box.writer.written.size(), 1u);
  ASSERT_EQ(box.writer.results.size(), 1u);
  EXPECT_TRUE(box.writer.results[0].ok());
}

TEST(TokenStreamTest, AResultBeforeTheStartStillHasItsTiming) {
  Mailbox box;
  box.stream.Open();
  box.stream.OnDone(v1::GenerateResponse());
  box.stream.OnStarted();  // From another thread, late.
  ASSERT_TRUE(box.writer.results[0].ok());
  EXPECT_TRUE(box.writer.results[0]->timing().has_queue());
}

}  // namespace
}  // namespace unmask
