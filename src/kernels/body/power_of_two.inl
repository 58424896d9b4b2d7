// What body/math.inl needs, where the instruction set has no instruction for it.

namespace {

// v * 2^n, n whole, -150 .. 128. 2^n may lie outside of float32 where the result does not: in two factors.
inline Floats times_power_of_two(Floats v, Floats n) {
  using Whole = int32_t __attribute__((vector_size(lanes * 4)));
  const auto power_of_two = [](Whole m) { return (Floats)((m + 127) << 23); };
  const Whole whole = __builtin_convertvector(n, Whole);
  const Whole half = whole >> 1;
  return v * power_of_two(half) * power_of_two(whole - half);
}

}  // namespace
