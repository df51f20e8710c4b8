#include "worker/kv_cache.h"

#include <utility>

#include "base/status.h"

namespace unmask {

const KvEntry* KvCache::Find(uint64_t sequence) const {
  const auto entry = entries_.find(sequence);
  return entry == entries_.end() ? nullptr : entry->second.get();
}

KvEntry* KvCache::Find(uint64_t sequence) {
  return const_cast<KvEntry*>(static_cast<const KvCache*>(this)->Find(sequence));
}

absl::Status KvCache::Reserve(absl::Span<const KvRequest> requests) {
  for (const KvRequest& request : requests) {
    UNMASK_RETURN_IF_ERROR(ReserveOne(request));
  }
  return absl::OkStatus();
}

absl::Status KvCache::ReserveOne(const KvRequest& request) {
  auto entry = std::make_unique<KvEntry>();
  entry->request = request;
  UNMASK_RETURN_IF_ERROR(MakeSlot(request.length, entry.get(), &entry->conditional));
  if (request.guided) {
    UNMASK_RETURN_IF_ERROR(MakeSlot(request.length, entry.get(), &entry->unconditional));
  }
  used_ += request.positions();
  entries_[request.sequence] = std::move(entry);
  return absl::OkStatus();
}

absl::Status KvCache::MakeSlot(int32_t length, KvEntry* entry, KvSlot* slot) {
  const DType dtype = backend_->compute_dtype();
  const int64_t rows = int64_t{layers_} * length;
  slot->length = length;
  for (Tensor* tensor : {&slot->keys, &slot->values}) {
    UNMASK_ASSIGN_OR_RETURN(auto memory, backend_->Allocate(rows * columns_ * static_cast<int64_t>(ByteSize(dtype))));
    *tensor = {dtype, rows, columns_, columns_, memory->data()};
    entry->memory.push_back(std::move(memory));
  }
  return absl::OkStatus();
}

void KvCache::Release(uint64_t sequence) {
  const auto entry = entries_.find(sequence);
  if (entry == entries_.end()) return;
  used_ -= entry->second->request.positions();
  entries_.erase(entry);
}

void KvCache::Clear() {
  entries_.clear();
  used_ = 0;
}

}  // namespace unmask
