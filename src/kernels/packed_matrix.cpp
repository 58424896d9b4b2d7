#include "kernels/packed_matrix.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <string>

#include "runtime/error.h"

namespace moxie::kernels {
namespace {

constexpr size_t cache_line = 64;
constexpr size_t huge_page = size_t{2} << 20;

// Both layouts are [n/32][words of a row][32] in 32-bit words: a word is one float32, or two bfloat16 neighbours in k.
// So packing is: turn a piece of each row into words, then transpose words.
constexpr int64_t word_bytes = 4;
constexpr int64_t words_per_piece = 64;

using Word = uint32_t;
using FourWords = Word __attribute__((vector_size(16)));

int64_t elements_per_word(DType dtype) { return dtype == MOX_F32 ? 1 : 2; }

size_t element_size(DType dtype) { return dtype == MOX_F32 ? 4 : 2; }

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

// Pages come zeroed from the system when they are first touched, so the thread that packs a panel is the one that
// gives it its memory node. Unused head and tail go back at once: what remains is exactly [aligned, aligned + size).
std::byte* map_huge(size_t size) {
  const size_t reserved = size + huge_page;
  void* base = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) throw std::bad_alloc();
  const auto begin = reinterpret_cast<uintptr_t>(base);
  const uintptr_t aligned = (begin + huge_page - 1) / huge_page * huge_page;
  const size_t head = aligned - begin;
  const size_t tail = reserved - head - size;
  if (head != 0) munmap(base, head);
  if (tail != 0) munmap(reinterpret_cast<void*>(aligned + size), tail);
  auto* memory = reinterpret_cast<std::byte*>(aligned);
  // A kernel without transparent huge pages refuses: small pages then serve, only slower.
  (void)madvise(memory, size, MADV_HUGEPAGE);
  return memory;
}

size_t round_up_to_page(size_t size) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (size + page - 1) / page * page;
}

float widen(const std::byte* source, DType dtype) {
  if (dtype == MOX_F32) {
    float value;
    std::memcpy(&value, source, sizeof value);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, source, sizeof bits);
  return dtype == MOX_BF16 ? widen_bfloat16(bits) : widen_float16(bits);
}

// `count` elements of a source row become words; the last word is filled up with zero. Sources may be unaligned: they
// can lie in a mapped file.
void to_words(const std::byte* source, DType source_dtype, int64_t count, DType dtype, Word* words) {
  const auto size = static_cast<int64_t>(element_size(source_dtype));
  if (dtype == MOX_BF16 && count % 2 != 0) words[count / 2] = 0;
  auto* out = reinterpret_cast<std::byte*>(words);
  if (source_dtype == dtype) {
    std::memcpy(out, source, static_cast<size_t>(count * size));
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    const float value = widen(source + i * size, source_dtype);
    if (dtype == MOX_F32) {
      std::memcpy(out + i * 4, &value, 4);
    } else {
      const bfloat16 rounded = round_to_bfloat16(value);
      std::memcpy(out + i * 2, &rounded, 2);
    }
  }
}

void transpose_4x4(const Word* from, int64_t from_stride, Word* to, int64_t to_stride) {
  FourWords r0, r1, r2, r3;
  std::memcpy(&r0, from, 16);
  std::memcpy(&r1, from + from_stride, 16);
  std::memcpy(&r2, from + 2 * from_stride, 16);
  std::memcpy(&r3, from + 3 * from_stride, 16);
  const FourWords low = {0, 4, 1, 5}, high = {2, 6, 3, 7};
  const FourWords a = __builtin_shuffle(r0, r2, low), b = __builtin_shuffle(r1, r3, low);
  const FourWords c = __builtin_shuffle(r0, r2, high), d = __builtin_shuffle(r1, r3, high);
  const FourWords out0 = __builtin_shuffle(a, b, low), out1 = __builtin_shuffle(a, b, high);
  const FourWords out2 = __builtin_shuffle(c, d, low), out3 = __builtin_shuffle(c, d, high);
  std::memcpy(to, &out0, 16);
  std::memcpy(to + to_stride, &out1, 16);
  std::memcpy(to + 2 * to_stride, &out2, 16);
  std::memcpy(to + 3 * to_stride, &out3, 16);
}

// words[row][words_per_piece] -> panel[word][32] at column `column`.
void transpose_into_panel(const Word* words, int64_t rows, int64_t count, Word* panel, int64_t column) {
  const int64_t whole_rows = rows / 4 * 4, whole_count = count / 4 * 4;
  for (int64_t i = 0; i < whole_count; i += 4) {
    for (int64_t r = 0; r < whole_rows; r += 4) {
      transpose_4x4(words + r * words_per_piece + i, words_per_piece, panel + i * panel_width + column + r,
                    panel_width);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = r < whole_rows ? whole_count : 0; i < count; ++i) {
      panel[i * panel_width + column + r] = words[r * words_per_piece + i];
    }
  }
}

}  // namespace

void PackedMatrix::Free::operator()(std::byte* memory) const {
  if (mapped != 0) {
    munmap(memory, mapped);
  } else {
    std::free(memory);
  }
}

PackedMatrix::PackedMatrix(DType dtype, int64_t n, int64_t k) : dtype_(dtype), n_(n), k_(k) {
  const std::string what = sides(n, k);
  if (dtype != MOX_F32 && dtype != MOX_BF16) {
    throw invalid_argument("a packed matrix holds float32 or bfloat16, not mox_dtype " + std::to_string(dtype));
  }
  if (n < 0 || k < 0) throw invalid_argument("a packed matrix of " + what + " has a negative side");
  constexpr int64_t largest = std::numeric_limits<int64_t>::max() - panel_width;
  if (n > largest || k > largest) throw invalid_argument("a packed matrix of " + what + " is too large");
  const size_t size = checked_multiply(
      checked_multiply(static_cast<size_t>(panels() * panel_width), static_cast<size_t>(padded_k()), what),
      element_size(dtype), what);
  if (size == 0) return;
  if (size >= huge_page) {
    const size_t mapped = round_up_to_page(size);
    data_ = {map_huge(mapped), Free{mapped}};
    return;
  }
  const size_t rounded = (size + cache_line - 1) / cache_line * cache_line;
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(cache_line, rounded));
  if (memory == nullptr) throw std::bad_alloc();
  data_ = {memory, Free{}};
  std::memset(memory, 0, rounded);
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

void PackedMatrix::pack_rows(int64_t first_row, int64_t rows, const void* source, DType source_dtype,
                             int64_t row_stride) {
  if (source_dtype != MOX_F32 && source_dtype != MOX_BF16 && source_dtype != MOX_F16) {
    throw invalid_argument("weights are packed from float32, bfloat16 or float16, not from mox_dtype " +
                           std::to_string(source_dtype));
  }
  if (first_row < 0 || rows < 0 || first_row > n_ || rows > n_ - first_row) {
    throw invalid_argument("rows " + std::to_string(first_row) + " + " + std::to_string(rows) +
                           " do not lie in a packed matrix of " + std::to_string(n_) + " rows");
  }
  const auto source_size = static_cast<int64_t>(element_size(source_dtype));
  const int64_t per_word = elements_per_word(dtype_);
  const auto* bytes = static_cast<const std::byte*>(source);
  alignas(cache_line) Word words[panel_width * words_per_piece];
  for (int64_t row = first_row; row < first_row + rows;) {
    const int64_t column = row % panel_width;
    const int64_t in_panel = std::min(panel_width - column, first_row + rows - row);
    auto* panel_words =
        reinterpret_cast<Word*>(data_.get() + row / panel_width * panel_width * padded_k() * word_bytes / per_word);
    for (int64_t k = 0; k < k_; k += words_per_piece * per_word) {
      const int64_t count = std::min(words_per_piece * per_word, k_ - k);
      for (int64_t r = 0; r < in_panel; ++r) {
        to_words(bytes + ((row - first_row + r) * row_stride + k) * source_size, source_dtype, count, dtype_,
                 words + r * words_per_piece);
      }
      transpose_into_panel(words, in_panel, (count + per_word - 1) / per_word, panel_words + k / per_word * panel_width,
                           column);
    }
    row += in_panel;
  }
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
