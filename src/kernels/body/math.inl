// Exponentials and what is made of them. No multiply_add: the results are the same on every instruction set.

namespace {

// 2^n for n = -126 .. 127.
inline Floats power_of_two(Ints n) { return (Floats)((Unsigned)(n + 127) << 23); }

// e^x by Cody and Waite's reduction, within 2 ulp; gradual underflow, infinity above 88.73, NaN stays.
inline Floats exponential(Floats x) {
  const Floats highest = broadcast(89.0F), lowest = broadcast(-104.0F);
  x = x > highest ? highest : x;
  x = x < lowest ? lowest : x;
  // Adding 1.5 * 2^23 rounds to an integer.
  const Floats rounder = broadcast(12582912.0F);
  const Floats n = (x * 1.44269504F + rounder) - rounder;
  // ln 2 in two parts; the first has so few bits that n times it is exact.
  const Floats r = (x - n * 0.693359375F) - n * -2.12194440e-4F;
  Floats p = r * 1.9875691500e-4F + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = (p * (r * r) + r) + 1.0F;
  // 2^n may lie outside of float32 where the result does not: in two factors.
  const Ints whole = __builtin_convertvector(n, Ints);
  const Ints half = whole >> 1;
  return p * power_of_two(half) * power_of_two(whole - half);
}

inline Floats magnitude(Floats x) { return (Floats)((Unsigned)x & 0x7fffffffU); }

// 1 / (1 + e^-x), exact in its tails: e^ of a negative number cannot overflow.
inline Floats sigmoid(Floats x) {
  const Floats e = exponential(-magnitude(x));
  return (x < 0.0F ? e : broadcast(1.0F)) / (1.0F + e);
}

inline Floats silu(Floats x) { return x * sigmoid(x); }

// 0.5 (1 + tanh u) is sigmoid(2 u): no difference of nearly equal numbers where x is far below zero.
inline Floats gelu_tanh(Floats x) { return x * sigmoid(1.59576912F * (x + 0.044715F * x * x * x)); }

// x times the normal distribution function. Half of erfc(z) is t / 2 * e^(P(t) - z^2) with t = 1 / (1 + z / 2); P is a
// Chebyshev fit over z = 0 .. 11 with a residue of 6e-8, and below e^-104 nothing is left.
inline Floats gelu(Floats x) {
  const Floats t = 1.0F / (1.0F + 0.35355339F * magnitude(x));
  Floats p = t * 0.15217128396F - 0.72015756369F;
  p = p * t + 1.24898505211F;
  p = p * t - 0.81853657961F;
  p = p * t + 0.02035049163F;
  p = p * t - 0.05186151713F;
  p = p * t + 0.05253269896F;
  p = p * t + 0.38292455673F;
  p = p * t + 0.99906039238F;
  p = p * t - 1.26546871662F;
  const Floats tail = 0.5F * t * exponential(p - 0.5F * x * x);
  return x * (x < 0.0F ? tail : 1.0F - tail);
}

}  // namespace
