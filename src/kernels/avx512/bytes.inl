// What body/compact.inl needs of AVX-512, within each 16 bytes of a register.

namespace {

using Bytes = uint8_t __attribute__((vector_size(64)));

inline Bytes repeat(const uint8_t* sixteen) {
  // The mask only keeps the compiler from speaking of an uninitialised operand.
  const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(sixteen));
  return (Bytes)_mm512_maskz_broadcast_i32x4(0xffff, v);
}
inline Bytes upper_bytes(Bytes table, Bytes codes) {
  return (Bytes)_mm512_shuffle_epi8((__m512i)table, (__m512i)codes);
}
inline Bytes interleave_low(Bytes a, Bytes b) { return (Bytes)_mm512_unpacklo_epi8((__m512i)a, (__m512i)b); }
inline Bytes interleave_high(Bytes a, Bytes b) { return (Bytes)_mm512_unpackhi_epi8((__m512i)a, (__m512i)b); }
inline Bytes even_bytes(Bytes a, Bytes b) {
  return (Bytes)_mm512_packus_epi16((__m512i)a & _mm512_set1_epi16(0xff), (__m512i)b & _mm512_set1_epi16(0xff));
}

}  // namespace
