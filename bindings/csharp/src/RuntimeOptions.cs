namespace Moxie;

/// <summary>How a <see cref="Runtime"/> is made. Fields left alone heed the environment: MOXIE_THREADS, MOXIE_ISA,
/// MOXIE_BACKEND, MOXIE_AFFINITY, MOXIE_CPUS.</summary>
public sealed record RuntimeOptions
{
    /// <summary>Threads of the team; 0: one for each physical core this process may run on. At most 1024.</summary>
    public int Threads { get; init; }

    /// <summary>Highest level to use; one the machine lacks is an error.</summary>
    public InstructionSet InstructionSet { get; init; }

    /// <summary>Forced backend; one this build or machine lacks is an error.</summary>
    public Backend Backend { get; init; }

    /// <summary>Whether the same bits in any company are required.</summary>
    public Numerics Numerics { get; init; }

    /// <summary>How the threads are bound to CPUs.</summary>
    public Affinity Affinity { get; init; }

    /// <summary>CPUs to run on, "0-15,32"; null: all this process may run on.</summary>
    public string? Cpus { get; init; }

    /// <summary>Receives log lines, on whichever thread noticed, never under a lock of the library. What it throws is
    /// kept in <see cref="Runtime.LogFailure"/> and goes no further. Null: silent.</summary>
    public Action<RuntimeLogLevel, string>? Log { get; init; }

    /// <summary>The most talkative level that <see cref="Log"/> receives.</summary>
    public RuntimeLogLevel LogLevel { get; init; }
}
