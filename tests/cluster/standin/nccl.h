// The part of NCCL that cluster/nccl.cc asks for, as a stand-in that records: exchanges go over the ranks' own
// communicator, through host memory, and a test can make them fail, or never end (standin.cc).
#ifndef UNMASK_TESTS_CLUSTER_STANDIN_NCCL_H_
#define UNMASK_TESTS_CLUSTER_STANDIN_NCCL_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <string>
#include <vector>

enum ncclResult_t { ncclSuccess, ncclInternalError, ncclRemoteError, ncclInProgress };
enum ncclDataType_t { ncclFloat32 };
using ncclComm_t = struct StandInComm*;
struct ncclUniqueId {
  char internal[128];
};
struct ncclConfig_t {
  int blocking;
};
#define NCCL_CONFIG_INITIALIZER \
  { 1 }

const char* ncclGetErrorString(ncclResult_t result);
ncclResult_t ncclGetUniqueId(ncclUniqueId* id);
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t* config);
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error);
ncclResult_t ncclCommAbort(ncclComm_t comm);
ncclResult_t ncclGroupStart();
ncclResult_t ncclGroupEnd();
ncclResult_t ncclAllGather(const void* from, void* to, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream);
ncclResult_t ncclSend(const void* from, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream);
ncclResult_t ncclRecv(void* to, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream);
ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                           cudaStream_t stream);

namespace unmask {
class Communicator;
namespace testing {

struct StandIn {
  Communicator* ranks = nullptr;      // What bytes travel by.
  ncclResult_t answer = ncclSuccess;  // What ncclCommGetAsyncError tells from now on.
  int begin_late = 0;                 // So many questions are answered "in progress" after each call.
  std::vector<std::string> calls;     // "AllGather 12", "Abort", …
  bool blocking = true;               // As asked for.
};
StandIn& TheStandIn();

}  // namespace testing
}  // namespace unmask

#endif  // UNMASK_TESTS_CLUSTER_STANDIN_NCCL_H_
