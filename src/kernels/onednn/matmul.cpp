// The products by oneDNN.
//
// oneDNN chooses its kernel by shape, so it only ever sees one: 24 rows, missing ones filled up with zeros, against one
// panel of 32 columns. Bits then do not depend on the number of rows. The sum over k is oneDNN's own, over the whole
// range at once where it reads the panel as it lies, else block by block: a function of the range, not of the rows.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <shared_mutex>
#include <string>
#include <utility>

#include "kernels/compact_layout.h"
#include "kernels/entries.h"
#include "kernels/onednn/one_thread.h"
#include "kernels/onednn/onednn.h"
#include "kernels/onednn/primitive.h"
#include "kernels/portable/portable.h"
#include "runtime/error.h"

namespace moxie::kernels::onednn {
namespace {

constexpr int64_t block_length = 256;

const dnnl::engine& engine() {
  // Never destroyed: worker threads may outlive the library's statics.
  static const auto* const instance = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *instance;
}

const Primitive& primitive_for(Weights weights, int64_t k) {
  using Key = std::pair<Weights, int64_t>;
  static auto* const mutex = new std::shared_mutex;
  static auto* const primitives = new std::map<Key, Primitive>;
  const Key key(weights, k);
  {
    const std::shared_lock lock(*mutex);
    const auto found = primitives->find(key);
    if (found != primitives->end()) return found->second;
  }
  const std::unique_lock lock(*mutex);
  const auto found = primitives->find(key);
  if (found != primitives->end()) return found->second;
  return primitives->emplace(key, create_primitive(engine(), weights, k)).first->second;
}

// Memory of one thread that only grows.
class Buffer {
 public:
  void* at_least(size_t size) {
    if (size > size_) {
      const size_t rounded = (size + 63) / 64 * 64;
      memory_.reset();
      size_ = 0;
      memory_.reset(std::aligned_alloc(64, rounded));
      if (!memory_) throw std::bad_alloc();
      size_ = rounded;
    }
    return memory_.get();
  }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> memory_;
  size_t size_ = 0;
};

struct Scratch {
  dnnl::stream stream{engine()};
  Buffer rows, panel, words, scratchpad;
  alignas(64) float sums[rows_at_once * panel_width];
};

Scratch& scratch() {
  thread_local Scratch instance;
  return instance;
}

// Rows [row, row + 24) of a, columns [k, k + length), zeros behind the last row.
template <class Element>
const Element* copy_rows(const Matmul& m, int64_t row, int64_t k, int64_t length, Buffer& buffer) {
  auto* rows = static_cast<Element*>(buffer.at_least(sizeof(Element) * static_cast<size_t>(rows_at_once * length)));
  const int64_t count = std::min(rows_at_once, m.rows - row);
  for (int64_t r = 0; r < count; ++r) {
    std::memcpy(rows + r * length, static_cast<const Element*>(m.a) + (row + r) * m.lda + (k - m.k_begin),
                sizeof(Element) * static_cast<size_t>(length));
  }
  std::fill_n(rows + count * length, (rows_at_once - count) * length, Element{});
  return rows;
}

const float* widen_rows(const bfloat16* rows, int64_t length, Buffer& buffer) {
  auto* widened = static_cast<float*>(buffer.at_least(sizeof(float) * static_cast<size_t>(rows_at_once * length)));
  for (int64_t i = 0; i < rows_at_once * length; ++i) widened[i] = widen_bfloat16(rows[i]);
  return widened;
}

const float* widen_panel(const bfloat16* pairs, int64_t length, Buffer& buffer) {
  auto* widened = static_cast<float*>(buffer.at_least(sizeof(float) * static_cast<size_t>(length * panel_width)));
  for (int64_t i = 0; i < length; ++i) {
    for (int64_t j = 0; j < panel_width; ++j) {
      widened[i * panel_width + j] = widen_bfloat16(pairs[(i / 2 * panel_width + j) * 2 + i % 2]);
    }
  }
  return widened;
}

void execute(const Primitive& p, const void* a, const void* w, Scratch& own) {
  // oneDNN's memory objects are not const; it only writes the destination and the scratchpad.
  const dnnl::memory memory_a(p.a, engine(), const_cast<void*>(a));
  const dnnl::memory memory_w(p.w, engine(), const_cast<void*>(w));
  const dnnl::memory memory_c(p.c, engine(), own.sums);
  const dnnl::memory memory_s(p.scratchpad, engine(), own.scratchpad.at_least(p.scratchpad.get_size() + 64));
  p.matmul.execute(own.stream, {{DNNL_ARG_SRC, memory_a},
                                {DNNL_ARG_WEIGHTS, memory_w},
                                {DNNL_ARG_DST, memory_c},
                                {DNNL_ARG_SCRATCHPAD, memory_s}});
  own.stream.wait();
}

void write_sums(const Matmul& m, int64_t row, int64_t panel, bool add, const float* sums) {
  for (int64_t r = 0; r < std::min(rows_at_once, m.rows - row); ++r) {
    float* to = m.c + (row + r) * m.ldc + (panel - m.panel_begin) * panel_width;
    for (int64_t j = 0; j < panel_width; ++j) {
      const float sum = sums[r * panel_width + j];
      to[j] = add ? to[j] + sum : sum;
    }
  }
}

// Compact words are expanded.
const bfloat16* words_at(const Matmul& m, int64_t panel, int64_t k, int64_t length, Scratch& own) {
  const int64_t whole = compact_groups(length) * compact_group_k;
  void* room =
      m.w->is_compact() ? own.words.at_least(sizeof(bfloat16) * static_cast<size_t>(whole * panel_width)) : nullptr;
  return m.w->words(panel, k, k + length, static_cast<bfloat16*>(room));
}

template <class Element, class PanelAt>
void multiply_as_it_lies(const Matmul& m, Weights weights, int64_t length, PanelAt panel_at) {
  Scratch& own = scratch();
  const Primitive& primitive = primitive_for(weights, length);
  for (int64_t row = 0; row < m.rows; row += rows_at_once) {
    const Element* a = copy_rows<Element>(m, row, m.k_begin, length, own.rows);
    for (int64_t panel = m.panel_begin; panel < m.panel_end; ++panel) {
      execute(primitive, a, panel_at(panel, own), own);
      write_sums(m, row, panel, m.accumulate, own.sums);
    }
  }
}

// Without bfloat16 instructions, oneDNN has no fast bfloat16 either.
void multiply_widened(const Matmul& m, Weights weights) {
  Scratch& own = scratch();
  thread_local Buffer wide_rows;
  for (int64_t k = m.k_begin; k < m.k_end;) {
    const int64_t end = std::min((k / block_length + 1) * block_length, m.k_end);
    const int64_t length = end - k;
    const Primitive& primitive = primitive_for(weights, length);
    for (int64_t panel = m.panel_begin; panel < m.panel_end; ++panel) {
      const float* w = widen_panel(words_at(m, panel, k, length, own), length, own.panel);
      for (int64_t row = 0; row < m.rows; row += rows_at_once) {
        const float* a = widen_rows(copy_rows<bfloat16>(m, row, k, length, own.rows), length, wide_rows);
        execute(primitive, a, w, own);
        write_sums(m, row, panel, m.accumulate || k > m.k_begin, own.sums);
      }
    }
    k = end;
  }
}

bool nothing_to_sum(const Matmul& m) {
  if (m.k_begin < m.k_end) return m.rows <= 0 || m.panel_begin >= m.panel_end;
  for (int64_t row = 0; row < m.rows && !m.accumulate; ++row) {
    std::fill_n(m.c + row * m.ldc, (m.panel_end - m.panel_begin) * panel_width, 0.0F);
  }
  return true;
}

template <class Multiply>
void guarded(const Matmul& m, Multiply multiply) {
  if (nothing_to_sum(m)) return;
  try {
    const OneThread one_thread;
    multiply();
  } catch (const dnnl::error& error) {
    throw Error(MOX_INTERNAL, std::string("oneDNN refused a product over k = ") + std::to_string(m.k_begin) + " .. " +
                                  std::to_string(m.k_end) + ": " + error.what());
  }
}

Weights weights_f32() { return settled_isa() >= MOX_ISA_AVX512 ? Weights::blocked_f32 : Weights::plain_f32; }

void matmul_f32(const Matmul& m) {
  guarded(m, [&m] {
    multiply_as_it_lies<float>(m, weights_f32(), m.k_end - m.k_begin,
                               [&](int64_t panel, Scratch&) { return m.w->panel_f32(panel, m.k_begin); });
  });
}

void matmul_bf16(const Matmul& m) {
  guarded(m, [&m] {
    if (settled_isa() < MOX_ISA_AVX512_BF16) return multiply_widened(m, weights_f32());
    // Pairs: an odd end meets one of the zeros behind k.
    const int64_t length = (m.k_end - m.k_begin + 1) / 2 * 2;
    multiply_as_it_lies<bfloat16>(m, Weights::blocked_bf16, length, [&](int64_t panel, Scratch& own) {
      return words_at(m, panel, m.k_begin, length, own);
    });
  });
}

}  // namespace
}  // namespace moxie::kernels::onednn

namespace moxie::kernels::entries {

constinit const Kernels onednn = {.name = "onednn",
                                  .backend = MOX_BACKEND_ONEDNN,
                                  .isa = MOX_ISA_PORTABLE,
                                  .matmul_f32 = kernels::onednn::matmul_f32,
                                  .matmul_bf16 = kernels::onednn::matmul_bf16,
                                  .lora_shrink = kernels::portable::lora_shrink,
                                  .lora_expand = kernels::portable::lora_expand,
                                  .lora_norms = kernels::portable::lora_norms,
                                  .router = kernels::portable::router,
                                  .activate = kernels::portable::activate,
                                  .add = kernels::portable::add,
                                  .softmax = kernels::portable::softmax,
                                  .rms_norm = kernels::portable::rms_norm,
                                  .attend = kernels::portable::attend,
                                  .attend_segment = kernels::portable::attend_segment,
                                  .join_segments = kernels::portable::join_segments,
                                  .to_bfloat16 = kernels::portable::to_bfloat16};

}  // namespace moxie::kernels::entries
