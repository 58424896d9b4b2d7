// Names of the enumerations.
#include "kernels/names.h"

#include "adapter/adapter.h"
#include "moxie/moxie.h"
#include "runtime/build_info.h"
#include "runtime/dtype.h"
#include "runtime/placement.h"

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

const char* mox_dtype_name(mox_dtype dtype) { return moxie::dtype_name(dtype); }

size_t mox_dtype_size(mox_dtype dtype) { return moxie::element_size(dtype); }

const char* mox_isa_name(mox_isa isa) { return moxie::kernels::isa_name(isa); }

const char* mox_backend_name(mox_backend backend) { return moxie::kernels::backend_name(backend); }

const char* mox_affinity_name(mox_affinity affinity) { return moxie::affinity_name(affinity); }

const char* mox_adapter_kind_name(mox_adapter_kind kind) { return moxie::adapter::kind_name(kind); }
