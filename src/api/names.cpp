// Names of the enumerations.
#include "moxie/moxie.h"
#include "runtime/build_info.h"
#include "runtime/dtype.h"

const char* mox_version(void) { return MOXIE_VERSION; }

const char* mox_status_name(mox_status status) {
  switch (status) {
    case MOX_OK:
      return "ok";
    case MOX_INVALID_ARGUMENT:
      return "invalid argument";
    case MOX_INVALID_FILE:
      return "invalid file";
    case MOX_NOT_FOUND:
      return "not found";
    case MOX_UNSUPPORTED:
      return "unsupported";
    case MOX_OUT_OF_MEMORY:
      return "out of memory";
    case MOX_NUMERIC:
      return "numeric";
    case MOX_IO:
      return "input/output";
    case MOX_INTERNAL:
      return "internal";
  }
  return "unknown status";
}

const char* mox_dtype_name(mox_dtype dtype) {
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

size_t mox_dtype_size(mox_dtype dtype) { return moxie::element_size(dtype); }

const char* mox_isa_name(mox_isa isa) {
  switch (isa) {
    case MOX_ISA_BEST:
      return "best";
    case MOX_ISA_PORTABLE:
      return "portable";
    case MOX_ISA_AVX2:
      return "avx2";
    case MOX_ISA_AVX512:
      return "avx512";
    case MOX_ISA_AVX512_BF16:
      return "avx512_bf16";
    case MOX_ISA_AMX:
      return "amx";
  }
  return "unknown isa";
}

const char* mox_backend_name(mox_backend backend) {
  switch (backend) {
    case MOX_BACKEND_AUTO:
      return "auto";
    case MOX_BACKEND_NATIVE:
      return "native";
    case MOX_BACKEND_ONEDNN:
      return "onednn";
    case MOX_BACKEND_EIGEN:
      return "eigen";
    case MOX_BACKEND_REFERENCE:
      return "reference";
  }
  return "unknown backend";
}

const char* mox_adapter_kind_name(mox_adapter_kind kind) {
  switch (kind) {
    case MOX_ADAPTER_LORA:
      return "lora";
    case MOX_ADAPTER_MIXLORA:
      return "mixlora";
    case MOX_ADAPTER_MIXLORA_DYNAMIC:
      return "mixlora-dynamic";
    case MOX_ADAPTER_MIXLORA_SWITCH:
      return "mixlora-switch";
    case MOX_ADAPTER_LORAMOE:
      return "loramoe";
    case MOX_ADAPTER_MOLA:
      return "mola";
  }
  return "unknown kind";
}
