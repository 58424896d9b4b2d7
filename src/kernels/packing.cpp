#include "kernels/packing.h"

#include "kernels/avx2/avx2.h"
#include "kernels/avx512/avx512.h"
#include "kernels/compact_layout.h"
#include "kernels/portable/portable.h"
#include "kernels/reference/reference.h"
#include "runtime/cpu.h"

namespace moxie::kernels {
const std::vector<Packing>& packings() {
  static const std::vector<Packing> usable = [] {
    const Packing all[] = {
        {"avx512", MOX_ISA_AVX512, avx512::transpose_rows, avx512::compact, avx512::expand_block},
        {"avx2", MOX_ISA_AVX2, avx2::transpose_rows, avx2::compact, avx2::expand_block},
        {"portable", MOX_ISA_PORTABLE, portable::transpose_rows, portable::compact, portable::expand_block},
        {"reference", MOX_ISA_PORTABLE, reference::transpose_rows, reference::compact, expand_compact}};
    std::vector<Packing> result;
    for (const Packing& packing : all) {
      if (packing.isa <= machine_isa()) result.push_back(packing);
    }
    return result;
  }();
  return usable;
}

}  // namespace moxie::kernels
