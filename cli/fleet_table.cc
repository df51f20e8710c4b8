#include "cli/fleet_table.h"

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/generation_flags.h"
#include "cli/table.h"

namespace unmask {
namespace {

using Rows = std::vector<std::vector<std::string>>;

std::string Range(int begin, int end) { return absl::StrCat(begin, "-", end - 1, " (", end - begin, ")"); }

std::string StateText(const v1::ReplicaStatus& replica) {
  const auto* value = v1::ReplicaState_descriptor()->FindValueByNumber(replica.state());
  std::string state = value == nullptr ? absl::StrCat("state ", replica.state()) : EnumFlagName(*value);
  if (replica.state() == v1::REPLICA_STATE_STARTING && replica.loading().bytes_total() > 0) {
    absl::StrAppendFormat(&state, " %.0f%%", 100.0 * replica.loading().bytes_done() / replica.loading().bytes_total());
  }
  return state;
}

std::string Used(int64_t used, int64_t capacity) {
  if (capacity <= 0) return "-";
  return absl::StrFormat("%d/%d (%.0f%%)", used, capacity, 100.0 * used / capacity);
}

std::string Thousands(int64_t n) {
  std::string digits = absl::StrCat(n);
  for (int i = static_cast<int>(digits.size()) - 3; i > (n < 0 ? 1 : 0); i -= 3) digits.insert(i, ",");
  return digits;
}

std::string Requests(int count) { return absl::StrCat(count, count == 1 ? " request" : " requests"); }

struct Rates {
  double steps = 0;  // A second.
  double tokens = 0;
};

// Nothing for a replica that was not there, or in an earlier life of it.
std::optional<Rates> RatesOf(const v1::ReplicaStatus& replica, const FleetBefore& before) {
  for (const v1::ReplicaStatus& then : before.fleet.replicas()) {
    if (then.name() != replica.name() || then.epoch() != replica.epoch() || before.seconds <= 0) continue;
    if (then.steps() > replica.steps() || then.tokens() > replica.tokens()) continue;  // Another coordinator's count.
    return Rates{static_cast<double>(replica.steps() - then.steps()) / before.seconds,
                 static_cast<double>(replica.tokens() - then.tokens()) / before.seconds};
  }
  return std::nullopt;
}

// What all replicas do together.
std::string Summary(const v1::GetFleetResponse& fleet, const FleetBefore* before) {
  int ready = 0;
  int running = 0;
  int restarts = 0;
  Rates total;
  for (const v1::ReplicaStatus& replica : fleet.replicas()) {
    ready += replica.state() == v1::REPLICA_STATE_READY;
    running += replica.running();
    restarts += replica.restarts();
    if (before == nullptr) continue;
    const Rates rates = RatesOf(replica, *before).value_or(Rates());
    total.steps += rates.steps;
    total.tokens += rates.tokens;
  }
  std::string line = absl::StrCat(ready, " of ", fleet.replicas_size(), " ready, ", Requests(running), " running, ",
                                  Requests(fleet.queued()), " queued");
  if (before != nullptr) {
    absl::StrAppendFormat(&line, ", %.1f steps/s, %.1f tokens/s", total.steps, total.tokens);
  }
  return absl::StrCat(line, ", ", restarts, restarts == 1 ? " restart\n" : " restarts\n");
}

}  // namespace

std::string FormatFleet(const v1::GetFleetResponse& fleet, bool shards, const FleetBefore* before) {
  if (fleet.replicas().empty()) return absl::StrCat("no replica has connected yet; ", fleet.queued(), " queued\n");
  Rows replicas = {{"REPLICA", "STATE", "MODEL", "RANKS", "RUNNING", "STEPS"}};
  if (before != nullptr) replicas[0].insert(replicas[0].end(), {"STEPS/S", "TOKENS/S"});
  replicas[0].insert(replicas[0].end(), {"K/V", "EPOCH", "RESTARTS", "LAUNCHER"});
  Rows ranks = {{"REPLICA", "RANK", "HOST", "PID", "DEVICE"}};
  if (shards) {
    for (const char* column : {"HEADS", "K/V HEADS", "COLUMNS", "VOCABULARY", "WEIGHTS"}) ranks[0].push_back(column);
  }
  for (const v1::ReplicaStatus& replica : fleet.replicas()) {
    replicas.push_back({replica.name(), StateText(replica), replica.model(), absl::StrCat(replica.ranks_size()),
                        absl::StrCat(replica.running()), absl::StrCat(replica.steps())});
    if (before != nullptr) {
      const std::optional<Rates> rates = RatesOf(replica, *before);
      replicas.back().push_back(rates ? absl::StrFormat("%.1f", rates->steps) : "-");
      replicas.back().push_back(rates ? absl::StrFormat("%.1f", rates->tokens) : "-");
    }
    replicas.back().insert(
        replicas.back().end(),
        {Used(replica.kv_positions_used(), replica.kv_positions()), absl::StrCat(replica.epoch()),
         absl::StrCat(replica.restarts()), replica.launcher_pid() > 0 ? absl::StrCat(replica.launcher_pid()) : "-"});
    for (const v1::Rank& rank : replica.ranks()) {
      ranks.push_back(
          {replica.name(), absl::StrCat(rank.rank()), rank.host(), absl::StrCat(rank.pid()), rank.device()});
      if (!shards) continue;
      const v1::Shard& s = rank.shard();
      for (std::string& cell : std::vector<std::string>{
               Range(s.heads_begin(), s.heads_end()), Range(s.kv_heads_begin(), s.kv_heads_end()),
               Range(s.columns_begin(), s.columns_end()), Range(s.vocabulary_begin(), s.vocabulary_end()),
               FormatBytes(static_cast<double>(s.weight_bytes()))}) {
        ranks.back().push_back(std::move(cell));
      }
    }
  }
  std::string out = FormatTable(replicas);
  if (ranks.size() > 1) absl::StrAppend(&out, "\n", FormatTable(ranks));
  return absl::StrCat(out, "\n", Summary(fleet, before));
}

std::string FormatModel(const v1::Model& model) {
  const v1::SpecialTokens& tokens = model.special_tokens();
  std::string special = absl::StrCat("mask ", tokens.mask(), ", eos ", tokens.eos());
  if (tokens.has_eot()) absl::StrAppend(&special, ", eot ", tokens.eot());
  if (tokens.has_bos()) absl::StrAppend(&special, ", bos ", tokens.bos());
  if (tokens.has_pad()) absl::StrAppend(&special, ", pad ", tokens.pad());
  const Rows rows = {
      {"name", model.name()},
      {"architecture", model.architecture()},
      {"parameters", Thousands(model.parameters())},
      {"layers", absl::StrCat(model.layers())},
      {"hidden size", absl::StrCat(model.hidden_size())},
      {"heads", absl::StrCat(model.heads(), " (", model.kv_heads(), " for keys and values)")},
      {"vocabulary", absl::StrCat(model.vocab_size(), " (", model.embedding_size(), " rows)")},
      {"longest sequence", absl::StrCat(model.max_sequence_length(), " tokens")},
      {"special tokens", special},
      {"tokenizer", model.has_tokenizer() ? "yes" : "no: ids in, ids out"},
      {"chat template", model.has_chat_template() ? "yes" : "no"},
      {"dtype", model.dtype()},
      {"tensor parallel", absl::StrCat(model.tensor_parallel())},
      {"numerics", model.numerics()},
      {"ready", model.ready() ? "yes" : "no"},
  };
  return FormatTable(rows);
}

}  // namespace unmask
