// The keys and values of the sequences that this rank has seen: one slot for each branch of each sequence, for all
// layers and for the whole canvas, reserved at the sequence's first window. Nothing is ever evicted: a length is known
// when it begins.
#ifndef UNMASK_WORKER_KV_CACHE_H_
#define UNMASK_WORKER_KV_CACHE_H_

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/backend.h"

namespace unmask {

// What a sequence reserves.
struct KvRequest {
  uint64_t sequence = 0;
  int32_t length = 0;   // Positions.
  bool guided = false;  // Guidance's second branch has a slot of its own.
  int64_t positions() const { return int64_t{length} * (guided ? 2 : 1); }
};

struct KvEntry {
  KvRequest request;
  int32_t filled = 0;  // Positions [0, filled) hold keys and values.
  KvSlot conditional;
  KvSlot unconditional;                         // Where guided.
  std::vector<std::unique_ptr<Buffer>> memory;  // Of both.
};

class KvCache {
 public:
  // capacity: positions, over all slots. columns: of a key, over this rank's K/V heads.
  KvCache(Backend* backend, int32_t layers, int64_t columns, int64_t capacity)
      : backend_(backend), layers_(layers), columns_(columns), capacity_(capacity) {}

  // Bytes of one position.
  static int64_t PositionBytes(int32_t layers, int64_t columns, DType dtype) {
    return 2 * int64_t{layers} * columns * static_cast<int64_t>(ByteSize(dtype));
  }

  // Null where the sequence holds nothing. Valid until its Release.
  KvEntry* Find(uint64_t sequence);
  const KvEntry* Find(uint64_t sequence) const;

  // For sequences that hold nothing and fit. RESOURCE_EXHAUSTED where the backend has no memory after all.
  absl::Status Reserve(absl::Span<const KvRequest> requests);

  // Unknown sequences are fine: a release may follow a reconnection.
  void Release(uint64_t sequence);
  void Clear();

  int64_t capacity() const { return capacity_; }
  int64_t used() const { return used_; }

 private:
  absl::Status ReserveOne(const KvRequest& request);
  absl::Status MakeSlot(int32_t length, KvEntry* entry, KvSlot* slot);

  Backend* const backend_;
  const int32_t layers_;
  const int64_t columns_;
  const int64_t capacity_;
  int64_t used_ = 0;
  std::unordered_map<uint64_t, std::unique_ptr<KvEntry>> entries_;
};

}  // namespace unmask

#endif  // UNMASK_WORKER_KV_CACHE_H_
