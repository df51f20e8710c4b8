// A row's bits do not depend on the rows beside it nor on the number of threads: every operation over 300 rows with one
// thread is compared, bit for bit, with each of many parts of them with 1, 2 and 3 threads.
#include <algorithm>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/machines.h"
#include "tests/kernels/matrix.h"

namespace unmask::testing {
namespace {

constexpr int kRows = 300;

struct Part {
  int begin;
  int rows;
};
const Part kParts[] = {{0, 1},   {299, 1},  {7, 2},   {100, 3}, {11, 5},    {60, 7},  {1, 16},   {200, 17},
                       {30, 33}, {128, 64}, {90, 65}, {3, 127}, {120, 128}, {0, 129}, {50, 200}, {0, 300}};

class InvarianceTest : public ::testing::TestWithParam<Machine> {
 protected:
  // op(backend, part, out): the rows of `part` into out, (part.rows, columns).
  template <typename Operation>
  void ExpectSameBits(DType dtype, int64_t columns, const Operation& op) {
    const auto alone = GetParam().Open(1);
    Matrix all(dtype, kRows, columns);
    op(*alone, Part{0, kRows}, all.tensor());
    ASSERT_EQ(alone->Synchronize(), absl::OkStatus());
    for (const int threads : GetParam().threads) {
      const auto backend = GetParam().Open(threads);
      for (const Part& part : kParts) {
        Matrix out(dtype, part.rows, columns);
        op(*backend, part, out.tensor());
        ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
        for (int r = 0; r < part.rows; ++r) {
          ASSERT_EQ(out.RowBytes(r), all.RowBytes(part.begin + r))
              << "row " << part.begin + r << " among " << part.rows << " from " << part.begin << ", " << threads
              << " threads";
        }
      }
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Machines, InvarianceTest, ::testing::ValuesIn(AllMachines()),
                         [](const auto& info) { return info.param.name; });

Tensor Rows(const Matrix& matrix, const Part& part) { return matrix.tensor().Rows(part.begin, part.begin + part.rows); }

TEST_P(InvarianceTest, MatMul) {
  std::vector<std::pair<int, int>> shapes = {{64, 192}, {80, 13}, {1040, 300}};
  // With AMX, oneDNN cuts sums of this length by the number of rows, those of 32 rows otherwise than those of 64.
  if (GetParam().onednn) shapes.emplace_back(6144, 200);
  for (const auto& [inputs, outputs] : shapes) {
    Matrix in(GetParam().dtype, kRows, inputs, 16), weight(DType::kF32, outputs, inputs);
    in.FillNormal(1);
    weight.FillNormal(2);
    ExpectSameBits(DType::kF32, outputs, [&](Backend& backend, const Part& part, const Tensor& out) {
      const auto packed = backend.Pack({weight.tensor()});
      backend.MatMul(Rows(in, part), **packed, out);
    });
  }
}

// In one as in two, of widths that can be taken panel by panel and others.
TEST_P(InvarianceTest, MatMulSwiGlu) {
  const DType dtype = GetParam().dtype;
  for (const int columns : {90, 512}) {
    Matrix in(dtype, kRows, 64, 16), weight(DType::kF32, 2 * columns, 64), gate_up(DType::kF32, kRows, 2 * columns);
    in.FillNormal(1);
    weight.FillNormal(2);
    const auto in_one = [&](Backend& backend, const Part& part, const Tensor& out) {
      const auto packed = backend.Pack({weight.tensor()});
      backend.MatMulSwiGlu(Rows(in, part), **packed, Rows(gate_up, part), out);
    };
    ExpectSameBits(dtype, columns, in_one);

    Matrix one(dtype, kRows, columns), two(dtype, kRows, columns);
    const auto backend = GetParam().Open(2);
    in_one(*backend, Part{0, kRows}, one.tensor());
    const auto packed = backend->Pack({weight.tensor()});
    backend->MatMul(in.tensor(), **packed, gate_up.tensor());
    backend->SwiGlu(gate_up.tensor(), two.tensor());
    ASSERT_EQ(backend->Synchronize(), absl::OkStatus());
    for (int r = 0; r < kRows; ++r) EXPECT_EQ(one.RowBytes(r), two.RowBytes(r)) << columns << ", row " << r;
  }
}

TEST_P(InvarianceTest, RmsNormAndSwiGlu) {
  Matrix in(DType::kF32, kRows, 180), weight(DType::kF32, 1, 180);
  in.FillNormal(1);
  weight.FillNormal(2);
  ExpectSameBits(GetParam().dtype, 180, [&](Backend& backend, const Part& part, const Tensor& out) {
    backend.RmsNorm(Rows(in, part), weight.tensor(), 1e-5f, out);
  });
  ExpectSameBits(GetParam().dtype, 90,
                 [&](Backend& backend, const Part& part, const Tensor& out) { backend.SwiGlu(Rows(in, part), out); });
}

// Two sequences, and the rows of a part split between them as they fall; horizons differ within the first.
TEST_P(InvarianceTest, RotateAndAttend) {
  constexpr int kHeads = 3, kHeadDim = 34, kSplit = 110, kLength = 200;
  const DType dtype = GetParam().dtype;
  Matrix keys(dtype, kLength, kHeadDim), values(dtype, kLength, kHeadDim);
  keys.FillNormal(1);
  values.FillNormal(2);
  const KvSlot first{kLength, keys.tensor(), values.tensor()}, second{kLength, values.tensor(), keys.tensor()};
  const auto layout_of = [&](const Part& part) {
    RowLayout layout;
    for (int r = part.begin; r < part.begin + part.rows; ++r) {
      layout.positions.push_back(r % kLength);
      layout.horizons.push_back(r < 40 ? r + 1 : r < 80 ? 130 : kLength);
    }
    const int split = std::clamp(kSplit - part.begin, 0, part.rows);
    layout.groups = {{0, split, &first}, {split, part.rows, &second}};
    return layout;
  };
  Matrix q(DType::kF32, kRows, kHeads * kHeadDim);
  q.FillNormal(3);
  ExpectSameBits(dtype, kHeads * kHeadDim, [&](Backend& backend, const Part& part, const Tensor& out) {
    backend.Attend(layout_of(part), 0, kHeads, kHeadDim, {}, Rows(q, part), out);
  });

  // Rotation, of which the queries are compared; at a position for each row, so that no two write the same K/V.
  Matrix scratch_keys(dtype, kRows, kHeadDim), scratch_values(dtype, kRows, kHeadDim);
  const KvSlot scratch{kRows, scratch_keys.tensor(), scratch_values.tensor()};
  Matrix qkv(DType::kF32, kRows, 3 * kHeadDim);
  qkv.FillNormal(4);
  ExpectSameBits(DType::kF32, 3 * kHeadDim, [&](Backend& backend, const Part& part, const Tensor& out) {
    std::vector<int32_t> rows;
    for (int r = 0; r < part.rows; ++r) rows.push_back(part.begin + r);
    backend.TakeRows(qkv.tensor(), rows, out);
    RowLayout layout = layout_of(part);
    for (RowLayout::Group& group : layout.groups) group.slot = &scratch;
    std::copy(rows.begin(), rows.end(), layout.positions.begin());
    backend.RotateAndStore(layout, 0, 1, 1, kHeadDim, 10000, out);
  });
}

TEST_P(InvarianceTest, PickCandidates) {
  Matrix hidden(GetParam().dtype, kRows, 80), head(DType::kF32, 1500, 80);
  hidden.FillNormal(1);
  head.FillNormal(2);
  const std::vector<int32_t> suppressed = {3, 500}, unconfident = {7};
  // A record is compared as the row of a matrix.
  static_assert(sizeof(CandidateRecord) % sizeof(float) == 0);
  ExpectSameBits(
      DType::kF32, sizeof(CandidateRecord) / sizeof(float), [&](Backend& backend, const Part& part, const Tensor& out) {
        const auto packed = backend.Pack({head.tensor()});
        std::vector<SampleSpec> specs;
        for (int r = part.begin; r < part.begin + part.rows; ++r) {
          SampleSpec spec{.row = r, .temperature = r % 3 * 0.5f, .seed = 1, .position = static_cast<uint32_t>(r)};
          if (r % 4 == 1) spec.unconditional_row = (r * 7) % kRows, spec.cfg_scale = 2;
          if (r % 5 == 2) spec.suppressed = suppressed, spec.unconfident = unconfident;
          specs.push_back(spec);
        }
        backend.PickCandidates(hidden.tensor(), **packed, 0, specs,
                               absl::MakeSpan(static_cast<CandidateRecord*>(out.data), specs.size()));
      });
}

}  // namespace
}  // namespace unmask::testing
