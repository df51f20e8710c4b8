#include <nccl.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cluster/communicator.h"

using unmask::testing::TheStandIn;

struct StandInComm {
  int ranks, rank;
};

namespace unmask::testing {

StandIn& TheStandIn() {
  static StandIn standin;
  return standin;
}

}  // namespace unmask::testing

namespace {

struct Message {
  void* at;
  size_t bytes;
  int peer;
};
std::vector<Message> sent, received, broadcast;
bool grouped = false;
int waits = 0;

ncclResult_t Note(const std::string& call) {
  TheStandIn().calls.push_back(call);
  waits = TheStandIn().begin_late;
  return waits > 0 ? ncclInProgress : ncclSuccess;
}

// Everybody's bytes, after the stream's earlier work.
void Exchange(cudaStream_t stream, std::string (*pack)(const std::vector<Message>&), std::vector<Message> out,
              std::vector<Message> in, void (*take)(const std::vector<std::string>&, const std::vector<Message>&)) {
  unmask::emulated::Issue(stream, [=] { take(TheStandIn().ranks->AllGather(pack(out)), in); });
}

std::string Concatenated(const std::vector<Message>& messages) {
  std::string bytes;
  for (const Message& message : messages) bytes.append(static_cast<const char*>(message.at), message.bytes);
  return bytes;
}

cudaStream_t stream_of_group = nullptr;

}  // namespace

const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclRemoteError ? "remote error" : "internal error";
}
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) { return std::memset(id, 7, sizeof *id), ncclSuccess; }
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t* config) {
  if (id.internal[127] != 7) return ncclInternalError;  // Not rank 0's.
  TheStandIn().blocking = config->blocking != 0;
  *comm = new StandInComm{ranks, rank};
  Note("Init");
  return ncclInProgress;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t* error) {
  *error = waits-- > 0 ? ncclInProgress : TheStandIn().answer;
  return ncclSuccess;
}
// Kernels that wait for a peer end with it.
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  // The library's own waits for ever while a graph holds an exchange.
  TheStandIn().calls.push_back(unmask::emulated::Counted().graphs > 0 ? "Abort, hanging" : "Abort");
  unmask::emulated::Stuck() = false;
  return delete comm, ncclSuccess;
}

ncclResult_t ncclGroupStart() { return grouped = true, ncclSuccess; }
ncclResult_t ncclGroupEnd() {
  grouped = false;
  if (!sent.empty()) {
    // Each peer's part lies where the ranks before it ended; all sizes of one sender are known to its receivers by
    // their own order: sender p's message to rank r is the r-th.
    Exchange(
        stream_of_group,
        [](const std::vector<Message>& out) {
          std::string bytes;
          for (const Message& message : out) {
            const uint64_t size = message.bytes;
            bytes.append(reinterpret_cast<const char*>(&size), sizeof size);
          }
          return bytes + Concatenated(out);
        },
        sent, received,
        [](const std::vector<std::string>& all, const std::vector<Message>& in) {
          const int own = TheStandIn().ranks->rank();
          for (const Message& message : in) {
            const std::string& from = all[message.peer];
            size_t at = all.size() * sizeof(uint64_t);
            for (int peer = 0; peer < own; ++peer) {
              uint64_t size;
              std::memcpy(&size, from.data() + peer * sizeof size, sizeof size);
              at += size;
            }
            std::memcpy(message.at, from.data() + at, message.bytes);
          }
        });
  }
  for (const Message& message : broadcast) {
    Exchange(stream_of_group, Concatenated, {message}, {message},
             [](const std::vector<std::string>& all, const std::vector<Message>& in) {
               std::memcpy(in[0].at, all[in[0].peer].data(), in[0].bytes);
             });
  }
  sent.clear(), received.clear(), broadcast.clear();
  return Note("Group");
}
ncclResult_t ncclSend(const void* from, size_t count, ncclDataType_t, int peer, ncclComm_t, cudaStream_t stream) {
  stream_of_group = stream;
  return sent.push_back({const_cast<void*>(from), count * sizeof(float), peer}), ncclSuccess;
}
ncclResult_t ncclRecv(void* to, size_t count, ncclDataType_t, int peer, ncclComm_t, cudaStream_t) {
  return received.push_back({to, count * sizeof(float), peer}), ncclSuccess;
}
ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t, int root, ncclComm_t,
                           cudaStream_t stream) {
  if (from != to) return ncclInternalError;
  stream_of_group = stream;
  return broadcast.push_back({to, count * sizeof(float), root}), ncclSuccess;
}
ncclResult_t ncclAllGather(const void* from, void* to, size_t count, ncclDataType_t, ncclComm_t, cudaStream_t stream) {
  Exchange(stream, Concatenated, {{const_cast<void*>(from), count * sizeof(float), 0}}, {{to, 0, 0}},
           [](const std::vector<std::string>& all, const std::vector<Message>& in) {
             char* next = static_cast<char*>(in[0].at);
             for (const std::string& part : all) next = std::copy(part.begin(), part.end(), next);
           });
  return Note("AllGather");
}
