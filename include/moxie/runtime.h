/* The runtime: threads, instruction set, backend, log. Create one per process and share it. */
#ifndef MOXIE_RUNTIME_H
#define MOXIE_RUNTIME_H

#include "moxie/status.h"
#include "moxie/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Owns one OpenMP team, run from one executor thread. Any number of caller threads may call at
 * once: they only queue, so 200 callers make no more threads than one. Thread-safe. */
typedef struct mox_runtime mox_runtime;

/* Instruction-set level of the kernels, lowest to highest. */
typedef enum mox_isa {
  MOX_ISA_BEST = 0,        /* the highest the machine has, or one below that is quicker there */
  MOX_ISA_PORTABLE = 1,    /* any x86-64 */
  MOX_ISA_AVX2 = 2,        /* AVX2 and FMA */
  MOX_ISA_AVX512 = 3,      /* AVX-512 F, BW, DQ, VL */
  MOX_ISA_AVX512_BF16 = 4, /* and VDPBF16PS */
  MOX_ISA_AMX = 5          /* and AMX-TILE, AMX-BF16 */
} mox_isa;

/* Who computes the large products. */
typedef enum mox_backend {
  MOX_BACKEND_AUTO = 0,   /* the first of the kernel table that the machine allows */
  MOX_BACKEND_NATIVE = 1, /* this library's own kernels */
  MOX_BACKEND_ONEDNN = 2,
  MOX_BACKEND_EIGEN = 3,
  MOX_BACKEND_REFERENCE = 4 /* plain loops, the twin every kernel is tested against */
} mox_backend;

/* Whether a backend that cannot keep results bit-identical across batch compositions may be
 * chosen. All kernels shipped today keep them. */
typedef enum mox_numerics { MOX_NUMERICS_REPRODUCIBLE = 0, MOX_NUMERICS_FASTEST = 1 } mox_numerics;

/* How the team's threads are bound to CPUs. */
typedef enum mox_affinity {
  MOX_AFFINITY_AUTO = 0,   /* COMPACT where `cpus` is given, else NONE */
  MOX_AFFINITY_NONE = 1,   /* the system moves threads as it likes, within `cpus` where given */
  MOX_AFFINITY_CORES = 2,  /* thread i on a CPU of the i-th core; no two threads share a core */
  MOX_AFFINITY_COMPACT = 3 /* thread i on the i-th CPU, hyperthread siblings side by side */
} mox_affinity;

typedef enum mox_log_level { MOX_LOG_WARNING = 0, MOX_LOG_INFO = 1, MOX_LOG_VERBOSE = 2 } mox_log_level;

/* Receives one line of UTF-8 without a line break, on whichever thread noticed, never under a
 * lock of the library. `text` is valid during the call only. Must not throw or longjmp. */
typedef void (*mox_log_callback)(void* payload, mox_log_level level, const char* text);

typedef struct mox_runtime_options {
  size_t struct_size;
  int32_t threads;     /* 0: one for each core, see `affinity`; at most 1024 */
  mox_isa isa;         /* highest level to use; one the machine lacks is an error */
  mox_backend backend; /* forced backend; one this build or machine lacks is an error */
  mox_numerics numerics;
  mox_log_callback log; /* NULL: silent */
  void* log_payload;
  mox_log_level log_level;
  mox_affinity affinity;
  const char* cpus; /* CPUs to run on, "0-15,32"; NULL: all this process may run on. Read by create only */
} mox_runtime_options;

/* Threads, cores and CPUs
 *
 * The default is one thread for each physical core that the process may run on (sched_getaffinity,
 * so taskset, cpusets and numactl are heard), not one for each hyperthread: siblings share the
 * vector and matrix units that this work keeps busy. A CPU quota of the process's cgroup (version 1
 * or 2) lowers it to as many whole CPUs, but one at least. COMPACT takes every CPU that is left
 * after `cpus`; that is how to ask for hyperthreads too.
 *
 * Cores are counted node by node (NUMA), in each by their lowest CPU; a list given in `cpus` keeps
 * its own order. CORES and COMPACT need a core or a CPU for each thread: more threads than that is
 * an error, as is a list that is none, that names a CPU twice or one the process may not run on.
 *
 * While a runtime with `cpus`, CORES or COMPACT loads weights, the thread that opens or creates
 * the model, block, feed-forward or adapter (and helpers it starts) runs on the runtime's CPUs
 * too, so that Linux puts the weights' pages on the NUMA node that will read them; then it runs
 * where it ran before. */

/* Fills defaults. `struct_size` is sizeof(mox_runtime_options) as the caller was compiled. The
 * defaults take MOXIE_ISA (portable, avx2, avx512, avx512_bf16, amx), MOXIE_BACKEND (native,
 * onednn, eigen, reference), MOXIE_THREADS, MOXIE_AFFINITY (none, cores, compact) and MOXIE_CPUS
 * (a list) from the environment into account when the runtime is created and the field is still at
 * its default; an unknown value is an error of create. */
MOX_API void mox_runtime_options_init(mox_runtime_options* options, size_t struct_size);

/* options NULL: the defaults. The runtime starts its executor at the first work. */
MOX_API mox_status mox_runtime_create(const mox_runtime_options* options, mox_runtime** runtime, mox_error* error);

/* Gives up the caller's handle. Models, feed-forwards and blocks made with it keep what they
 * need; threads end when the last of them is freed. NULL is allowed. */
MOX_API void mox_runtime_free(mox_runtime* runtime);

typedef struct mox_runtime_info {
  size_t struct_size;
  int32_t threads;
  mox_isa isa;           /* the level in use */
  mox_isa machine_isa;   /* the highest this machine has */
  char cpu[64];          /* the processor's own name */
  char backends[128];    /* backends in this build, comma-separated: "native,onednn,eigen,reference" */
  char kernel_f32[64];   /* kernel chosen for float32 weights */
  char kernel_bf16[64];  /* kernel chosen for bfloat16 weights */
  mox_affinity affinity; /* as settled: never MOX_AFFINITY_AUTO */
  int32_t cores;         /* physical cores the threads may run on */
  int32_t numa_nodes;    /* NUMA nodes those cores are on */
  char cpus[256];        /* CPUs the threads may run on, "0-15,32"; CORES, COMPACT: in the threads' order */
} mox_runtime_info;

/* info->struct_size must be set by the caller. */
MOX_API mox_status mox_runtime_describe(const mox_runtime* runtime, mox_runtime_info* info, mox_error* error);

/* The kernel table, best to reference: entry `index`, with the reason why it is not used, or ""
 * where it can be. Strings live as long as the runtime. MOX_NOT_FOUND past the end. */
MOX_API mox_status mox_runtime_kernel(const mox_runtime* runtime, size_t index, const char** name,
                                      const char** skipped_because, mox_error* error);

/* Names as MOXIE_ISA and MOXIE_BACKEND take them; never NULL. Thread-safe. */
MOX_API const char* mox_isa_name(mox_isa isa);
MOX_API const char* mox_backend_name(mox_backend backend);
/* The same for MOXIE_AFFINITY. */
MOX_API const char* mox_affinity_name(mox_affinity affinity);

#ifdef __cplusplus
}
#endif

#endif
