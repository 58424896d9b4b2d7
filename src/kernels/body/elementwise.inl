// Activation, sums, softmax, RMS norm, rounding to bfloat16.

namespace {

// So many vectors of an activation at a time as there are registers for their steps.
constexpr int activated_at_once = registers == 32 ? 8 : 2;

template <class Function>
inline void activate_with(Function function, const float* gate, const float* up, float weight, int64_t count, float* h,
                          bool accumulate) {
  const auto vectors = [&]<int several>(std::integral_constant<int, several>, int64_t i) {
    Several<several> value = function(load_several<several>(gate + i)) * weight;
    if (up != nullptr) value = value * load_several<several>(up + i);
    if (accumulate) value = value + load_several<several>(h + i);
    store(h + i, value);
  };
  int64_t i = 0;
  for (; i + activated_at_once * lanes <= count; i += activated_at_once * lanes) {
    vectors(std::integral_constant<int, activated_at_once>(), i);
  }
  for (; i + lanes <= count; i += lanes) vectors(std::integral_constant<int, 1>(), i);
  if (i == count) return;
  const int64_t rest = count - i;
  Floats value = weight * function(Several<1>{{load_part(gate + i, rest, 0)}}).part[0];
  if (up != nullptr) value *= load_part(up + i, rest, 0);
  if (accumulate) value += load_part(h + i, rest, 0);
  store_part(h + i, rest, value);
}

inline float largest_of(const float* x, int64_t count) {
  Floats v = broadcast(x[0]);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) v = larger(load(x + i), v);
  if (i < count) v = larger(load_part(x + i, count - i, x[0]), v);
  float result = v[0];
  for (int lane = 1; lane < lanes; ++lane) result = v[lane] > result ? v[lane] : result;
  return result;
}

}  // namespace

void activate(mox_activation activation, const float* gate, const float* up, float weight, int64_t count, float* h,
              bool accumulate) {
  switch (activation) {
    case MOX_ACTIVATION_SILU:
      return activate_with([](const auto& x) { return silu(x); }, gate, up, weight, count, h, accumulate);
    case MOX_ACTIVATION_GELU:
      return activate_with([](const auto& x) { return gelu(x); }, gate, up, weight, count, h, accumulate);
    case MOX_ACTIVATION_GELU_TANH:
      return activate_with([](const auto& x) { return gelu_tanh(x); }, gate, up, weight, count, h, accumulate);
    case MOX_ACTIVATION_RELU:
      return activate_with([](const auto& x) { return relu(x); }, gate, up, weight, count, h, accumulate);
    case MOX_ACTIVATION_BASE:
      // "Whatever the base uses" is settled when an adapter is opened.
      return activate_with([](const auto& x) { return x; }, gate, up, weight, count, h, accumulate);
  }
}

void add(const float* a, const float* b, int64_t count, float* sum) {
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) store(sum + i, load(a + i) + load(b + i));
  for (; i < count; ++i) sum[i] = a[i] + b[i];
}

void softmax(const float* x, int64_t count, float* probabilities) {
  if (count <= 0) return;
  const float largest = largest_of(x, count);
  Sixteen sum;
  int64_t i = 0;
  for (; i + sixteen <= count; i += sixteen) {
    for (int v = 0; v < vectors_of_sixteen; ++v) {
      const Floats e = exponential(load(x + i + v * lanes) - largest);
      store(probabilities + i + v * lanes, e);
      sum.part[v] += e;
    }
  }
  if (i < count) {
    Rest rest(x + i, count - i);
    for (int v = 0; v < vectors_of_sixteen; ++v) {
      store(rest.values + v * lanes, exponential(load(rest.values + v * lanes) - largest));
    }
    for (int64_t j = count - i; j < sixteen; ++j) rest.values[j] = 0;
    for (int64_t j = 0; j < count - i; ++j) probabilities[i + j] = rest.values[j];
    for (int v = 0; v < vectors_of_sixteen; ++v) sum.part[v] += load(rest.values + v * lanes);
  }
  const float total = sum.total();
  for (i = 0; i + lanes <= count; i += lanes) store(probabilities + i, load(probabilities + i) / total);
  for (; i < count; ++i) probabilities[i] /= total;
}

void rms_norm(const float* x, const float* weight, double epsilon, int64_t count, float* y) {
  Sixteen sum;
  int64_t i = 0;
  for (; i + sixteen <= count; i += sixteen) sum.add_products(x + i, x + i);
  if (i < count) {
    const Rest rest(x + i, count - i);
    sum.add_products(rest.values, rest.values);
  }
  const double mean = static_cast<double>(sum.total()) / static_cast<double>(count);
  const auto scale = static_cast<float>(1.0 / __builtin_sqrt(mean + epsilon));
  for (i = 0; i + lanes <= count; i += lanes) store(y + i, load(x + i) * scale * load(weight + i));
  for (; i < count; ++i) y[i] = x[i] * scale * weight[i];
}

// To nearest even; a NaN stays a NaN. Not by the instructions of AVX512_BF16: those flush subnormal numbers.
void to_bfloat16(const float* x, int64_t count, bfloat16* y) {
  const auto round = [](Floats v) {
    const Unsigned bits = (Unsigned)v;
    const Unsigned rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    const Unsigned quiet = (bits >> 16) | 0x40U;
    return __builtin_convertvector((bits & 0x7fffffffU) > 0x7f800000U ? quiet : rounded, Shorts);
  };
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const Shorts rounded = round(load(x + i));
    __builtin_memcpy(y + i, &rounded, sizeof rounded);
  }
  if (i == count) return;
  const Shorts rounded = round(load_part(x + i, count - i, 0));
  for (int64_t j = 0; i + j < count; ++j) y[i + j] = rounded[j];
}
