// A coordinator among replicas gone mad: whatever they send, no sequence is lost, answered twice, or stuck.
// The input is pairs of a byte and a piece. The byte's lowest bit chooses one of two connections, its next says to hang
// up instead; a piece is a ReplicaMessage. Messages go where coordinator/fleet_link.cc would take them.
#include "coordinator/fleet.h"

#include <deque>
#include <memory>
#include <vector>

#include "tests/coordinator/scripted_model.h"
#include "tests/fuzz/fuzz.h"

namespace {

using unmask::Fleet;
using unmask::Replica;
using unmask::internal::v1::CoordinatorMessage;
using unmask::internal::v1::ReplicaMessage;
using unmask::internal::v1::ReplicaReady;
using unmask::testing::Require;

struct CountingSink : unmask::SequenceSink {
  void OnStarted() override {}
  void OnEvents(std::vector<unmask::v1::GenerateStreamResponse>) override {
    Require(done == 0, "nothing happens after the end");
  }
  void OnDone(absl::StatusOr<unmask::v1::GenerateResponse>) override { ++done; }
  int done = 0;
};

struct Connection {
  uint64_t epoch = 0;
  std::shared_ptr<Replica> replica;
  std::deque<CoordinatorMessage> inbox;

  Replica::Sender Sender() {
    return [this](const CoordinatorMessage& message) { inbox.push_back(message); };
  }
  void HangUp(Fleet* fleet) {
    if (epoch != 0) fleet->Detach(epoch);
    epoch = 0;
    replica = nullptr;
    inbox.clear();
  }
  // As Link::Heard; false where the connection must end.
  bool Hear(ReplicaMessage message, Fleet* fleet) {
    if (message.has_description()) {
      const auto attached = epoch == 0 ? fleet->Attach(message.description()) : absl::InternalError("twice");
      if (attached.ok()) epoch = *attached;
      return attached.ok();
    }
    if (epoch == 0) return false;
    if (message.has_loading()) {
      fleet->Loading(epoch, message.loading());
      return replica == nullptr;
    }
    if (message.has_ready()) {
      auto ready = replica ? absl::InternalError("twice") : fleet->Ready(epoch, message.ready(), Sender());
      if (ready.ok()) replica = *ready;
      return ready.ok();
    }
    if (message.has_result()) {
      if (!replica) return false;
      message.mutable_result()->set_epoch(epoch);  // Or nothing would get past the first check.
      return replica->OnResult(message.result()).ok();
    }
    if (message.has_draining()) fleet->Drain(epoch);
    return message.has_draining() || message.has_heartbeat();
  }
};

Connection& ConnectHonest(Fleet* fleet, Connection* connection) {
  connection->epoch = fleet->Attach(unmask::testing::DescribeReplica("honest", 1)).value();
  ReplicaReady ready;
  ready.set_numerics("n");
  ready.set_kv_positions(1000);
  ready.set_max_rows(1000);
  connection->replica = fleet->Ready(connection->epoch, ready, connection->Sender()).value();
  return *connection;
}

std::unique_ptr<unmask::Sequence> MakeSequence(Fleet* fleet, int i, const std::shared_ptr<CountingSink>& sink) {
  unmask::v1::GenerationOptions options;
  options.set_gen_length(8);
  options.set_block_length(4);
  options.set_remasking(static_cast<unmask::v1::Remasking>(1 + i % unmask::v1::Remasking_MAX));
  options.set_cache(static_cast<unmask::v1::Cache>(1 + i % 3));
  auto spec = unmask::testing::TinySpec(3 + i, options);
  spec.events = true;
  auto sequence = std::make_unique<unmask::DenoisingSequence>(fleet->NextSequenceId(), std::move(spec));
  sequence->sink = sink;
  return sequence;
}

// Everything that is left is computed, or was promised to replicas of numerics that never came back.
void Finish(Fleet* fleet, const std::vector<uint64_t>& ids, const std::vector<std::shared_ptr<CountingSink>>& sinks) {
  Connection honest;
  ConnectHonest(fleet, &honest);
  unmask::testing::ScriptedModel model;
  for (int steps = 0; !honest.inbox.empty(); ++steps) {
    Require(steps < 1000, "the sequences end");
    const CoordinatorMessage message = honest.inbox.front();
    honest.inbox.pop_front();
    if (message.has_step())
      Require(honest.replica->OnResult(model.Execute(message.step())).ok(), "honesty is believed");
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    const bool waiting = fleet->Cancel(ids[i]);
    Require(sinks[i]->done + (waiting ? 1 : 0) == 1, "a sequence is answered once, or still waits");
  }
  honest.HangUp(fleet);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  unmask::FleetOptions options;
  options.model_name = "tiny";
  options.eot = 97;
  Fleet fleet(options);
  {
    Connection first;  // Decides the shape that is served.
    ConnectHonest(&fleet, &first).HangUp(&fleet);
  }
  std::vector<uint64_t> ids;
  std::vector<std::shared_ptr<CountingSink>> sinks;
  for (int i = 0; i < 5; ++i) {
    sinks.push_back(std::make_shared<CountingSink>());
    auto sequence = MakeSequence(&fleet, i, sinks.back());
    ids.push_back(sequence->id());
    Require(fleet.Submit(std::move(sequence)).ok(), "a sequence waits for a replica");
  }
  Connection connections[2];
  for (unmask::testing::Pieces pieces(unmask::testing::InputOf(data, size)); !pieces.done();) {
    const uint8_t choice = pieces.Byte();
    const absl::string_view piece = pieces.Next();
    Connection& connection = connections[choice & 1];
    ReplicaMessage message;
    const bool hang_up = (choice & 2) != 0 || !message.ParseFromArray(piece.data(), static_cast<int>(piece.size()));
    if (hang_up || !connection.Hear(message, &fleet)) connection.HangUp(&fleet);
    static_cast<void>(fleet.Describe().ByteSizeLong());
  }
  for (Connection& connection : connections) connection.HangUp(&fleet);
  Finish(&fleet, ids, sinks);
  return 0;
}
