// Exponentials and what is made of them. No multiply_add: the results are the same on every instruction set.

namespace {

// e^x by Cody and Waite's reduction, within 2 ulp; gradual underflow, infinity above 88.73, NaN stays.
template <int count>
[[gnu::always_inline]] inline Several<count> exponential(const Several<count>& exponent) {
  const Several<count> x = clamped(exponent, -104.0F, 89.0F);
  // Adding 1.5 * 2^23 rounds to an integer.
  constexpr float rounder = 12582912.0F;
  const Several<count> n = (x * 1.44269504F + rounder) - rounder;
  // ln 2 in two parts; the first has so few bits that n times it is exact.
  const Several<count> r = (x - n * 0.693359375F) - n * -2.12194440e-4F;
  Several<count> p = r * 1.9875691500e-4F + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = (p * (r * r) + r) + 1.0F;
  return each<count>([&](int i) { return times_power_of_two(p.part[i], n.part[i]); });
}

inline Floats exponential(Floats x) { return exponential(Several<1>{{x}}).part[0]; }

// 1 / (1 + e^-x), exact in its tails: e^ of a negative number cannot overflow.
template <int count>
[[gnu::always_inline]] inline Several<count> sigmoid(const Several<count>& x) {
  const Several<count> e = exponential(negative_magnitude(x));
  return where_negative(x, e, broadcast_several<count>(1.0F)) / (e + 1.0F);
}

template <int count>
[[gnu::always_inline]] inline Several<count> silu(const Several<count>& x) {
  return x * sigmoid(x);
}

template <int count>
inline Several<count> relu(const Several<count>& x) {
  return each<count>([&](int i) { return x.part[i] > 0.0F ? x.part[i] : Floats{}; });
}

// 0.5 (1 + tanh u) is sigmoid(2 u): no difference of nearly equal numbers where x is far below zero.
template <int count>
inline Several<count> gelu_tanh(const Several<count>& x) {
  return x * sigmoid((x + x * 0.044715F * x * x) * 1.59576912F);
}

// x times the normal distribution function. Half of erfc(z) is t / 2 * e^(P(t) - z^2) with t = 1 / (1 + z / 2); P is a
// Chebyshev fit over z = 0 .. 11 with a residue of 6e-8, and below e^-104 nothing is left.
template <int count>
inline Several<count> gelu(const Several<count>& x) {
  const Several<count> one = broadcast_several<count>(1.0F);
  const Several<count> t = one / (magnitude(x) * 0.35355339F + 1.0F);
  Several<count> p = t * 0.15217128396F - 0.72015756369F;
  p = p * t + 1.24898505211F;
  p = p * t - 0.81853657961F;
  p = p * t + 0.02035049163F;
  p = p * t - 0.05186151713F;
  p = p * t + 0.05253269896F;
  p = p * t + 0.38292455673F;
  p = p * t + 0.99906039238F;
  p = p * t - 1.26546871662F;
  const Several<count> tail = t * 0.5F * exponential(p - x * 0.5F * x);
  return x * where_negative(x, tail, one - tail);
}

}  // namespace
