using System.Collections.Concurrent;
using Xunit;

namespace Moxie.Tests;

public class RuntimeTests
{
    [Fact]
    public void TellsWhatItChoseAndWhyNotOthers()
    {
        using var runtime = new Runtime(new RuntimeOptions { Threads = 1, InstructionSet = InstructionSet.Portable, Backend = Backend.Native });
        var info = runtime.Info;
        Assert.Equal((1, InstructionSet.Portable, Affinity.None), (info.Threads, info.InstructionSet, info.Affinity));
        Assert.Contains("native", info.Backends);
        Assert.Contains(runtime.Kernels, kernel => kernel.SkippedBecause is null);
        Assert.Contains(runtime.Kernels, kernel => !string.IsNullOrEmpty(kernel.SkippedBecause));
        Assert.NotEmpty(info.Cpu);
        Assert.NotEmpty(info.Cpus);
        Assert.True(info.Cores > 0 && info.NumaNodes > 0 && info.MachineInstructionSet >= InstructionSet.Portable);
        Assert.Equal(("portable", "portable"), (info.Float32Kernel, info.BFloat16Kernel));
    }

    [Fact]
    public void OptionsThatMakeNoSenseAreRefused()
    {
        Assert.Contains("-1", Assert.Throws<MoxieArgumentException>(() => new Runtime(new RuntimeOptions { Threads = -1 })).Message);
        Assert.Contains("zero", Assert.Throws<MoxieArgumentException>(() => new Runtime(new RuntimeOptions { Cpus = "zero" })).Message);
    }

    [Fact]
    public void LogLinesReachTheCallbackAlsoFromModelsThatOutliveTheRuntime()
    {
        var lines = new ConcurrentQueue<(RuntimeLogLevel Level, string Text)>();
        var model = OpenAndForget(text => lines.Enqueue(text));
        Usage.Collect();
        Assert.NotEmpty(lines);
        Assert.All(lines, line => Assert.False(line.Text.Length == 0 || line.Text.Contains('\n'), line.Text));
        using var sequence = model.CreateSequence();
        model.Step(sequence, [1], new float[model.Info.Vocabulary]);
        model.Dispose();
    }

    [Fact]
    public void ACallbackThatThrowsDisturbsNobody()
    {
        var calls = 0;
        using var runtime = new Runtime(new RuntimeOptions
        {
            LogLevel = RuntimeLogLevel.Verbose,
            Log = (_, _) =>
            {
                Interlocked.Increment(ref calls);
                throw new InvalidOperationException("the log is full");
            },
        });
        using var model = runtime.OpenModel(Shared.ModelFolder("tiny-llama"), Shared.Float32);
        using var sequence = model.CreateSequence();
        using var expected = Shared.Llama.CreateSequence();
        float[] logits = new float[model.Info.Vocabulary], reference = new float[logits.Length];
        model.Step(sequence, [1, 2, 3], logits);
        Shared.Llama.Step(expected, [1, 2, 3], reference);
        Shared.SameBits(reference, logits, "with a callback that throws");
        Assert.True(calls > 0, "nothing was logged");
        Assert.Equal("the log is full", Assert.IsType<InvalidOperationException>(runtime.LogFailure).Message);
    }

    private static Model OpenAndForget(Action<(RuntimeLogLevel, string)> log)
    {
        using var runtime = new Runtime(new RuntimeOptions { LogLevel = RuntimeLogLevel.Verbose, Log = (level, text) => log((level, text)) });
        Assert.Null(runtime.LogFailure);
        return runtime.OpenModel(Shared.ModelFolder("tiny-llama"));
    }
}
