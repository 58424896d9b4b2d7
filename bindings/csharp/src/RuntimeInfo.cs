namespace Moxie;

/// <summary>What a runtime chose, and from what.</summary>
public sealed record RuntimeInfo
{
    internal RuntimeInfo() { }

    /// <summary>Threads of the team.</summary>
    public int Threads { get; internal init; }

    /// <summary>The level in use.</summary>
    public InstructionSet InstructionSet { get; internal init; }

    /// <summary>The highest level this machine has.</summary>
    public InstructionSet MachineInstructionSet { get; internal init; }

    /// <summary>The processor's own name.</summary>
    public string Cpu { get; internal init; } = "";

    /// <summary>Names of the backends in this build.</summary>
    public IReadOnlyList<string> Backends { get; internal init; } = [];

    /// <summary>Kernel chosen for float32 weights.</summary>
    public string Float32Kernel { get; internal init; } = "";

    /// <summary>Kernel chosen for bfloat16 weights.</summary>
    public string BFloat16Kernel { get; internal init; } = "";

    /// <summary>As settled: never <see cref="Affinity.Auto"/>.</summary>
    public Affinity Affinity { get; internal init; }

    /// <summary>Physical cores the threads may run on.</summary>
    public int Cores { get; internal init; }

    /// <summary>NUMA nodes those cores are on.</summary>
    public int NumaNodes { get; internal init; }

    /// <summary>CPUs the threads may run on, "0-15,32"; where they are bound, in the threads' order.</summary>
    public string Cpus { get; internal init; } = "";
}

/// <summary>One entry of the kernel table.</summary>
/// <param name="Name">The kernel's name.</param>
/// <param name="SkippedBecause">Why it is not used here; null where it can be.</param>
public sealed record KernelInfo(string Name, string? SkippedBecause);
