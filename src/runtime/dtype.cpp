#include "runtime/dtype.h"

namespace moxie {

const char* dtype_name(DType dtype) {
  switch (dtype) {
    case MOX_F32:
      return "float32";
    case MOX_BF16:
      return "bfloat16";
    case MOX_F16:
      return "float16";
    case MOX_F64:
      return "float64";
    case MOX_I64:
      return "int64";
    case MOX_I32:
      return "int32";
    case MOX_I16:
      return "int16";
    case MOX_I8:
      return "int8";
    case MOX_U8:
      return "uint8";
    case MOX_BOOL:
      return "bool";
  }
  return "unknown dtype";
}

}  // namespace moxie
