// A linear's weight [n, k] in the one layout every kernel reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "runtime/dtype.h"
#include "runtime/error.h"

namespace moxie::kernels {

struct CompactHeader;

// Output features stand in panels of 32; within a panel the order is along k, so that a kernel streams it.
//   float32   [n/32][k][32]
//   bfloat16  [n/32][k/2][32][2]: two successive k side by side, as VDPBF16PS and AMX take them
// k is padded with zeros to a multiple of 32, n to a multiple of 32. The same bytes serve decode and prefill, every
// instruction set and every backend (oneDNN calls them BA16a32b and BA16a32b2a).
//
// bfloat16 may also be held compact, in three quarters of that: compact_layout.h.
enum class Storage : uint8_t { kPlain, kCompact };

constexpr int64_t panel_width = 32;
constexpr int64_t k_multiple = 32;

// Grows with every change of the layout: what was packed under another number is packed anew.
constexpr int packed_layout_version = 2;

// Thrown by pack_rows() where weights are too different from each other to be held compact.
class NotCompact : public Error {
 public:
  NotCompact() : Error(MOX_INTERNAL, "weights that cannot be held compact were to be packed so") {}
};

class PackedMatrix {
 public:
  PackedMatrix() = default;
  // dtype: MOX_F32 or MOX_BF16. Zero-filled; from 2 MiB on in memory that nobody has touched yet.
  PackedMatrix(DType dtype, int64_t n, int64_t k, Storage storage = Storage::kPlain);
  // In memory that others share: packed_bytes(dtype, n, k, storage) bytes at a multiple of 64. Zero, or already packed.
  PackedMatrix(DType dtype, int64_t n, int64_t k, Storage storage, std::shared_ptr<std::byte> memory);
  // The same, not to be written: pack_rows() is refused.
  PackedMatrix(DType dtype, int64_t n, int64_t k, Storage storage, std::shared_ptr<const std::byte> memory);
  PackedMatrix(PackedMatrix&&) = default;
  PackedMatrix& operator=(PackedMatrix&&) = default;

  [[nodiscard]] bool empty() const { return n_ == 0; }
  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] int64_t n() const { return n_; }
  [[nodiscard]] int64_t k() const { return k_; }
  [[nodiscard]] int64_t padded_k() const { return (k_ + k_multiple - 1) / k_multiple * k_multiple; }
  [[nodiscard]] int64_t panels() const { return (n_ + panel_width - 1) / panel_width; }
  [[nodiscard]] size_t bytes() const;  // with the padding
  [[nodiscard]] const void* panel(int64_t index) const;
  [[nodiscard]] bool is_compact() const;
  // Of a compact matrix: the block of a panel that k lies in.
  [[nodiscard]] const CompactHeader* compact_block(int64_t index, int64_t k) const;
  // bfloat16 words of a panel from k_begin, a multiple of 32, to k_end: where they lie, or expanded into `room`, which
  // holds as many whole rows of words as groups of four k need.
  [[nodiscard]] const bfloat16* words(int64_t index, int64_t k_begin, int64_t k_end, bfloat16* room) const;
  // Of a plain one: the start of row block k of a panel; k must be even (bfloat16).
  [[nodiscard]] const float* panel_f32(int64_t index, int64_t k = 0) const;
  [[nodiscard]] const bfloat16* panel_bf16(int64_t index, int64_t k = 0) const;

  // Packs rows [first_row, first_row + rows) from row-major memory of any weight dtype, converting. Different panels
  // may be packed from different threads; their memory is first touched by these. A compact matrix may throw
  // NotCompact; it then holds some of the rows.
  void pack_rows(int64_t first_row, int64_t rows, const void* source, DType source_dtype, int64_t row_stride);

  // One output feature's row, widened: [k].
  void read_row(int64_t row, float* destination) const;
  // All rows of a panel but its padding: [min(32, n - 32 * index)][k]. Much quicker than one after the other.
  void read_panel(int64_t index, float* destination) const;

 private:
  void pack_plain(int64_t row, int64_t k, int64_t words_of_row, int64_t rows, const uint32_t* words);
  void pack_compact(int64_t row, int64_t k, int64_t words_of_row, int64_t rows, uint32_t* words);
  [[nodiscard]] int64_t panel_bytes() const;

  DType dtype_ = MOX_F32;
  Storage storage_ = Storage::kPlain;
  int64_t n_ = 0, k_ = 0;
  std::shared_ptr<const std::byte> data_;
  std::byte* writable_ = nullptr;  // data_, where it may be written
};

// Bytes of a matrix of that shape in this layout. Error where dtype is none of the two or cannot be held so, a side is
// negative, or the product leaves the address space.
size_t packed_bytes(DType dtype, int64_t n, int64_t k, Storage storage = Storage::kPlain);

}  // namespace moxie::kernels
