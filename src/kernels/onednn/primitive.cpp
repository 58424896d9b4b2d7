#include "kernels/onednn/primitive.h"

#include "kernels/packed_matrix.h"

namespace moxie::kernels::onednn {
namespace {

using dnnl::memory;

dnnl::matmul::primitive_desc describe(const dnnl::engine& engine, const memory::desc& a, const memory::desc& w,
                                      const memory::desc& c, const dnnl::primitive_attr& attributes) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, a, w, c, attributes};
#else
  return {dnnl::matmul::desc(a, w, c), attributes, engine};
#endif
}

// A float32 panel is [k][32], which oneDNN takes both as a plain matrix and as BA16a32b; its AVX-512 kernels read the
// second without copying, its others know only the first.
memory::desc describe_weights(Weights weights, int64_t k) {
  const memory::dims dims = {k, panel_width};
  switch (weights) {
    case Weights::blocked_bf16:
      return {dims, memory::data_type::bf16, memory::format_tag::BA16a32b2a};
    case Weights::blocked_f32:
      return {dims, memory::data_type::f32, memory::format_tag::BA16a32b};
    case Weights::plain_f32:
      break;
  }
  return {dims, memory::data_type::f32, memory::format_tag::ab};
}

}  // namespace

Primitive create_primitive(const dnnl::engine& engine, Weights weights, int64_t k) {
  const auto type = weights == Weights::blocked_bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  const memory::desc a({rows_at_once, k}, type, memory::format_tag::ab);
  const memory::desc w = describe_weights(weights, k);
  const memory::desc c({rows_at_once, panel_width}, memory::data_type::f32, memory::format_tag::ab);
  // The scratchpad comes from the calling thread, so that one primitive serves many threads at once.
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const dnnl::matmul::primitive_desc description = describe(engine, a, w, c, attributes);
  return {a, w, c, description.scratchpad_desc(), dnnl::matmul(description)};
}

}  // namespace moxie::kernels::onednn
