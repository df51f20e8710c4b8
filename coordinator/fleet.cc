#include "coordinator/fleet.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "coordinator/errors.h"
#include "coordinator/shard_plan.h"
#include "google/protobuf/util/message_differencer.h"

namespace unmask {

using internal::v1::ReplicaDescription;
using internal::v1::ReplicaReady;

namespace {

// What a worker accepts of a config.json. Twice as long is still an int32_t, which blocks' ends rely on.
constexpr int32_t kMaxSequenceLength = 1 << 24;

// Of a sequence that no replica can take in time: a refusal is to come at once, however many replicas there are.
constexpr size_t kMostRefusals = 4;

// A request that killed this many replicas while it was alone on them is to blame.
constexpr int kConvictingDeaths = 3;

// A replica that came and went this often without answering a step is FAILED until it does.
constexpr int kFailingDeaths = 5;

// A replica that is gone is shown as long, and until another one connects.
constexpr std::chrono::minutes kRemembered(30);

// Of the time that a request has, what is left over for steps that take longer than they used to.
constexpr double kReserve = 0.1;
constexpr double kFitReserve = 0.15;  // Where that time is spent to the end: a little more.

bool Connected(const v1::ReplicaStatus& replica) {
  return replica.state() == v1::REPLICA_STATE_STARTING || replica.state() == v1::REPLICA_STATE_READY ||
         replica.state() == v1::REPLICA_STATE_DRAINING;
}

}  // namespace

Fleet::Fleet(FleetOptions options) : options_(std::move(options)) {}

absl::Status Fleet::Check(const ReplicaDescription& description) const {
  if (description.model() != options_.model_name) {
    return absl::FailedPreconditionError(absl::StrCat("the replica has model \"", description.model(),
                                                      "\", this service \"", options_.model_name, "\""));
  }
  if (description.name().empty()) return absl::FailedPreconditionError("the replica has no name");
  const internal::v1::ModelShape& shape = description.shape();
  if (shape.embedding_size() < 1 || shape.vocab_size() < 1 || shape.vocab_size() > shape.embedding_size() ||
      shape.max_sequence_length() < 1 || shape.max_sequence_length() > kMaxSequenceLength ||
      shape.mask_token_id() < 0 || shape.mask_token_id() >= shape.embedding_size() || shape.eos_token_id() < 0 ||
      shape.eos_token_id() >= shape.embedding_size()) {
    return absl::FailedPreconditionError("the replica's model shape is out of bounds");
  }
  UNMASK_RETURN_IF_ERROR(CheckShardPlan(description));
  if (options_.tokenizer && options_.tokenizer->size() > shape.embedding_size()) {
    return absl::FailedPreconditionError(absl::StrCat("the tokenizer has ", options_.tokenizer->size(),
                                                      " ids, the model's embedding ", shape.embedding_size(), " rows"));
  }
  if (options_.eot && (*options_.eot < 0 || *options_.eot >= shape.embedding_size())) {
    return absl::FailedPreconditionError(
        absl::StrCat("the end-of-turn id ", *options_.eot, " is not in [0, ", shape.embedding_size(), ")"));
  }
  if (model_ && !google::protobuf::util::MessageDifferencer::Equals(model_->shape, shape)) {
    return absl::FailedPreconditionError("the replica's model has another shape than the one that is served");
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Fleet::Attach(const ReplicaDescription& description) {
  MutexLock lock(&mutex_);
  UNMASK_RETURN_IF_ERROR(Check(description));
  ForgetTheLongGone();
  Member& member = members_[description.name()];
  v1::ReplicaStatus& status = member.status;
  if (Connected(status)) {
    return absl::AlreadyExistsError(absl::StrCat("a replica named \"", description.name(), "\" is connected"));
  }
  status.Clear();
  status.set_name(description.name());
  status.set_state(v1::REPLICA_STATE_STARTING);
  status.set_model(description.model());
  status.set_launcher_pid(description.launcher_pid());
  *status.mutable_ranks() = description.ranks();
  status.set_epoch(++last_epoch_);
  connected_[last_epoch_] = &member;
  status.set_restarts(description.restarts());
  member.description = description;
  return last_epoch_;
}

// Who comes back under another name (a process's number is part of the default one) leaves the old one behind.
void Fleet::ForgetTheLongGone() {
  const auto now = options_.now();
  std::erase_if(members_, [&](const auto& entry) {
    const auto& [name, member] = entry;
    return !Connected(member.status) && now - member.left > kRemembered;
  });
}

Fleet::Member* Fleet::Find(uint64_t epoch) {
  const auto it = connected_.find(epoch);
  return it == connected_.end() ? nullptr : it->second;
}

const Fleet::Member* Fleet::Find(uint64_t epoch) const { return const_cast<Fleet*>(this)->Find(epoch); }

void Fleet::Loading(uint64_t epoch, const v1::LoadingProgress& progress) {
  MutexLock lock(&mutex_);
  if (Member* member = Find(epoch)) *member->status.mutable_loading() = progress;
}

absl::StatusOr<std::shared_ptr<Replica>> Fleet::Ready(uint64_t epoch, const ReplicaReady& ready,
                                                      Replica::Sender sender) {
  if (ready.kv_positions() < 1 || ready.max_rows() < 1 || ready.numerics().empty()) {
    return absl::FailedPreconditionError("the replica announced no K/V memory, rows or numerics");
  }
  std::shared_ptr<Replica> replica;
  std::vector<std::unique_ptr<Sequence>> waiting;
  {
    MutexLock lock(&mutex_);
    Member* member = Find(epoch);
    if (member == nullptr || member->replica) {
      return absl::FailedPreconditionError("the replica is not one that is starting");
    }
    UNMASK_RETURN_IF_ERROR(Check(member->description));  // Another one may have become the measure meanwhile.
    replica = std::make_shared<Replica>(epoch, member->description, ready, std::move(sender), options_.observer,
                                        options_.now);
    member->replica = replica;
    if (member->status.state() != v1::REPLICA_STATE_DRAINING) member->status.set_state(v1::REPLICA_STATE_READY);
    member->status.set_numerics(ready.numerics());
    member->status.clear_loading();
    member->status.set_kv_positions(ready.kv_positions());
    if (ready.ranks_size() == member->status.ranks_size()) *member->status.mutable_ranks() = ready.ranks();
    if (!model_) {
      model_ = std::make_shared<ServedModel>(ServedModel{.name = options_.model_name,
                                                         .shape = member->description.shape(),
                                                         .tokenizer = options_.tokenizer,
                                                         .eot = options_.eot});
    }
    waiting = std::exchange(waiting_, {});
    positions_waiting_ = 0;
  }
  for (auto& sequence : waiting) {
    const std::shared_ptr<SequenceSink> sink = sequence->sink;
    const absl::Status placed = Place(std::move(sequence));
    if (!placed.ok() && sink) sink->OnDone(placed);
  }
  Rebalance(epoch);
  return replica;
}

void Fleet::Drain(uint64_t epoch) {
  MutexLock lock(&mutex_);
  if (Member* member = Find(epoch)) member->status.set_state(v1::REPLICA_STATE_DRAINING);
}

std::shared_ptr<Replica> Fleet::Get(uint64_t epoch) const {
  MutexLock lock(&mutex_);
  const Member* member = Find(epoch);
  return member == nullptr ? nullptr : member->replica;
}

bool Fleet::Idle(uint64_t epoch) const {
  const std::shared_ptr<Replica> replica = Get(epoch);
  if (!replica) return true;
  const Replica::Load load = replica->load();
  return load.running + load.waiting == 0;
}

bool Fleet::Overdue(uint64_t epoch, std::chrono::steady_clock::time_point now) const {
  const std::shared_ptr<Replica> replica = Get(epoch);
  return replica && replica->Overdue(now);
}

void Fleet::Rebalance(uint64_t epoch) {
  std::shared_ptr<Replica> idle;
  {
    MutexLock lock(&mutex_);
    const Member* member = Find(epoch);
    if (member == nullptr || member->status.state() != v1::REPLICA_STATE_READY) return;
    idle = member->replica;
  }
  if (idle->work_left() > 0) return;
  std::shared_ptr<Replica> busiest;
  int64_t most = 0;
  for (const auto& other : Replicas()) {
    const int64_t work = other->work_left();
    if (work <= most || other == idle || other->numerics() != idle->numerics()) continue;
    const Replica::Load load = other->load();
    if (load.running + load.waiting < 2) continue;
    busiest = other;
    most = work;
  }
  if (!busiest) return;
  busiest->GiveAway(idle, [this](std::unique_ptr<Sequence> sequence) {
    const std::shared_ptr<SequenceSink> sink = sequence->sink;
    const absl::Status placed = Place(std::move(sequence));
    if (!placed.ok() && sink) sink->OnDone(placed);
  });
}

void Fleet::Detach(uint64_t epoch, const char* reason) {
  std::shared_ptr<Replica> replica;
  bool drained = false;
  {
    MutexLock lock(&mutex_);
    Member* member = Find(epoch);
    if (member == nullptr) return;
    connected_.erase(epoch);
    replica = std::exchange(member->replica, nullptr);
    const Replica::Load load = replica ? replica->load() : Replica::Load();
    drained = member->status.state() == v1::REPLICA_STATE_DRAINING;
    if (load.steps_answered > 0 || drained) {
      member->fruitless = 0;
    } else if (!replica || load.steps > 0) {  // One that was ready and had nothing to do has shown neither.
      ++member->fruitless;
    }
    const bool failed = member->fruitless >= kFailingDeaths;
    if (failed) {
      Log(Severity::kError, "replica failed again and again without answering a step",
          {{"replica", member->status.name()}, {"epoch", epoch}, {"times", member->fruitless}});
    }
    member->status.set_state(failed ? v1::REPLICA_STATE_FAILED : v1::REPLICA_STATE_DOWN);
    member->left = options_.now();
    member->status.clear_ranks();
    member->status.clear_loading();
  }
  const int running = replica ? replica->load().running : 0;
  if (options_.observer != nullptr && (!drained || running > 0)) options_.observer->OnReplicaLost(reason, running);
  if (!replica) return;
  for (auto& sequence : replica->Close()) {
    const std::shared_ptr<SequenceSink> sink = sequence->sink;
    absl::Status status;
    if (sequence->deadly_lives.size() >= kConvictingDeaths) {
      status = ServiceError(absl::StatusCode::kInternal, kPoisonRequest,
                            "the request killed every replica that it was given",
                            {{"replays", absl::StrCat(sequence->replays)}});
      Log(Severity::kError, "request killed every replica that it was given: failed as poison",
          {{"request_id", sequence->request_id()}, {"replays", sequence->replays}});
    } else {
      status = Place(std::move(sequence));
    }
    if (!status.ok() && sink) sink->OnDone(status);
  }
}

std::shared_ptr<const ServedModel> Fleet::model() const {
  MutexLock lock(&mutex_);
  return model_;
}

std::shared_ptr<const Replica> Fleet::ReadyReplica() const {
  MutexLock lock(&mutex_);
  for (const auto& [name, member] : members_) {
    if (member.status.state() == v1::REPLICA_STATE_READY) return member.replica;
  }
  return nullptr;
}

bool Fleet::AllFailed() const {
  MutexLock lock(&mutex_);
  for (const auto& [name, member] : members_) {
    if (member.status.state() != v1::REPLICA_STATE_FAILED) return false;
  }
  return !members_.empty();
}

uint64_t Fleet::NextSequenceId() {
  MutexLock lock(&mutex_);
  return ++last_sequence_;
}

// The ready replica with the least work left, of the sequence's numerics if it has any, that can hold it; none of those
// that refused it. For a newcomer, where all are too small, one of these, which will say so: what was accepted before
// waits for a larger one.
std::shared_ptr<Replica> Fleet::Choose(const Sequence& sequence, bool newcomer,
                                       absl::Span<const std::shared_ptr<Replica>> refused) const {
  std::shared_ptr<Replica> best, too_small;
  int64_t least = 0;
  for (const auto& [name, member] : members_) {
    if (member.status.state() != v1::REPLICA_STATE_READY) continue;
    if (!sequence.numerics.empty() && member.replica->numerics() != sequence.numerics) continue;
    if (std::find(refused.begin(), refused.end(), member.replica) != refused.end()) continue;
    if (member.replica->ready().kv_positions() < sequence.KvPositions()) {
      too_small = member.replica;
      continue;
    }
    const int64_t work = member.replica->work_left();
    if (!best || work < least) {
      best = member.replica;
      least = work;
    }
  }
  return best || !newcomer ? best : too_small;
}

absl::Status Fleet::Place(std::unique_ptr<Sequence> sequence, bool newcomer) {
  const std::shared_ptr<SequenceSink> sink = sequence->sink;
  const uint64_t id = sequence->id();
  // One that is slow, or behind a bad network, may have the least work and yet not be in time where another is.
  std::vector<std::shared_ptr<Replica>> refused;
  absl::Status refusal;
  while (!(sink && sink->Abandoned())) {
    std::shared_ptr<Replica> replica;
    {
      MutexLock lock(&mutex_);
      replica = Choose(*sequence, newcomer, refused);
      if (refused.size() == kMostRefusals || (!replica && !refused.empty())) return refusal;
      if (!replica) {
        if (newcomer && positions_waiting_ + sequence->KvPositions() > options_.queue.positions) {
          return ServiceError(absl::StatusCode::kResourceExhausted, kOverloaded, "the service is overloaded", {},
                              absl::Seconds(10));
        }
        positions_waiting_ += sequence->KvPositions();
        waiting_.push_back(std::move(sequence));
        return absl::OkStatus();
      }
    }
    const absl::Status admitted = replica->Admit(sequence, newcomer ? &options_.queue : nullptr);
    if (absl::IsUnavailable(admitted)) continue;  // It died just now: choose again.
    if (absl::IsResourceExhausted(admitted)) {
      refusal.Update(admitted);  // The first: of the one with the least work.
      refused.push_back(replica);
      continue;
    }
    // A Cancel that came while the sequence was nowhere has not found it.
    if (admitted.ok() && sink && sink->Abandoned()) replica->Cancel(id);
    return admitted;
  }
  return absl::OkStatus();
}

absl::Status Fleet::Submit(std::unique_ptr<Sequence> sequence, absl::Duration time_left) {
  if (time_left < absl::InfiniteDuration()) {
    const double now = std::chrono::duration<double>(options_.now().time_since_epoch()).count();
    sequence->deadline = now + absl::ToDoubleSeconds(time_left);
    sequence->due = now + (1 - kReserve) * absl::ToDoubleSeconds(time_left);
  }
  return Place(std::move(sequence), /*newcomer=*/true);
}

int32_t Fleet::StepsWithin(const SequenceSpec& spec, absl::Duration time_left) const {
  const int32_t asked = spec.options.steps();
  if (time_left == absl::InfiniteDuration()) return asked;
  const int32_t answer = static_cast<int32_t>(spec.canvas.size()) - spec.prompt_length;
  const int32_t blocks = (answer + spec.options.block_length() - 1) / spec.options.block_length();
  const double seconds = (1 - kFitReserve) * absl::ToDoubleSeconds(time_left);
  const auto in_time = [&](int32_t steps) {
    SequenceSpec fitted = spec;
    fitted.options.set_steps(steps);
    DenoisingSequence probe(0, std::move(fitted));
    std::shared_ptr<Replica> replica;
    {
      MutexLock lock(&mutex_);
      replica = Choose(probe, /*newcomer=*/true);
    }
    return !replica || replica->ExpectedEnd(probe) <= seconds;  // Of no replica nothing is known.
  };
  if (in_time(asked)) return asked;
  int32_t enough = 0;  // Steps a block that are in time, ...
  int32_t too_many = asked / blocks;
  while (too_many - enough > 1) {
    const int32_t middle = (enough + too_many) / 2;
    (in_time(middle * blocks) ? enough : too_many) = middle;
  }
  return enough * blocks;
}

std::vector<std::shared_ptr<Replica>> Fleet::Replicas() const {
  MutexLock lock(&mutex_);
  std::vector<std::shared_ptr<Replica>> replicas;
  for (const auto& [name, member] : members_) {
    if (member.replica) replicas.push_back(member.replica);
  }
  return replicas;
}

bool Fleet::Cancel(uint64_t id) {
  {
    MutexLock lock(&mutex_);
    for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
      if ((*it)->id() == id) {
        positions_waiting_ -= (*it)->KvPositions();
        waiting_.erase(it);
        return true;
      }
    }
  }
  for (const auto& replica : Replicas()) {
    if (replica->Cancel(id)) return true;
  }
  return false;
}

v1::GetFleetResponse Fleet::Describe() const {
  v1::GetFleetResponse response;
  std::vector<std::shared_ptr<Replica>> replicas;
  {
    MutexLock lock(&mutex_);
    response.set_queued(waiting_.size());
    int64_t work = 0;
    for (const auto& sequence : waiting_) work += sequence->WorkLeft();
    response.set_queued_work(work);
    for (const auto& [name, member] : members_) {
      *response.add_replicas() = member.status;
      replicas.push_back(member.replica);
    }
  }
  for (size_t i = 0; i < replicas.size(); ++i) {
    if (!replicas[i]) continue;
    const Replica::Load load = replicas[i]->load();
    response.set_queued(response.queued() + load.waiting);
    response.set_queued_work(response.queued_work() + load.work_waiting);
    response.mutable_replicas(i)->set_running(load.running);
    response.mutable_replicas(i)->set_kv_positions_used(load.kv_positions_used);
    response.mutable_replicas(i)->set_steps(load.steps);
    response.mutable_replicas(i)->set_tokens(load.tokens);
  }
  return response;
}

int Fleet::open_sequences() const {
  const v1::GetFleetResponse fleet = Describe();
  int open = fleet.queued();
  for (const auto& replica : fleet.replicas()) open += replica.running();
  return open;
}

}  // namespace unmask
