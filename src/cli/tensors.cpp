#include "cli/tensors.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "cli/failure.h"

namespace moxie::cli {
namespace {

template <typename Stored, typename Value, typename Convert>
std::vector<Value> convert(const Tensor& tensor, Convert to_value) {
  std::vector<Value> values(static_cast<size_t>(tensor.count()));
  for (size_t i = 0; i < values.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, tensor.bytes.data() + i * sizeof stored, sizeof stored);
    values[i] = static_cast<Value>(to_value(stored));
  }
  return values;
}

double from_bfloat16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

double from_float16(uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int fraction = bits & 1023;
  const double sign = bits >> 15 ? -1 : 1;
  if (exponent == 31) return fraction ? NAN : sign * INFINITY;
  return sign * (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(fraction + 1024, exponent - 25));
}

template <typename T>
T same(T value) {
  return value;
}

template <typename Value>
std::vector<Value> real_values(const Tensor& tensor) {
  switch (tensor.dtype) {
    case MOX_F32:
      return convert<float, Value>(tensor, same<float>);
    case MOX_F64:
      return convert<double, Value>(tensor, same<double>);
    case MOX_BF16:
      return convert<uint16_t, Value>(tensor, from_bfloat16);
    case MOX_F16:
      return convert<uint16_t, Value>(tensor, from_float16);
    default:
      throw Failure("tensor '" + tensor.name + "' holds " + mox_dtype_name(tensor.dtype) +
                    ", expected a floating-point type");
  }
}

}  // namespace

int64_t Tensor::count() const { return static_cast<int64_t>(bytes.size() / mox_dtype_size(dtype)); }

bool Tensor::is_integer() const {
  return dtype != MOX_F32 && dtype != MOX_F64 && dtype != MOX_BF16 && dtype != MOX_F16;
}

std::vector<double> Tensor::reals() const { return real_values<double>(*this); }

std::vector<float> Tensor::floats() const { return real_values<float>(*this); }

std::vector<int64_t> Tensor::integers() const {
  switch (dtype) {
    case MOX_I64:
      return convert<int64_t, int64_t>(*this, same<int64_t>);
    case MOX_I32:
      return convert<int32_t, int64_t>(*this, same<int32_t>);
    case MOX_I16:
      return convert<int16_t, int64_t>(*this, same<int16_t>);
    case MOX_I8:
      return convert<int8_t, int64_t>(*this, same<int8_t>);
    case MOX_U8:
    case MOX_BOOL:
      return convert<uint8_t, int64_t>(*this, same<uint8_t>);
    default:
      throw Failure("tensor '" + name + "' holds " + mox_dtype_name(dtype) + ", expected an integer type");
  }
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

TensorFile::TensorFile(const std::string& path) : path_(path), file_(make<File>(mox_file_open, path.c_str())) {
  const auto info = describe<mox_file_info>(mox_file_describe, file_);
  if (info.problems == 0) return;
  const char* problem = nullptr;
  call(mox_file_problem, file_.get(), int64_t{0}, &problem);
  throw Failure(path + ": " + problem);
}

std::vector<std::string> TensorFile::names() const {
  const auto info = describe<mox_file_info>(mox_file_describe, file_);
  std::vector<std::string> names;
  for (int64_t i = 0; i < info.tensors; ++i) {
    names.emplace_back(describe<mox_tensor_info>(mox_file_tensor, file_, i).name);
  }
  return names;
}

bool TensorFile::has(const std::string& name) const {
  int64_t index = 0;
  return mox_file_find_tensor(file_.get(), name.c_str(), &index, nullptr) == MOX_OK;
}

Tensor TensorFile::read(const std::string& name) const {
  int64_t index = 0;
  call(mox_file_find_tensor, file_.get(), name.c_str(), &index);
  const auto info = describe<mox_tensor_info>(mox_file_tensor, file_, index);
  Tensor tensor{name, info.dtype, {info.shape, info.shape + info.dimensions}, {}};
  tensor.bytes.resize(static_cast<size_t>(info.bytes));
  call(mox_file_read_tensor, file_.get(), index, static_cast<void*>(tensor.bytes.data()), tensor.bytes.size());
  return tensor;
}

}  // namespace moxie::cli
