#include "cli/canvas_state.h"

#include <gtest/gtest.h>

#include "tests/cli/recording.h"

namespace unmask {
namespace {

using State = Slot::State;

// Tokens "a b c d" in two blocks, revealed c-last in the first step's block and one by one after that.
Recording Four() {
  Recording recording;
  recording.tokens = {"a", " b", " c", " d"};
  recording.block_length = 2;
  recording.reveals = {{1}, {0}, {2, 3}};
  return recording;
}

TEST(CanvasStateTest, BeginsAllMaskedAfterThePrompt) {
  const CanvasState state = Play(LayoutWithPrompt("hi"), Four().Events(), 1);
  ASSERT_EQ(state.slots().size(), 4u);
  EXPECT_EQ(state.slots()[0].position, 3);
  EXPECT_EQ(state.blocks(), 2);
  EXPECT_EQ(state.slots()[1].block, 0);
  EXPECT_EQ(state.slots()[2].block, 1);
  EXPECT_EQ(state.steps_planned(), 3);
  EXPECT_EQ(state.kept(), 0);
}

TEST(CanvasStateTest, AStepKeepsItsCommitsAndShowsItsProposals) {
  const CanvasState state = Play(LayoutWithPrompt("hi"), Four().Events(), 2);
  EXPECT_EQ(state.slots()[0].state, State::kProposed);
  EXPECT_EQ(state.slots()[1].state, State::kKept);
  EXPECT_EQ(state.slots()[1].text, " b");
  EXPECT_EQ(state.slots()[1].step, 1);
  EXPECT_EQ(state.slots()[2].state, State::kMask);
  EXPECT_EQ(state.kept(), 1);
  EXPECT_EQ(state.steps(), 1);
}

TEST(CanvasStateTest, ProposalsLastOneStep) {
  auto events = Four().Events();
  events[3].clear_event();
  events[2].mutable_step()->clear_commits();
  const CanvasState state = Play(LayoutWithPrompt("hi"), events, 3);
  EXPECT_EQ(state.slots()[0].state, State::kMask);
}

TEST(CanvasStateTest, MergedStepsCountAsTheStepsTheyAre) {
  auto events = Four().Events();
  events[1].mutable_step()->set_merged(5);
  const CanvasState state = Play(LayoutWithPrompt("hi"), events, 3);
  EXPECT_EQ(state.steps(), 6);
  EXPECT_EQ(state.slots()[1].step, 5);
  EXPECT_EQ(state.slots()[0].step, 6);
}

TEST(CanvasStateTest, RemaskedAndEditedTokensChangeWhatIsKept) {
  auto events = Four().Events();
  v1::Commit* remasked = events[2].mutable_step()->add_commits();
  remasked->set_position(4);
  remasked->set_kind(v1::COMMIT_KIND_REMASKED);
  CanvasState state = Play(LayoutWithPrompt("hi"), events, 3);
  EXPECT_EQ(state.slots()[1].state, State::kMask);
  EXPECT_EQ(state.kept(), 1);

  v1::GenerateStreamResponse edit;
  v1::Commit* edited = edit.mutable_step()->add_commits();
  edited->set_position(3);
  edited->set_text("A");
  edited->set_kind(v1::COMMIT_KIND_EDITED);
  state.Apply(edit);
  EXPECT_EQ(state.slots()[0].text, "A");
  EXPECT_EQ(state.kept(), 1);
}

TEST(CanvasStateTest, EventsOutsideTheCanvasArePassedOver) {
  auto events = Four().Events();
  for (const int position : {-1, 0, 2, 7, 1 << 30}) events[1].mutable_step()->add_commits()->set_position(position);
  events[1].mutable_step()->add_proposals()->set_position(99);
  const CanvasState state = Play(LayoutWithPrompt("hi"), events, 2);
  EXPECT_EQ(state.kept(), 1);
  const CanvasState early = Play(LayoutWithPrompt("hi"), {events[1]});  // A step before the canvas is known.
  EXPECT_EQ(early.kept(), 0);
}

TEST(CanvasStateTest, AnAbsurdCanvasIsNotAllocated) {
  v1::GenerateStreamResponse event;
  event.mutable_accepted()->set_canvas_length(2147483647);
  event.mutable_accepted()->set_prompt_length(-5);
  EXPECT_LE(Play(LayoutWithPrompt(""), {event}).slots().size(), size_t{1} << 20);
}

TEST(CanvasStateTest, InfillFindsItsGapsByTheMask) {
  CanvasLayout layout = LayoutWithPrompt("");
  layout.parts = {
      {.given = "I ", .masks = 0}, {.given = "", .masks = 1}, {.given = " you", .masks = 0}, {.given = "", .masks = 2}};
  v1::GenerateStreamResponse event;
  for (const int id : {5, kMaskId, 7, 8, kMaskId, kMaskId}) event.mutable_accepted()->add_canvas(id);
  event.mutable_accepted()->set_canvas_length(6);
  event.mutable_accepted()->mutable_options()->set_block_length(5);  // Of positions, whether given or not.
  const CanvasState state = Play(layout, {event});
  ASSERT_EQ(state.slots().size(), 3u);
  EXPECT_EQ(state.slots()[0].position, 1);
  EXPECT_EQ(state.slots()[2].position, 5);
  EXPECT_EQ(state.slots()[1].block, 0);
  EXPECT_EQ(state.slots()[2].block, 1);
}

TEST(CanvasStateTest, WithoutATokenizerTheIdsAreTheText) {
  CanvasLayout layout = LayoutWithPrompt("");
  layout.ids_only = true;
  auto events = Four().Events();
  for (v1::Commit& commit : *events[1].mutable_step()->mutable_commits()) commit.clear_text();
  EXPECT_EQ(Play(layout, events, 2).slots()[1].text, "11 ");
}

TEST(CanvasStateTest, TheEndIsKnownByItsId) {
  Recording recording = Four();
  recording.tokens[3] = "<eos>";
  const CanvasState state = Play(LayoutWithPrompt(""), recording.Events());
  EXPECT_FALSE(state.slots()[2].end);
  EXPECT_TRUE(state.slots()[3].end);
  EXPECT_TRUE(state.completed());
  EXPECT_EQ(state.response().text(), "a b c");
}

}  // namespace
}  // namespace unmask
