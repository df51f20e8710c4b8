#include "kernels/cpu/simd/kernels.h"
#include "kernels/cpu/simd/simd.h"

#define UNMASK_TEXT(name) UNMASK_TEXT_OF(name)
#define UNMASK_TEXT_OF(name) #name

namespace unmask::UNMASK_ISA {

const KernelTable kKernels = {
    .name = UNMASK_TEXT(UNMASK_ISA),
    .panel_columns = kTileVectors * kLanes,
    .widen = Widen,
    .narrow = Narrow,
    .add = AddInto,
    .rms_norm = RmsNorm,
    .rotate = Rotate,
    .swiglu = SwiGlu,
    .attend = Attend,
    .multiply = Multiply,
    .multiply_tiles = nullptr,  // Only AMX has them (../isa.cc).
    .pack_tiles = nullptr,
    .quantize = Quantize,
    .dequantize = Dequantize,
    .multiply_int8 = MultiplyInt8,
    .gumbel = GumbelNoise,
    .scan = Scan,
};

}  // namespace unmask::UNMASK_ISA
