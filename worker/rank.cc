#include "worker/rank.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/cores.h"
#include "base/status.h"
#include "cluster/device_communicator.h"
#include "worker/agree.h"
#include "worker/memory.h"
#include "worker/tensor_plan.h"
#include "worker/warm_up.h"

namespace unmask {
namespace {

// Raised whenever a change of the code changes the bits of results: requests move only between equal replicas.
constexpr int kNumericsRevision = 1;

std::string HostName() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

// Every rank's message, in rank order.
template <typename Message>
std::vector<Message> GatherMessages(const Message& own, Communicator* ranks) {
  std::vector<Message> messages;
  for (const std::string& bytes : ranks->AllGather(own.SerializeAsString())) {
    messages.emplace_back();
    messages.back().ParseFromString(bytes);
  }
  return messages;
}

internal::v1::ModelShape ToProto(const Config& config) {
  internal::v1::ModelShape shape;
  shape.set_layers(config.layers);
  shape.set_hidden_size(config.hidden_size);
  shape.set_heads(config.heads);
  shape.set_kv_heads(config.kv_heads);
  shape.set_mlp_size(config.mlp_size);
  shape.set_vocab_size(config.vocab_size);
  shape.set_embedding_size(config.embedding_size);
  shape.set_max_sequence_length(config.max_sequence_length);
  shape.set_mask_token_id(config.mask_token_id);
  shape.set_eos_token_id(config.eos_token_id);
  shape.set_parameters(config.parameters());
  shape.set_architecture(config.architecture);
  return shape;
}

v1::Shard ToProto(const Shard& shard, int64_t weight_bytes) {
  v1::Shard proto;
  proto.set_heads_begin(static_cast<int32_t>(shard.heads.begin));
  proto.set_heads_end(static_cast<int32_t>(shard.heads.end));
  proto.set_kv_heads_begin(static_cast<int32_t>(shard.kv_heads.begin));
  proto.set_kv_heads_end(static_cast<int32_t>(shard.kv_heads.end));
  proto.set_columns_begin(static_cast<int32_t>(shard.columns.begin));
  proto.set_columns_end(static_cast<int32_t>(shard.columns.end));
  proto.set_vocabulary_begin(static_cast<int32_t>(shard.vocabulary.begin));
  proto.set_vocabulary_end(static_cast<int32_t>(shard.vocabulary.end));
  proto.set_weight_bytes(weight_bytes);
  return proto;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Rank>> Rank::Open(const RankOptions& options, Communicator* ranks) {
  std::unique_ptr<Rank> rank(new Rank(options, ranks));
  UNMASK_RETURN_IF_ERROR(Agree(rank->ReadCheckpoint(), ranks));
  UNMASK_ASSIGN_OR_RETURN(const Precision precision, rank->ChoosePrecision());
  rank->Describe(precision);
  UNMASK_RETURN_IF_ERROR(Agree(rank->OpenDevice(precision), ranks));
  UNMASK_RETURN_IF_ERROR(Agree(rank->ConnectDevices(), ranks));
  return rank;
}

absl::Status Rank::ReadCheckpoint() {
  if (access(options_.model.c_str(), F_OK) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) {
      return absl::ErrnoToStatus(errno, absl::StrCat("model folder ", options_.model));
    }
    return absl::InvalidArgumentError(absl::StrCat("model folder ", options_.model, " does not exist"));
  }
  const std::string& digest = options_.weights_digest;
  if (!digest.empty() && (digest.size() != 32 || digest.find_first_not_of("0123456789abcdef") != std::string::npos)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "weights-digest \"", digest, "\" is not 32 digits of 0-9 and a-f, as in \"numerics\" after \"weights:\""));
  }
  UNMASK_ASSIGN_OR_RETURN(config_, ReadConfig(options_.model));
  UNMASK_ASSIGN_OR_RETURN(checkpoint_, Checkpoint::Open(options_.model));
  UNMASK_RETURN_IF_ERROR(CheckTensors(*checkpoint_, config_));
  UNMASK_ASSIGN_OR_RETURN(shard_, MakeShard(config_.heads, config_.kv_heads, config_.mlp_size, config_.embedding_size,
                                            ranks_->size(), ranks_->rank()));
  const int32_t largest = 2 * config_.max_sequence_length;
  max_rows_ = options_.max_rows > 0 ? options_.max_rows : largest;
  if (max_rows_ < largest) {
    return absl::InvalidArgumentError(absl::StrCat("max-rows ", max_rows_,
                                                   " is less than both branches of a canvas of ",
                                                   config_.max_sequence_length, " positions"));
  }
  return absl::OkStatus();
}

absl::Status Rank::CheckDigest() const {
  if (options_.weights_digest.empty() || options_.weights_digest == weights_.digest) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(absl::StrJoin(checkpoint_->Paths(), ", "),
                                          " with config.json: weights digest ", weights_.digest, " over ",
                                          ranks_->size(), " rank(s), expected ", options_.weights_digest));
}

absl::StatusOr<Rank::Precision> Rank::ChoosePrecision() {
  const std::string& name = options_.dtype;
  if (name == "fp32") return Precision{DType::kF32};
  if (name == "bf16") return Precision{DType::kBf16};
  if (name != "auto" && name != "int8") {
    return absl::InvalidArgumentError(absl::StrCat("dtype \"", name, "\" is none of auto, fp32, bf16, int8"));
  }
  const bool int8 = name == "int8";
  const bool native = ComputesBf16(options_.device) && (int8 || checkpoint_->MatricesAre(DType::kBf16));
  return Precision{AllRanks(native) ? DType::kBf16 : DType::kF32, int8};  // Hosts may differ.
}

bool Rank::AllRanks(bool own) {
  bool all = true;
  for (const std::string& answer : ranks_->AllGather(own ? "yes" : "no")) all &= answer == "yes";
  return all;
}

void Rank::Describe(const Precision& precision) {
  v1::Rank own;
  own.set_rank(ranks_->rank());
  own.set_host(HostName());
  own.set_pid(getpid());
  own.set_device(options_.device);
  const int64_t item = ByteSize(precision.dtype);
  *own.mutable_shard() = ToProto(shard_, SliceElements(config_, shard_) * item);
  *description_.mutable_shape() = ToProto(config_);
  description_.set_dtype(precision.int8 ? "int8" : Name(precision.dtype));
  ranks_here_ = rank_here_ = 0;
  for (const v1::Rank& rank : GatherMessages(own, ranks_)) {
    if (rank.host() == own.host() && rank.rank() < own.rank()) ++rank_here_;
    if (rank.host() == own.host()) ++ranks_here_;
    *description_.add_ranks() = rank;
  }
}

absl::Status Rank::OpenDevice(const Precision& precision) {
  BackendOptions options;
  options.compute_dtype = precision.dtype;
  options.int8 = precision.int8;
  options.threads = options_.threads > 0 ? options_.threads : std::max(1, AllowedCores() / SharersHere());
  options.host_rank = options_.host_replica * ranks_here_ + rank_here_;
  options.host_ranks = SharersHere();
  UNMASK_ASSIGN_OR_RETURN(backend_, OpenBackend(options_.device, options));
  if (config_.head_dim() > backend_->max_head_dim()) {
    return absl::UnimplementedError(absl::StrCat("head_dim ", config_.head_dim(), " is more than the ",
                                                 backend_->max_head_dim(), " that device ", options_.device,
                                                 " computes"));
  }
  return absl::OkStatus();
}

// Whether there are devices to connect is the same on every rank: all have asked for the same kind.
absl::Status Rank::ConnectDevices() {
  if (backend_->queue() == nullptr || ranks_->size() == 1) return absl::OkStatus();
  UNMASK_ASSIGN_OR_RETURN(devices_, DeviceCommunicator(backend_.get(), ranks_));
  return absl::OkStatus();
}

absl::Status Rank::Load(const LoadingProgress& progress) {
  UNMASK_ASSIGN_OR_RETURN(weights_, LoadWeights(*checkpoint_, config_, shard_, backend_.get(), ranks_, progress));
  UNMASK_RETURN_IF_ERROR(CheckDigest());
  checkpoint_ = nullptr;

  const DType dtype = backend_->compute_dtype();
  const int64_t kv_columns = shard_.kv_heads.size() * config_.head_dim();
  KvMemory memory;
  memory.limit = options_.kv_memory;
  const int64_t activations = Model::ActivationBytes(config_, shard_, max_rows_, dtype);
  const int64_t left = backend_->FreeMemory().value_or(AvailableMemory() / SharersHere());
  memory.available = std::max<int64_t>(0, left - activations);
  memory.position_bytes = KvCache::PositionBytes(config_.layers, kv_columns, dtype);
  memory.max_sequence_length = config_.max_sequence_length;
  const absl::StatusOr<int64_t> positions = KvPositions(memory);
  UNMASK_RETURN_IF_ERROR(Agree(positions.status(), ranks_));
  int64_t capacity = *positions;  // The least of all ranks: each must be able to hold what one holds.
  for (const std::string& other : ranks_->AllGather(absl::StrCat(capacity))) {
    capacity = std::min<int64_t>(capacity, std::stoll(other));
  }

  Communicator* const sums = devices_ != nullptr ? devices_.get() : ranks_;
  auto model = Model::Make(config_, shard_, weights_, max_rows_, backend_.get(), sums);
  UNMASK_RETURN_IF_ERROR(Agree(model.status(), ranks_));
  model_ = *std::move(model);
  kv_ = std::make_unique<KvCache>(backend_.get(), config_.layers, kv_columns, capacity);
  const StepLimits limits = {config_.embedding_size, config_.max_sequence_length, max_rows_};
  engine_ = std::make_unique<Engine>(limits, model_.get(), kv_.get(), backend_.get(), ranks_);
  UNMASK_ASSIGN_OR_RETURN(const std::chrono::nanoseconds row_time, WarmUp(config_, engine_.get()));
  ready_.set_warm_up_row_nanos(row_time.count());
  Announce(capacity);
  return absl::OkStatus();
}

void Rank::Announce(int64_t kv_positions) {
  std::set<std::string> devices;  // One, unless hosts differ.
  for (const std::string& device : ranks_->AllGather(backend_->Numerics())) devices.insert(device);
  ready_.set_numerics(absl::StrCat("weights:", weights_.digest, " dtype:", description_.dtype(), " ranks:",
                                   ranks_->size(), " ", absl::StrJoin(devices, " | "), " unmask:", kNumericsRevision));
  ready_.set_kv_positions(kv_positions);
  ready_.set_max_rows(max_rows_);
  v1::Rank own = description_.ranks(ranks_->rank());
  own.mutable_shard()->set_weight_bytes(weights_.bytes);
  for (const v1::Rank& rank : GatherMessages(own, ranks_)) *ready_.add_ranks() = rank;
}

}  // namespace unmask
