package moxie

import (
	"errors"
	"unsafe"

	"moxie.dev/go/moxie/internal/raw"
)

// ISA is an instruction-set level of the kernels, lowest to highest.
type ISA int

// The levels. ISABest is the highest the machine has, or one below that is quicker there.
const (
	ISABest       ISA = 0
	ISAPortable   ISA = 1 // any x86-64
	ISAAVX2       ISA = 2 // AVX2 and FMA
	ISAAVX512     ISA = 3 // AVX-512 F, BW, DQ, VL
	ISAAVX512BF16 ISA = 4 // and VDPBF16PS
	ISAAMX        ISA = 5 // and AMX-TILE, AMX-BF16
)

// String is the name as the environment's MOXIE_ISA takes it.
func (i ISA) String() string { return raw.Mox_isa_name(raw.Enum_SS_mox_isa(i)) }

// Backend is who computes the large products.
type Backend int

// The backends. BackendAuto is the first of the kernel table that the machine allows.
const (
	BackendAuto      Backend = 0
	BackendNative    Backend = 1 // the library's own kernels
	BackendOneDNN    Backend = 2
	BackendEigen     Backend = 3
	BackendReference Backend = 4 // plain loops
)

// String is the name as the environment's MOXIE_BACKEND takes it.
func (b Backend) String() string { return raw.Mox_backend_name(raw.Enum_SS_mox_backend(b)) }

// Numerics says whether a backend may be chosen that cannot keep results bit-identical across batch compositions. All
// kernels shipped today keep them.
type Numerics int

// The choices.
const (
	NumericsReproducible Numerics = 0
	NumericsFastest      Numerics = 1
)

// Affinity is how the team's threads are bound to CPUs.
type Affinity int

// The ways of binding.
const (
	AffinityAuto    Affinity = 0 // compact where CPUs is given, else none
	AffinityNone    Affinity = 1 // the system moves threads as it likes, within CPUs where given
	AffinityCores   Affinity = 2 // thread i on a CPU of the i-th core; no two threads share a core
	AffinityCompact Affinity = 3 // thread i on the i-th CPU, hyperthread siblings side by side
)

// String is the name as the environment's MOXIE_AFFINITY takes it.
func (a Affinity) String() string { return raw.Mox_affinity_name(raw.Enum_SS_mox_affinity(a)) }

// RuntimeOptions are the choices of NewRuntime. The zero value takes MOXIE_ISA, MOXIE_BACKEND, MOXIE_THREADS,
// MOXIE_AFFINITY and MOXIE_CPUS from the environment, and else the library's defaults.
type RuntimeOptions struct {
	Threads  int     // 0: one for each physical core the process may run on; at most 1024
	ISA      ISA     // highest level to use; one the machine lacks is an error
	Backend  Backend // one this build or machine lacks is an error
	Numerics Numerics
	Affinity Affinity
	CPUs     string // CPUs to run on, "0-15,32"; "": all the process may run on

	// Log receives one line without a line break, in a goroutine of its own, from whichever thread noticed; several
	// lines may come at once. Whoever logs waits for it to return: keep it short, and call nothing of this Runtime
	// from it. A panic in it is caught, and the first one is what Close of the Runtime returns. Nil: silent.
	Log      func(level LogLevel, text string)
	LogLevel LogLevel
}

// Runtime owns a team of threads, which all work of its models, blocks and feed-forwards is queued to. Create one for
// a process and share it: any number of goroutines may use it at once.
type Runtime struct{ handle *handle }

// NewRuntime makes a runtime; options nil: the defaults. Threads start with the first work.
func NewRuntime(options *RuntimeOptions) (made *Runtime, err error) {
	if err := checkVersion(); err != nil {
		return nil, err
	}
	var memory memory
	defer memory.release(&err)
	if options == nil {
		options = &RuntimeOptions{}
	}
	o := raw.NewMox_runtime_options()
	defer raw.DeleteMox_runtime_options(o)
	raw.Mox_runtime_options_init(o, o.GetStruct_size())
	o.SetThreads(int32Of("Threads", options.Threads))
	o.SetIsa(raw.Enum_SS_mox_isa(options.ISA))
	o.SetBackend(raw.Enum_SS_mox_backend(options.Backend))
	o.SetNumerics(raw.Enum_SS_mox_numerics(options.Numerics))
	o.SetAffinity(raw.Enum_SS_mox_affinity(options.Affinity))
	raw.Moxie_go_set_cpus(o, memory.text("CPUs", options.CPUs))
	o.SetLog_level(raw.Enum_SS_mox_log_level(options.LogLevel))
	var log *listener
	if options.Log != nil {
		log = newListener(options.Log)
		log.retain()
		defer log.release()
		raw.Moxie_go_set_log(o, uint64(log.handle))
	}
	var object uintptr
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status { return raw.Mox_runtime_create(o, &object, e) })
	if err != nil {
		return nil, err
	}
	return &Runtime{newHandle("Runtime", object, raw.Mox_runtime_free, log)}, nil
}

// Close gives the runtime up; what was made with it keeps what it needs. Closing twice is fine. The error is the first
// panic of the log callback, if there was one.
func (r *Runtime) Close() error {
	r.handle.close()
	if r.handle == nil {
		return nil
	}
	return r.handle.log.err()
}

// RuntimeInfo is what a Runtime settled on.
type RuntimeInfo struct {
	Threads    int
	ISA        ISA      // the level in use
	MachineISA ISA      // the highest this machine has
	CPU        string   // the processor's own name
	Backends   string   // backends in this build: "native,onednn,eigen,reference"
	KernelF32  string   // kernel chosen for float32 weights
	KernelBF16 string   // kernel chosen for bfloat16 weights
	Affinity   Affinity // as settled: never AffinityAuto
	Cores      int      // physical cores the threads may run on
	NUMANodes  int      // NUMA nodes those cores are on
	CPUs       string   // CPUs the threads may run on, "0-15,32"
}

// Describe tells what was chosen.
func (r *Runtime) Describe() (RuntimeInfo, error) {
	object, err := r.handle.use()
	if err != nil {
		return RuntimeInfo{}, err
	}
	defer r.handle.done()
	info := raw.NewMox_runtime_info()
	defer raw.DeleteMox_runtime_info(info)
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status { return raw.Mox_runtime_describe(object, info, e) })
	if err != nil {
		return RuntimeInfo{}, err
	}
	return RuntimeInfo{
		Threads:    int(info.GetThreads()),
		ISA:        ISA(info.GetIsa()),
		MachineISA: ISA(info.GetMachine_isa()),
		CPU:        info.GetCpu(),
		Backends:   info.GetBackends(),
		KernelF32:  info.GetKernel_f32(),
		KernelBF16: info.GetKernel_bf16(),
		Affinity:   Affinity(info.GetAffinity()),
		Cores:      int(info.GetCores()),
		NUMANodes:  int(info.GetNuma_nodes()),
		CPUs:       info.GetCpus(),
	}, nil
}

// Kernel is an entry of the kernel table.
type Kernel struct {
	Name           string
	SkippedBecause string // why it is not used; "" where it can be
}

// Kernels gives the kernel table, best to reference.
func (r *Runtime) Kernels() ([]Kernel, error) {
	object, err := r.handle.use()
	if err != nil {
		return nil, err
	}
	defer r.handle.done()
	var kernels []Kernel
	for {
		var name, skipped unsafe.Pointer
		err := call(func(e raw.Mox_error) raw.Enum_SS_mox_status {
			return raw.Mox_runtime_kernel(object, int64(len(kernels)), &name, &skipped, e)
		})
		if errors.Is(err, ErrNotFound) {
			return kernels, nil
		}
		if err != nil {
			return nil, err
		}
		kernels = append(kernels, Kernel{raw.Moxie_go_string(name), raw.Moxie_go_string(skipped)})
	}
}
