// Vectors that take every step together. A function of many steps that wait for each other leaves a core's multipliers
// idle with one vector, because it cannot look far enough ahead to begin the next ones meanwhile.

namespace {

template <int count>
struct Several {
  Floats part[count];
};

template <int count, class Make>
inline Several<count> each(Make make) {
  Several<count> made;
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) made.part[i] = make(i);
  return made;
}

template <int count>
inline Several<count> load_several(const float* from) {
  return each<count>([from](int i) { return load(from + i * lanes); });
}

template <int count>
inline void store(float* to, const Several<count>& v) {
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) store(to + i * lanes, v.part[i]);
}

template <int count>
inline Several<count> operator+(const Several<count>& a, const Several<count>& b) {
  return each<count>([&](int i) { return a.part[i] + b.part[i]; });
}
template <int count>
inline Several<count> operator-(const Several<count>& a, const Several<count>& b) {
  return each<count>([&](int i) { return a.part[i] - b.part[i]; });
}
template <int count>
inline Several<count> operator*(const Several<count>& a, const Several<count>& b) {
  return each<count>([&](int i) { return a.part[i] * b.part[i]; });
}
template <int count>
inline Several<count> operator/(const Several<count>& a, const Several<count>& b) {
  return each<count>([&](int i) { return a.part[i] / b.part[i]; });
}
template <int count>
inline Several<count> operator+(const Several<count>& a, float b) {
  return each<count>([&](int i) { return a.part[i] + b; });
}
template <int count>
inline Several<count> operator-(const Several<count>& a, float b) {
  return each<count>([&](int i) { return a.part[i] - b; });
}
template <int count>
inline Several<count> operator*(const Several<count>& a, float b) {
  return each<count>([&](int i) { return a.part[i] * b; });
}

template <int count>
inline Several<count> broadcast_several(float value) {
  return each<count>([value](int) { return broadcast(value); });
}
template <int count>
inline Several<count> magnitude(const Several<count>& v) {
  return each<count>([&](int i) { return (Floats)((Unsigned)v.part[i] & 0x7fffffffU); });
}
template <int count>
inline Several<count> negative_magnitude(const Several<count>& v) {
  return each<count>([&](int i) { return (Floats)((Unsigned)v.part[i] | 0x80000000U); });
}
// A NaN stays.
template <int count>
inline Several<count> clamped(const Several<count>& v, float lowest, float highest) {
  const Floats low = broadcast(lowest), high = broadcast(highest);
  return each<count>([&](int i) { return larger(low, smaller(high, v.part[i])); });
}
template <int count>
inline Several<count> where_negative(const Several<count>& v, const Several<count>& then,
                                     const Several<count>& otherwise) {
  return each<count>([&](int i) { return v.part[i] < 0.0F ? then.part[i] : otherwise.part[i]; });
}

}  // namespace
