using System.Runtime.CompilerServices;
using Xunit;

namespace Moxie.Tests;

/// <summary>Nothing leaks, nothing dies too early.</summary>
public class LifetimeTests
{
    private const int Many = 10_000;

    private static readonly int[] prompt = [1, 381, 336, 769];

    private readonly TinyLayer layer = new();

    [Fact]
    public void TenThousandSequencesAndSamplersLeaveNothing() => LeavesNothing(Many, () =>
    {
        using var sequence = Shared.Llama.CreateSequence();
        using var fork = sequence.Fork();
        using var sampler = new Sampler();
    });

    [Fact]
    public void TenThousandFeedForwardsAndAdaptersLeaveNothing()
    {
        var input = Shared.Random(TinyLayer.Hidden, 1, 1);
        var output = new float[TinyLayer.Hidden];
        LeavesNothing(Many, () =>
        {
            using var feedForward = layer.Create();
            using var adapter = feedForward.CreateAdapter(layer.MixLora);
            using var another = adapter.Retain();
        });
        using var shared = layer.Create();
        LeavesNothing(Many, () =>
        {
            using var adapter = shared.CreateAdapter(layer.Lora);
            using var routing = shared.RunWithRouting(input, output, [new RowRange(adapter, 0, 1)]);
        });
    }

    [Fact]
    public void HundredsOfModelsAndTheirAdaptersLeaveNothing() => LeavesNothing(100, () =>
    {
        using var model = Shared.Runtime.OpenModel(Shared.ModelFolder("tiny-llama"));
        using var adapter = model.OpenAdapter(Shared.ModelFolder("jargon-lora"));
        using var sequence = model.CreateSequence();
        model.Step(sequence, [1], [], adapter);
    }, warmUp: 20);

    [Fact]
    public void RuntimesWithCallbacksLeaveNothing() => LeavesNothing(70, () =>
    {
        using var runtime = new Runtime(new RuntimeOptions { Threads = 2, Log = (_, _) => { } });
        using var feedForward = runtime.OpenFeedForward(Shared.ModelFolder("tiny-llama"), 0);
        var rows = new float[feedForward.Info.Hidden];
        feedForward.Run(rows, rows, [new RowRange(null, 0, 1)]);
    }, warmUp: 10);

    [Fact]
    public void CallsThatFailLeaveNothing() => LeavesNothing(Many, () =>
    {
        Assert.Throws<MoxieNotFoundException>(() => Shared.Runtime.OpenModel("/nowhere"));
        Assert.Throws<MoxieArgumentException>(() => Routing.Create(new RoutingChoice
        {
            Rows = 1,
            Routers = 1,
            Experts = 1,
            Places = 1,
            ExpertIds = new[] { 7 },
            Weights = new[] { 1f },
        }));
    });

    [Fact]
    public void WhatNobodyDisposesIsFreedByTheCollector()
    {
        LeavesNothing(10, () =>
        {
            Forget();
            Usage.Collect();
        }, warmUp: 5);

        [MethodImpl(MethodImplOptions.NoInlining)]
        static void Forget()
        {
            var model = Shared.Runtime.OpenModel(Shared.ModelFolder("tiny-llama"));
            for (var i = 0; i < 8; ++i)
                model.Step(model.CreateSequence(), prompt, []);
        }
    }

    [Fact]
    public void ClosingTwiceIsFineAndUseAfterThatIsAnException()
    {
        var runtime = new Runtime(new RuntimeOptions { Threads = 1 });
        var model = runtime.OpenModel(Shared.ModelFolder("tiny-llama"));
        var block = runtime.OpenBlock(Shared.ModelFolder("tiny-llama"), 0);
        var feedForward = runtime.OpenFeedForward(Shared.ModelFolder("tiny-llama"), 0);
        var adapter = model.OpenAdapter(Shared.ModelFolder("jargon-lora"));
        var layerAdapter = feedForward.OpenAdapter(Shared.ModelFolder("jargon-lora"));
        var sequence = model.CreateSequence();
        var live = model.CreateSequence();
        var sampler = new Sampler();
        var rows = new float[feedForward.Info.Hidden];
        var routing = feedForward.Route(rows, [new RowRange(layerAdapter, 0, 1)]);
        var file = new TensorFile(Shared.ModelFolder("tiny-llama"));
        var tensor = file.Tensors[0];

        layerAdapter.Dispose();
        Gone<Adapter>(() => feedForward.Run(rows, rows, [new RowRange(layerAdapter, 0, 1)]));
        sequence.Dispose();
        Gone<Sequence>(() => model.Step(sequence, [1], []));
        Gone<Sequence>(() => _ = sequence.Length);
        Gone<Sequence>(() => sequence.Fork());
        Gone<Sequence>(() => sequence.Truncate(0));
        Gone<Sequence>(() => sequence.Describe());
        adapter.Dispose();
        Gone<Adapter>(() => model.Step(live, [1], [], adapter));
        Gone<Adapter>(() => model.Step([new Step(live, prompt, default, adapter)]));
        Gone<Adapter>(() => adapter.Retain());
        Gone<Adapter>(() => adapter.GetRouterLossOptions());
        runtime.Dispose();
        Gone<Runtime>(() => runtime.OpenModel("x"));
        Gone<Runtime>(() => _ = runtime.Kernels);
        Assert.Equal(1, runtime.Info.Threads);
        model.Step(live, [1], []); // the model keeps what it needs of the runtime
        model.Dispose();
        Gone<Model>(() => model.CreateSequence());
        Gone<Model>(() => model.Step(live, [1], []));
        Gone<Model>(() => model.OpenAdapter("x"));
        Gone<Model>(() => model.Generate(live, prompt).First());
        block.Dispose();
        Gone<Block>(() => block.CreateSequence());
        Gone<Block>(() => block.Run([]));
        Gone<Block>(() => block.OpenAdapter("x"));
        routing.Dispose();
        Gone<Routing>(() => routing.Read(0, 0));
        Gone<Routing>(() => feedForward.Run(rows, rows, [new RowRange(null, 0, 1)], routing));
        feedForward.Dispose();
        Gone<FeedForward>(() => feedForward.Run(rows, rows, [new RowRange(null, 0, 1)]));
        Gone<FeedForward>(() => feedForward.OpenAdapter("x"));
        sampler.Dispose();
        Gone<Sampler>(() => sampler.Next([1]));
        file.Dispose();
        Gone<TensorFile>(() => _ = file.Tensors);
        Gone<TensorFile>(() => file.Read(tensor, []));
        foreach (IDisposable closed in new IDisposable[] { runtime, model, block, feedForward, adapter, layerAdapter, sequence, live, sampler, routing, file })
        {
            closed.Dispose();
            closed.Dispose();
        }

        static void Gone<T>(Action use) => Assert.Contains(typeof(T).FullName!, Assert.Throws<ObjectDisposedException>(use).Message);
    }

    [Fact]
    public void CollectionsDuringCallsMoveNothingThatACallUses()
    {
        using var adapter = Shared.Llama.OpenAdapter(Shared.ModelFolder("kjv-mixlora"));
        var expected = Logits(adapter);
        using var stop = new CancellationTokenSource();
        var collector = new Thread(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                GC.Collect(2, GCCollectionMode.Forced, blocking: true, compacting: true);
                Thread.Sleep(1); // or calls that return wait for one collection after the other
            }
        });
        collector.Start();
        try
        {
            var before = GC.CollectionCount(2);
            for (var i = 0; i < 50 || GC.CollectionCount(2) < before + 50; ++i)
                Shared.SameBits(expected, Logits(adapter), "while collecting");
        }
        finally
        {
            stop.Cancel();
            collector.Join();
        }

        static float[] Logits(Adapter adapter)
        {
            // Nobody refers to the sequences after the call has started.
            float[] one = new float[Shared.Llama.Info.Vocabulary], two = new float[one.Length];
            Shared.Llama.Step([
                new Step(Shared.Llama.CreateSequence(), prompt.ToArray(), one, adapter),
                new Step(Shared.Llama.CreateSequence(), prompt.ToArray(), two),
            ]);
            return [.. one, .. two];
        }
    }

    [Fact]
    public void SixtyFourThreadsStepOneModelWithoutMoreNativeThreads()
    {
        string?[] names = [null, "kjv-mixlora", "melville-loramoe", "presidents-mola"];
        var adapters = names.Select(name => name is null ? null : Shared.Llama.OpenAdapter(Shared.ModelFolder(name))).ToArray();
        var expected = adapters.Select(Steps).ToArray();
        var before = Usage.Now().Threads;
        var most = 0;
        var failures = new List<string>();
        var threads = Enumerable.Range(0, 64).Select(number => new Thread(() =>
        {
            var which = number % adapters.Length;
            for (var i = 0; i < 4; ++i)
                if (!Steps(adapters[which]).AsSpan().SequenceEqual(expected[which]))
                    lock (failures)
                        failures.Add($"thread {number} got other bits");
            lock (failures)
                most = Math.Max(most, Usage.Now().Threads);
        })).ToList();
        threads.ForEach(thread => thread.Start());
        threads.ForEach(thread => thread.Join());
        Assert.Empty(failures);
        Assert.InRange(most, 1, before + 64 + 8);
        Array.ForEach(adapters, adapter => adapter?.Dispose());

        static float[] Steps(Adapter? adapter)
        {
            using var sequence = Shared.Llama.CreateSequence();
            float[] first = new float[Shared.Llama.Info.Vocabulary], second = new float[first.Length];
            Shared.Llama.Step(sequence, prompt, first, adapter);
            Shared.Llama.Step(sequence, [291], second, adapter);
            return [.. first, .. second];
        }
    }

    [Fact]
    public async Task DisposingUnderRunningCallsDisturbsNone()
    {
        for (var round = 0; round < 20; ++round)
        {
            var model = Shared.Runtime.OpenModel(Shared.ModelFolder("tiny-llama"), Shared.Float32);
            var adapter = model.OpenAdapter(Shared.ModelFolder("jargon-lora"));
            var started = new CountdownEvent(4);
            var workers = Enumerable.Range(0, 4).Select(_ => Task.Factory.StartNew(() =>
            {
                using var sequence = model.CreateSequence();
                started.Signal();
                for (var tokens = 0; ; tokens += prompt.Length)
                {
                    if (tokens == 64)
                        sequence.Truncate(tokens = 0);
                    try
                    {
                        model.Step(sequence, prompt, [], adapter);
                    }
                    catch (ObjectDisposedException)
                    {
                        return sequence.Length == tokens;
                    }
                }
            }, TaskCreationOptions.LongRunning)).ToArray();
            started.Wait();
            Thread.Sleep(round % 5);
            if (round % 2 == 0)
                adapter.Dispose();
            model.Dispose();
            adapter.Dispose();
            Assert.All(await Task.WhenAll(workers), whole => Assert.True(whole, "a sequence moved in a call that was refused"));
        }
    }

    [Fact]
    public void ASequenceInTwoCallsAtOnceIsAnErrorInOneOfThem()
    {
        using var sequence = Shared.Llama.CreateSequence();
        int refused = 0, done = 0;
        var workers = Enumerable.Range(0, 4).Select(_ => new Thread(() =>
        {
            for (var i = 0; i < 50; ++i)
                try
                {
                    Shared.Llama.Step(sequence, [300], []);
                    Interlocked.Increment(ref done);
                }
                catch (MoxieArgumentException)
                {
                    Interlocked.Increment(ref refused);
                }
        })).ToList();
        workers.ForEach(worker => worker.Start());
        workers.ForEach(worker => worker.Join());
        Assert.Equal(200, done + refused);
        Assert.Equal(done, sequence.Length);
    }

    // What leaks grows in every window. What heaps and the compiler take and give back, in some of them: so the middle one
    // of the last five is judged.
    private static void LeavesNothing(int times, Action action, int warmUp = 500)
    {
        for (var i = 0; i < warmUp; ++i)
            action();
        var growth = new List<Usage>();
        while (growth.Count < 15)
        {
            var before = Usage.AfterCollection();
            for (var i = 0; i < times; ++i)
                action();
            growth.Add(Usage.AfterCollection() - before);
            if (growth.Count >= 5 && Middle(window => window.MallocKilobytes) < 64 && Middle(window => window.OwnKilobytes) < 1024
                && Middle(window => window.MappedKilobytes) < 1024 && Middle(window => window.Threads) < 1
                && Middle(window => window.Files) < 1)
                return;
        }
        Assert.Fail("most windows grew: " + string.Join(", ", growth));

        long Middle(Func<Usage, long> what) => growth.TakeLast(5).Select(what).Order().ElementAt(2);
    }
}
