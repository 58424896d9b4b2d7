#include "kernels/packed_matrix.h"

#include <emmintrin.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <string>
#include <utility>

#include "kernels/compact_layout.h"
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
void stream(const void* from, size_t bytes, std::byte* to) {
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

void put(const void* from, size_t bytes, size_t of_matrix, std::byte* to) {
  if (of_matrix >= huge_page) {
    stream(from, bytes, to);
  } else {
    std::memcpy(to, from, bytes);
  }
}

const Packing& packing() {
  static const Packing& best = packings().front();
  return best;
}

}  // namespace

size_t packed_bytes(DType dtype, int64_t n, int64_t k, Storage storage) {
  const std::string what = sides(n, k);
  if (dtype != MOX_F32 && dtype != MOX_BF16) {
    throw invalid_argument("a packed matrix holds float32 or bfloat16, not mox_dtype " + std::to_string(dtype));
  }
  if (storage == Storage::kCompact && dtype != MOX_BF16) {
    throw invalid_argument("a packed matrix of float32 cannot be held compact");
  }
  if (n < 0 || k < 0) throw invalid_argument("a packed matrix of " + what + " has a negative side");
  constexpr int64_t largest = std::numeric_limits<int64_t>::max() - panel_width;
  if (n > largest || k > largest) throw invalid_argument("a packed matrix of " + what + " is too large");
  const auto up = [](int64_t side, int64_t multiple) {
    return static_cast<size_t>((side + multiple - 1) / multiple * multiple);
  };
  const size_t plain =
      checked_multiply(checked_multiply(up(n, panel_width), up(k, k_multiple), what), element_size(dtype), what);
  if (storage == Storage::kPlain) return plain;
  return up(n, panel_width) / panel_width *
         static_cast<size_t>(compact_panel_bytes(static_cast<int64_t>(up(k, k_multiple))));
}

PackedMatrix::PackedMatrix(DType dtype, int64_t n, int64_t k, Storage storage)
    : dtype_(dtype), storage_(storage), n_(n), k_(k) {
  const size_t size = packed_bytes(dtype, n, k, storage);
  if (size == 0) return;
  std::shared_ptr<std::byte> memory = zeroed_memory(size);
  writable_ = memory.get();
  data_ = std::move(memory);
}

PackedMatrix::PackedMatrix(DType dtype, int64_t n, int64_t k, Storage storage, std::shared_ptr<std::byte> memory)
    : dtype_(dtype), storage_(storage), n_(n), k_(k), writable_(memory.get()) {
  (void)packed_bytes(dtype, n, k, storage);
  data_ = std::move(memory);
}

PackedMatrix::PackedMatrix(DType dtype, int64_t n, int64_t k, Storage storage, std::shared_ptr<const std::byte> memory)
    : dtype_(dtype), storage_(storage), n_(n), k_(k), data_(std::move(memory)) {
  (void)packed_bytes(dtype, n, k, storage);
}

bool PackedMatrix::is_compact() const { return storage_ == Storage::kCompact; }

int64_t PackedMatrix::panel_bytes() const {
  return is_compact() ? compact_panel_bytes(padded_k())
                      : panel_width * padded_k() * static_cast<int64_t>(element_size(dtype_));
}

size_t PackedMatrix::bytes() const { return static_cast<size_t>(panels() * panel_bytes()); }

const void* PackedMatrix::panel(int64_t index) const {
  return data_.get() + static_cast<size_t>(index * panel_bytes());
}

const CompactHeader* PackedMatrix::compact_block(int64_t index, int64_t k) const {
  return reinterpret_cast<const CompactHeader*>(data_.get() + static_cast<size_t>(index * panel_bytes()) +
                                                static_cast<size_t>(compact_block_at(k)));
}

const bfloat16* PackedMatrix::words(int64_t index, int64_t k_begin, int64_t k_end, bfloat16* room) const {
  if (!is_compact()) return panel_bf16(index, k_begin);
  for (int64_t k = k_begin; k < k_end;) {
    const int64_t block = k / compact_block_k * compact_block_k, end = std::min(block + compact_block_k, k_end);
    packing().expand(*compact_block(index, k), k - block, end - block,
                     reinterpret_cast<uint32_t*>(room) + (k - k_begin) / 2 * panel_width);
    k = end;
  }
  return room;
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
  const int64_t per_word = elements_per_word(dtype_);
  const auto source_size = static_cast<int64_t>(element_size(source_dtype));
  const int64_t elements_per_piece = words_per_piece * per_word;
  alignas(cache_line) Word words[panel_width * words_per_piece];
  RowsToPack piece;
  piece.row_bytes = row_stride * source_size;
  piece.source_dtype = source_dtype;
  piece.dtype = dtype_;
  for (int64_t row = first_row; row < first_row + rows; row += piece.rows) {
    piece.rows = std::min(panel_width - row % panel_width, first_row + rows - row);
    const std::byte* source = static_cast<const std::byte*>(source_rows) + (row - first_row) * piece.row_bytes;
    for (int64_t k = 0; k < k_; k += elements_per_piece) {
      const int64_t elements = std::min(elements_per_piece, k_ - k);
      const int64_t count = (elements + per_word - 1) / per_word;
      piece.source = source + k * source_size;
      piece.bytes = elements * source_size;
      packing().transpose_rows(piece, words);
      if (is_compact()) {
        pack_compact(row, k, count, piece.rows, words);
      } else {
        pack_plain(row, k, count, piece.rows, words);
      }
    }
  }
  if (bytes() >= huge_page) _mm_sfence();
}

// Words of `rows` rows of a panel, from column k on: as many as a piece has for each.
void PackedMatrix::pack_plain(int64_t row, int64_t k, int64_t words_of_row, int64_t rows, const uint32_t* words) {
  const int64_t column = row % panel_width;
  std::byte* to = writable_ + static_cast<size_t>(row / panel_width * panel_bytes()) +
                  static_cast<size_t>(k / elements_per_word(dtype_)) * word_row_bytes;
  if (rows == panel_width) return put(words, static_cast<size_t>(words_of_row) * word_row_bytes, bytes(), to);
  for (int64_t word = 0; word < words_of_row; ++word) {
    std::memcpy(to + static_cast<size_t>(word) * word_row_bytes + static_cast<size_t>(column) * sizeof(Word),
                words + word * panel_width, static_cast<size_t>(rows) * sizeof(Word));
  }
}

// A piece is a block.
void PackedMatrix::pack_compact(int64_t row, int64_t k, int64_t words_of_row, int64_t rows, uint32_t* words) {
  static_assert(words_per_piece * 2 == compact_block_k);
  const int64_t length = std::min(compact_block_k, padded_k() - k), groups = length / compact_group_k;
  std::byte* to = writable_ + static_cast<size_t>(row / panel_width * panel_bytes() + compact_block_at(k));
  if (rows == panel_width) {
    std::memset(words + words_of_row * panel_width, 0, static_cast<size_t>(length / 2 - words_of_row) * word_row_bytes);
  } else {
    // The others' words as they are.
    alignas(cache_line) Word all[panel_width * words_per_piece];
    packing().expand(*reinterpret_cast<const CompactHeader*>(to), 0, length, all);
    for (int64_t word = 0; word < words_of_row; ++word) {
      std::memcpy(all + word * panel_width + row % panel_width, words + word * panel_width,
                  static_cast<size_t>(rows) * sizeof(Word));
    }
    std::memcpy(words, all, static_cast<size_t>(length / 2) * word_row_bytes);
  }
  alignas(cache_line) std::byte block[compact_block_bytes];
  if (!packing().compact(words, groups, block)) throw NotCompact();
  put(block, sizeof(CompactHeader) + static_cast<size_t>(groups * compact_group_bytes), bytes(), to);
}

void PackedMatrix::read_row(int64_t row, float* destination) const {
  const int64_t column = row % panel_width;
  if (is_compact()) {
    for (int64_t k = 0; k < k_; k += compact_block_k) {
      read_compact_column(*compact_block(row / panel_width, k), column, std::min(compact_block_k, k_ - k),
                          destination + k);
    }
    return;
  }
  if (dtype_ == MOX_F32) {
    const float* packed = panel_f32(row / panel_width) + column;
    for (int64_t k = 0; k < k_; ++k) destination[k] = packed[k * panel_width];
    return;
  }
  const bfloat16* packed = panel_bf16(row / panel_width) + column * 2;
  for (int64_t k = 0; k < k_; ++k) destination[k] = widen_bfloat16(packed[k / 2 * panel_width * 2 + k % 2]);
}

void PackedMatrix::read_panel(int64_t index, float* destination) const {
  const int64_t rows = std::min(panel_width, n_ - index * panel_width);
  // A piece stays in the first-level cache while row after row picks its own of it.
  alignas(cache_line) Word room[panel_width * words_per_piece];
  const int64_t piece = words_per_piece * elements_per_word(dtype_);
  for (int64_t k = 0; k < k_; k += piece) {
    const int64_t length = std::min(piece, k_ - k);
    if (dtype_ == MOX_F32) {
      const float* packed = panel_f32(index, k);
      for (int64_t row = 0; row < rows; ++row) {
        for (int64_t i = 0; i < length; ++i) destination[row * k_ + k + i] = packed[i * panel_width + row];
      }
      continue;
    }
    const bfloat16* packed = words(index, k, k + length, reinterpret_cast<bfloat16*>(room));
    for (int64_t row = 0; row < rows; ++row) {
      float* to = destination + row * k_ + k;
      const bfloat16* pair = packed + row * 2;
      int64_t i = 0;
      for (; i + 1 < length; i += 2, pair += panel_width * 2) {
        to[i] = widen_bfloat16(pair[0]);
        to[i + 1] = widen_bfloat16(pair[1]);
      }
      if (i < length) to[i] = widen_bfloat16(pair[0]);
    }
  }
}

}  // namespace moxie::kernels
