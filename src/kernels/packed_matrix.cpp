#include "kernels/packed_matrix.h"

#include <emmintrin.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <string>
#include <utility>

#include "kernels/packing.h"
#include "runtime/error.h"
#include "runtime/huge_memory.h"

namespace moxie::kernels {
namespace {

constexpr size_t cache_line = 64;

// Both layouts are [n/32][words of a row][32] in 32-bit words: a word is one float32, or two bfloat16 neighbours in k.
// A piece of a panel is turned into words in the nearest cache, then goes to memory in one stream.
using Word = uint32_t;
constexpr int64_t words_per_piece = 128;
constexpr size_t word_row_bytes = panel_width * sizeof(Word);

int64_t elements_per_word(DType dtype) { return dtype == MOX_F32 ? 1 : 2; }

std::string sides(int64_t n, int64_t k) {
  std::string text = "[";
  text.append(std::to_string(n)).append(", ").append(std::to_string(k)).append("]");
  return text;
}

size_t checked_multiply(size_t a, size_t b, const std::string& what) {
  size_t product = 0;
  if (__builtin_mul_overflow(a, b, &product) ||
      product > static_cast<size_t>(std::numeric_limits<int64_t>::max()) - 2 * huge_page) {
    throw invalid_argument("a packed matrix of " + what + " is larger than the address space");
  }
  return product;
}

// Past the caches: what was packed is read much later, and its lines need not be fetched to be overwritten.
void stream(const Word* from, size_t bytes, std::byte* to) {
  const auto* source = reinterpret_cast<const __m128i*>(from);
  auto* destination = reinterpret_cast<__m128i*>(to);
  for (size_t i = 0; i < bytes / sizeof(__m128i); i += 4) {
    const __m128i a = _mm_load_si128(source + i), b = _mm_load_si128(source + i + 1);
    const __m128i c = _mm_load_si128(source + i + 2), d = _mm_load_si128(source + i + 3);
    _mm_stream_si128(destination + i, a);
    _mm_stream_si128(destination + i + 1, b);
    _mm_stream_si128(destination + i + 2, c);
    _mm_stream_si128(destination + i + 3, d);
  }
}

}  // namespace

size_t packed_bytes(DType dtype, int64_t n, int64_t k) {
  const std::string what = sides(n, k);
  if (dtype != MOX_F32 && dtype != MOX_BF16) {
    throw invalid_argument("a packed matrix holds float32 or bfloat16, not mox_dtype " + std::to_string(dtype));
  }
  if (n < 0 || k < 0) throw invalid_argument("a packed matrix of " + what + " has a negative side");
  constexpr int64_t largest = std::numeric_limits<int64_t>::max() - panel_width;
  if (n > largest || k > largest) throw invalid_argument("a packed matrix of " + what + " is too large");
  const auto up = [](int64_t side, int64_t multiple) {
    return static_cast<size_t>((side + multiple - 1) / multiple * multiple);
  };
  return checked_multiply(checked_multiply(up(n, panel_width), up(k, k_multiple), what), element_size(dtype), what);
}

PackedMatrix::PackedMatrix(DType dtype, int64_t n, int64_t k) : dtype_(dtype), n_(n), k_(k) {
  const size_t size = packed_bytes(dtype, n, k);
  if (size == 0) return;
  std::shared_ptr<std::byte> memory = zeroed_memory(size);
  writable_ = memory.get();
  data_ = std::move(memory);
}

PackedMatrix::PackedMatrix(DType dtype, int64_t n, int64_t k, std::shared_ptr<std::byte> memory)
    : dtype_(dtype), n_(n), k_(k), writable_(memory.get()) {
  (void)packed_bytes(dtype, n, k);
  data_ = std::move(memory);
}

PackedMatrix::PackedMatrix(DType dtype, int64_t n, int64_t k, std::shared_ptr<const std::byte> memory)
    : dtype_(dtype), n_(n), k_(k), data_(std::move(memory)) {
  (void)packed_bytes(dtype, n, k);
}

size_t PackedMatrix::bytes() const {
  return static_cast<size_t>(panels() * panel_width * padded_k()) * element_size(dtype_);
}

const void* PackedMatrix::panel(int64_t index) const {
  return data_.get() + static_cast<size_t>(index * panel_width * padded_k()) * element_size(dtype_);
}

const float* PackedMatrix::panel_f32(int64_t index, int64_t k) const {
  return static_cast<const float*>(panel(index)) + k * panel_width;
}

const bfloat16* PackedMatrix::panel_bf16(int64_t index, int64_t k) const {
  return static_cast<const bfloat16*>(panel(index)) + k * panel_width;
}

void PackedMatrix::pack_rows(int64_t first_row, int64_t rows, const void* source_rows, DType source_dtype,
                             int64_t row_stride) {
  if (source_dtype != MOX_F32 && source_dtype != MOX_BF16 && source_dtype != MOX_F16) {
    throw invalid_argument("weights are packed from float32, bfloat16 or float16, not from mox_dtype " +
                           std::to_string(source_dtype));
  }
  if (first_row < 0 || rows < 0 || first_row > n_ || rows > n_ - first_row) {
    throw invalid_argument("rows " + std::to_string(first_row) + " + " + std::to_string(rows) +
                           " do not lie in a packed matrix of " + std::to_string(n_) + " rows");
  }
  if (rows == 0 || k_ == 0) return;
  if (writable_ == nullptr)
    throw Error(MOX_INTERNAL, "a packed matrix in memory that is only to be read was to be filled");
  static const Packing& packing = packings().front();
  const int64_t per_word = elements_per_word(dtype_);
  const auto source_size = static_cast<int64_t>(element_size(source_dtype));
  const int64_t elements_per_piece = words_per_piece * per_word;
  const bool large = bytes() >= huge_page;
  alignas(cache_line) Word words[panel_width * words_per_piece];
  RowsToPack piece;
  piece.row_bytes = row_stride * source_size;
  piece.source_dtype = source_dtype;
  piece.dtype = dtype_;
  for (int64_t row = first_row; row < first_row + rows; row += piece.rows) {
    const int64_t column = row % panel_width;
    piece.rows = std::min(panel_width - column, first_row + rows - row);
    const std::byte* source = static_cast<const std::byte*>(source_rows) + (row - first_row) * piece.row_bytes;
    std::byte* panel = writable_ + row / panel_width * panel_width * padded_k() / per_word * int64_t{sizeof(Word)};
    for (int64_t k = 0; k < k_; k += elements_per_piece) {
      const int64_t elements = std::min(elements_per_piece, k_ - k);
      const int64_t count = (elements + per_word - 1) / per_word;
      piece.source = source + k * source_size;
      piece.bytes = elements * source_size;
      packing.transpose_rows(piece, words);
      std::byte* to = panel + static_cast<size_t>(k / per_word) * word_row_bytes;
      if (piece.rows == panel_width) {
        if (large) {
          stream(words, static_cast<size_t>(count) * word_row_bytes, to);
        } else {
          std::memcpy(to, words, static_cast<size_t>(count) * word_row_bytes);
        }
        continue;
      }
      for (int64_t word = 0; word < count; ++word) {
        std::memcpy(to + static_cast<size_t>(word) * word_row_bytes + static_cast<size_t>(column) * sizeof(Word),
                    words + word * panel_width, static_cast<size_t>(piece.rows) * sizeof(Word));
      }
    }
  }
  if (large) _mm_sfence();
}

void PackedMatrix::read_row(int64_t row, float* destination) const {
  const int64_t column = row % panel_width;
  if (dtype_ == MOX_F32) {
    const float* packed = panel_f32(row / panel_width) + column;
    for (int64_t k = 0; k < k_; ++k) destination[k] = packed[k * panel_width];
    return;
  }
  const bfloat16* packed = panel_bf16(row / panel_width) + column * 2;
  for (int64_t k = 0; k < k_; ++k) destination[k] = widen_bfloat16(packed[k / 2 * panel_width * 2 + k % 2]);
}

}  // namespace moxie::kernels
