// Cosines and sines of the rotary angles a_i = position * theta^(-2i/head_dim), computed once a position.
//
// As the reference has them: the inverse frequency and the angle each rounded to fp32, then the cosine and sine of that
// angle.
#ifndef UNMASK_KERNELS_ANGLES_H_
#define UNMASK_KERNELS_ANGLES_H_

#include <cstdint>
#include <vector>

namespace unmask {

class AngleTable {
 public:
  // Makes the table hold positions [0, positions) for this theta and head size; keeps what it has.
  void Grow(float theta, int head_dim, int64_t positions);

  // head_dim / 2 floats.
  const float* Cosines(int64_t position) const { return cosines_.data() + position * half_; }
  const float* Sines(int64_t position) const { return sines_.data() + position * half_; }

 private:
  float theta_ = 0;
  int64_t half_ = 0;
  int64_t positions_ = 0;
  std::vector<float> cosines_;  // (positions, half)
  std::vector<float> sines_;
};

}  // namespace unmask

#endif  // UNMASK_KERNELS_ANGLES_H_
