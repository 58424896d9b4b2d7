// The multiplying loops of one instruction set with vector registers. `Vectors` has:
//   Sum, Operand                 registers
//   rows, columns                of the block of sums, columns in registers
//   operations                   of one multiply_add
//   Activation                   what is spread over a register: a float, or two bfloat16
//   zero(), spread(activation), load(address), multiply_add(sum, activations, weights)
#include "cli/bench/loops/loops.h"

namespace moxie::cli::bench::loops {
namespace {

template <class Vectors>
void multiply_in_registers(int64_t steps) {
  typename Vectors::Sum sums[Vectors::rows][Vectors::columns];
  for (auto& row : sums) {
    for (auto& sum : row) sum = Vectors::zero();
  }
  auto activations = Vectors::spread(Vectors::some_activation);
  auto weights = Vectors::spread(Vectors::some_activation);
  asm volatile("" : "+x"(activations), "+x"(weights));  // unknown to the compiler
  for (int64_t step = 0; step < steps; ++step) {
    for (auto& row : sums) {
      for (auto& sum : row) sum = Vectors::multiply_add(sum, activations, weights);
    }
  }
  for (auto& row : sums) {
    for (auto& sum : row) asm volatile("" : : "x"(sum));
  }
}

template <class Vectors>
void multiply_from_memory(const void* activations, const void* weights, int64_t steps) {
  typename Vectors::Sum sums[Vectors::rows][Vectors::columns];
  for (auto& row : sums) {
    for (auto& sum : row) sum = Vectors::zero();
  }
  constexpr auto width = static_cast<int64_t>(sizeof(typename Vectors::Operand));
  const auto* a = static_cast<const typename Vectors::Activation*>(activations);
  const auto* w = static_cast<const char*>(weights);
  for (int64_t step = 0; step < steps; ++step) {
    typename Vectors::Operand columns[Vectors::columns];
    for (int column = 0; column < Vectors::columns; ++column) columns[column] = Vectors::load(w + column * width);
    for (int row = 0; row < Vectors::rows; ++row) {
      const auto spread = Vectors::spread(a[row]);
      for (int column = 0; column < Vectors::columns; ++column) {
        sums[row][column] = Vectors::multiply_add(sums[row][column], spread, columns[column]);
      }
    }
    a += Vectors::rows;
    w += Vectors::columns * width;
  }
  for (auto& row : sums) {
    for (auto& sum : row) asm volatile("" : : "x"(sum));
  }
}

template <class Vectors>
constexpr Multiplier multiplier_of(const char* name, mox_isa isa, mox_dtype weights) {
  return {name,
          isa,
          weights,
          Vectors::operations * Vectors::rows * Vectors::columns,
          Vectors::rows * static_cast<int64_t>(sizeof(typename Vectors::Activation)),
          Vectors::columns * static_cast<int64_t>(sizeof(typename Vectors::Operand)),
          multiply_in_registers<Vectors>,
          multiply_from_memory<Vectors>};
}

}  // namespace
}  // namespace moxie::cli::bench::loops
