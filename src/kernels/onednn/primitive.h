// One oneDNN matmul of a fixed shape. The only file that knows how oneDNN 2.x and 3.x differ is primitive.cpp.
#pragma once

#include <cstdint>
#include <oneapi/dnnl/dnnl.hpp>

namespace moxie::kernels::onednn {

// A multiple of the 4, 6 and 8 rows that its kernels take at once: none is left over to be summed in another way.
constexpr int64_t rows_at_once = 24;

enum class Weights { plain_f32, blocked_f32, blocked_bf16 };

// c [24][32] = a [24][k] times one panel's k rows.
struct Primitive {
  dnnl::memory::desc a, w, c, scratchpad;
  dnnl::matmul matmul;
};

// Throws dnnl::error.
Primitive create_primitive(const dnnl::engine& engine, Weights weights, int64_t k);

}  // namespace moxie::kernels::onednn
