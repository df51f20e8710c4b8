// What oneDNN reaches alone: the matrix products of one step, each one primitive over a weight of its own (so that
// weights come from memory, not from a cache), on oneDNN's own OpenMP threads, with nothing between them. The ceiling
// of a step.
#ifndef UNMASK_BENCH_BARE_ONEDNN_H_
#define UNMASK_BENCH_BARE_ONEDNN_H_

#include <cstdint>
#include <memory>
#include <vector>

namespace unmask::bench {

enum class ProductType { kF32, kBf16, kInt8 };  // kBf16 writes bf16, kInt8 writes int32.

struct ProductShape {
  int64_t rows, outputs, inputs;
};

class BareOneDnn {
 public:
  virtual ~BareOneDnn() = default;
  // Seconds of all products, once. Throws dnnl::error.
  virtual double Run() = 0;
};

// All shapes in the order they run; each gets its own weight.
std::unique_ptr<BareOneDnn> MakeBareOneDnn(ProductType type, const std::vector<ProductShape>& shapes, int threads);

// The layers' products of one step: `rows` positions computed, `sampled` of them chosen from (the last layer's queries
// and MLP are for these alone).
std::vector<ProductShape> StepShapes(int64_t hidden, int64_t layers, int64_t mlp, int64_t rows, int64_t sampled);

// Bytes a second that `threads` threads read from memory.
double ReadBandwidth(int threads);

}  // namespace unmask::bench

#endif  // UNMASK_BENCH_BARE_ONEDNN_H_
