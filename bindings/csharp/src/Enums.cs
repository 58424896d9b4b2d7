namespace Moxie;

/// <summary>The outcome of a call of the library.</summary>
public enum Status
{
    /// <summary>Success.</summary>
    Ok = 0,
    /// <summary>The arguments do not fit together, or with the object.</summary>
    InvalidArgument = 1,
    /// <summary>A file's contents are damaged, hostile or contradictory.</summary>
    InvalidFile = 2,
    /// <summary>No such file, folder, layer or tensor.</summary>
    NotFound = 3,
    /// <summary>Well formed, but it cannot be done here.</summary>
    Unsupported = 4,
    /// <summary>No memory.</summary>
    OutOfMemory = 5,
    /// <summary>A NaN or infinity where a decision is to be made.</summary>
    Numeric = 6,
    /// <summary>The operating system refused to read.</summary>
    IO = 7,
    /// <summary>A defect of the library.</summary>
    Internal = 8,
}

/// <summary>Element type of a tensor.</summary>
public enum ElementType
{
    /// <summary>IEEE 754 binary32, <see cref="float"/>.</summary>
    Float32 = 0,
    /// <summary>The upper half of a float32, <see cref="Moxie.BFloat16"/>.</summary>
    BFloat16 = 1,
    /// <summary>IEEE 754 binary16, <see cref="Half"/>.</summary>
    Float16 = 2,
    /// <summary>IEEE 754 binary64; in files only.</summary>
    Float64 = 3,
    /// <summary>64-bit integers; in files only.</summary>
    Int64 = 4,
    /// <summary>32-bit integers; in files only.</summary>
    Int32 = 5,
    /// <summary>16-bit integers; in files only.</summary>
    Int16 = 6,
    /// <summary>8-bit integers; in files only.</summary>
    Int8 = 7,
    /// <summary>Bytes; in files only.</summary>
    UInt8 = 8,
    /// <summary>One byte, 0 or 1; in files only.</summary>
    Boolean = 9,
}

/// <summary>Activation of a feed-forward.</summary>
public enum Activation
{
    /// <summary>Adapters only: whatever the base uses.</summary>
    Base = 0,
    /// <summary>x * sigmoid(x).</summary>
    Silu = 1,
    /// <summary>Exact, with erf.</summary>
    Gelu = 2,
    /// <summary>gelu_new, gelu_pytorch_tanh.</summary>
    GeluTanh = 3,
    /// <summary>max(x, 0).</summary>
    Relu = 4,
}

/// <summary>Instruction-set level of the kernels, lowest to highest.</summary>
public enum InstructionSet
{
    /// <summary>The highest the machine has, or one below that is quicker there.</summary>
    Best = 0,
    /// <summary>Any x86-64.</summary>
    Portable = 1,
    /// <summary>AVX2 and FMA.</summary>
    Avx2 = 2,
    /// <summary>AVX-512 F, BW, DQ, VL.</summary>
    Avx512 = 3,
    /// <summary>And VDPBF16PS.</summary>
    Avx512BFloat16 = 4,
    /// <summary>And AMX-TILE, AMX-BF16.</summary>
    Amx = 5,
}

/// <summary>Who computes the large products.</summary>
public enum Backend
{
    /// <summary>The first of the kernel table that the machine allows.</summary>
    Auto = 0,
    /// <summary>The library's own kernels.</summary>
    Native = 1,
    /// <summary>oneDNN.</summary>
    OneDnn = 2,
    /// <summary>Eigen.</summary>
    Eigen = 3,
    /// <summary>Plain loops, the twin every kernel is tested against.</summary>
    Reference = 4,
}

/// <summary>Whether a backend that cannot keep results bit-identical across batch compositions may be chosen. All
/// kernels shipped today keep them.</summary>
public enum Numerics
{
    /// <summary>The same bits in any company.</summary>
    Reproducible = 0,
    /// <summary>Whatever is fastest.</summary>
    Fastest = 1,
}

/// <summary>How the threads are bound to CPUs.</summary>
public enum Affinity
{
    /// <summary><see cref="Compact"/> where CPUs are given, else <see cref="None"/>.</summary>
    Auto = 0,
    /// <summary>The system moves threads as it likes, within the CPUs where given.</summary>
    None = 1,
    /// <summary>Thread i on a CPU of the i-th core; no two threads share a core.</summary>
    Cores = 2,
    /// <summary>Thread i on the i-th CPU, hyperthread siblings side by side.</summary>
    Compact = 3,
}

/// <summary>How much a runtime says.</summary>
public enum RuntimeLogLevel
{
    /// <summary>What somebody should look at.</summary>
    Warning = 0,
    /// <summary>What was chosen and done.</summary>
    Info = 1,
    /// <summary>And why.</summary>
    Verbose = 2,
}

/// <summary>What a feed-forward is made of.</summary>
public enum FeedForwardKind
{
    /// <summary>down(act(gate(x)) * up(x)).</summary>
    Gated = 0,
    /// <summary>down(act(gate(x))): gate is the first linear, up is absent.</summary>
    Plain = 1,
    /// <summary>A bank of gated experts with a router.</summary>
    Experts = 2,
}

/// <summary>How a router turns logits into weights.</summary>
public enum RouterKind
{
    /// <summary>The k largest logits, softmax over those (Mixtral).</summary>
    TopK = 0,
    /// <summary>Softmax over all, the k most probable, renormalised (MixLoRA).</summary>
    MixLora = 1,
    /// <summary>Likeliest first, up to and including the first whose running sum exceeds p; not renormalised.</summary>
    Dynamic = 2,
    /// <summary>The most probable expert, which serves its first rows of each sequence (Switch).</summary>
    Switch = 3,
    /// <summary>Every expert, weighted by its probability (LoRAMoE).</summary>
    LoraMoe = 4,
    /// <summary>As <see cref="MixLora"/>, on each linear (MoLA).</summary>
    Mola = 5,
}

/// <summary>How weights are held and computed with. bfloat16 weights round each product's input to bfloat16 once and
/// accumulate in float32.</summary>
public enum WeightPrecision
{
    /// <summary>float32 and bfloat16 as they are; float16 is widened to float32.</summary>
    AsStored = 0,
    /// <summary>Widened: exact, and inputs are not rounded.</summary>
    Float32 = 1,
    /// <summary>Rounded to nearest even.</summary>
    BFloat16 = 2,
}

/// <summary>How bfloat16 weights lie in memory. Compact ones take three quarters of it, and come out bit by bit: results
/// are the same. Matrices whose weights differ too much in size from each other are held plain whatever is asked for, as
/// float32 is.</summary>
public enum WeightStorage
{
    /// <summary>Compact from 1 MiB on, where the kernels in use are expected to be quicker so.</summary>
    Auto = 0,
    /// <summary>Two bytes for a weight.</summary>
    Plain = 1,
    /// <summary>Compact wherever the weights allow.</summary>
    Compact = 2,
}

/// <summary>Whether packed weights are kept in a file for the next start.</summary>
public enum PackedCacheMode
{
    /// <summary>They are not.</summary>
    Off = 0,
    /// <summary>Used where it fits the checkpoint; else written, or written anew.</summary>
    ReadWrite = 1,
    /// <summary>Used where it fits; never written.</summary>
    Read = 2,
}

/// <summary>What an adapter is.</summary>
public enum AdapterKind
{
    /// <summary>LoRA, rsLoRA (by the scaling), DoRA (by the magnitudes).</summary>
    Lora = 0,
    /// <summary>MixLoRA with a top-k router.</summary>
    MixLora = 1,
    /// <summary>MixLoRA with a top-p router.</summary>
    MixLoraDynamic = 2,
    /// <summary>MixLoRA with a switch router.</summary>
    MixLoraSwitch = 3,
    /// <summary>LoRAMoE.</summary>
    LoraMoe = 4,
    /// <summary>MoLA.</summary>
    Mola = 5,
}

/// <summary>The linears of a feed-forward.</summary>
public enum Projection
{
    /// <summary>Of a plain feed-forward: its first linear.</summary>
    Gate = 0,
    /// <summary>Absent from a plain feed-forward.</summary>
    Up = 1,
    /// <summary>Back to the hidden width.</summary>
    Down = 2,
}

/// <summary>What a path holds.</summary>
public enum TensorFileKind
{
    /// <summary>A single tensor file.</summary>
    Tensors = 0,
    /// <summary>A base model.</summary>
    Checkpoint = 1,
    /// <summary>An adapter.</summary>
    Adapter = 2,
}
