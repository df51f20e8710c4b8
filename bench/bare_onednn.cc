#include "bench/bare_onednn.h"

#include <algorithm>
#include <chrono>
#include <dnnl.hpp>
#include <map>
#include <thread>
#include <tuple>
#include <utility>

#include "kernels/cpu/huge_pages.h"

extern "C" void omp_set_num_threads(int threads);

namespace unmask::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Type = dnnl::memory::data_type;
using Tag = dnnl::memory::format_tag;

double Since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

struct Types {
  Type in, weight, out;
};
Types TypesOf(ProductType type) {
  switch (type) {
    case ProductType::kF32:
      return {Type::f32, Type::f32, Type::f32};
    case ProductType::kBf16:
      return {Type::bf16, Type::bf16, Type::bf16};
    case ProductType::kInt8:
      break;
  }
  return {Type::s8, Type::s8, Type::s32};
}

class Bare : public BareOneDnn {
 public:
  Bare(ProductType type, const std::vector<ProductShape>& shapes, int threads) : threads_(threads) {
    omp_set_num_threads(threads_);
    const Types types = TypesOf(type);
    int64_t widest_in = 0, widest_out = 0;
    for (const ProductShape& shape : shapes) {
      widest_in = std::max(widest_in, shape.rows * shape.inputs);
      widest_out = std::max(widest_out, shape.rows * shape.outputs);
    }
    in_.assign(widest_in * 4, 1);
    out_.assign(widest_out * 4, 0);
    for (const ProductShape& s : shapes) {
      const dnnl::memory::desc in({s.rows, s.inputs}, types.in, Tag::ab);
      const dnnl::memory::desc weight({s.inputs, s.outputs}, types.weight, Tag::any);
      const dnnl::memory::desc out({s.rows, s.outputs}, types.out, Tag::ab);
      const dnnl::matmul::primitive_desc description({in, weight, out}, engine_);
      const auto key = std::make_tuple(s.rows, s.outputs, s.inputs);
      if (primitives_.count(key) == 0) primitives_.emplace(key, dnnl::matmul(description));
      weights_.emplace_back(description.weights_desc().get_size(), 1);
      const dnnl::memory packed(description.weights_desc(), engine_, weights_.back().data());
      calls_.push_back({&primitives_.at(key),
                        {{DNNL_ARG_SRC, dnnl::memory(in, engine_, in_.data())},
                         {DNNL_ARG_WEIGHTS, packed},
                         {DNNL_ARG_DST, dnnl::memory(out, engine_, out_.data())}}});
    }
  }

  double Run() override {
    omp_set_num_threads(threads_);
    const Clock::time_point begin = Clock::now();
    for (const Call& call : calls_) call.primitive->execute(stream_, call.arguments);
    stream_.wait();
    return Since(begin);
  }

 private:
  struct Call {
    const dnnl::matmul* primitive;
    std::unordered_map<int, dnnl::memory> arguments;
  };

  const int threads_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::map<std::tuple<int64_t, int64_t, int64_t>, dnnl::matmul> primitives_;
  std::vector<HugePageVector<char>> weights_;  // In such pages as ours.
  std::vector<char> in_, out_;
  std::vector<Call> calls_;
};

}  // namespace

std::unique_ptr<BareOneDnn> MakeBareOneDnn(ProductType type, const std::vector<ProductShape>& shapes, int threads) {
  return std::make_unique<Bare>(type, shapes, threads);
}

std::vector<ProductShape> StepShapes(int64_t hidden, int64_t layers, int64_t mlp, int64_t rows, int64_t sampled) {
  std::vector<ProductShape> shapes;
  for (int64_t layer = 0; layer < layers; ++layer) {
    const bool last = layer + 1 == layers;
    const int64_t rest = last ? sampled : rows;
    if (last) {
      shapes.push_back({rows, 2 * hidden, hidden});
      shapes.push_back({rest, hidden, hidden});
    } else {
      shapes.push_back({rows, 3 * hidden, hidden});
    }
    shapes.push_back({rest, hidden, hidden});
    shapes.push_back({rest, 2 * mlp, hidden});
    shapes.push_back({rest, hidden, mlp});
  }
  return shapes;
}

double ReadBandwidth(int threads) {
  constexpr int64_t kWords = int64_t{1} << 26;  // 512 MB: beyond any cache here.
  const std::vector<uint64_t> words(kWords, 1);
  std::vector<uint64_t> sums(threads);
  double best = 1e9;
  for (int repetition = 0; repetition < 5; ++repetition) {
    const Clock::time_point begin = Clock::now();
    std::vector<std::thread> readers;
    for (int t = 0; t < threads; ++t) {
      readers.emplace_back([&, t] {
        uint64_t sum = 0;
        for (int64_t i = kWords * t / threads; i < kWords * (t + 1) / threads; ++i) sum += words[i];
        sums[t] = sum;
      });
    }
    for (std::thread& reader : readers) reader.join();
    best = std::min(best, Since(begin));
  }
  uint64_t total = 0;
  for (const uint64_t sum : sums) total += sum;
  return total == kWords ? kWords * sizeof(uint64_t) / best : 0;
}

}  // namespace unmask::bench
