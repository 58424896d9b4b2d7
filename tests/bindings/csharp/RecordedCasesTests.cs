using System.Globalization;
using System.Runtime.InteropServices;
using Xunit;

namespace Moxie.Tests;

/// <summary>What the C library computed and wrote down, computed again from here: the same bits.</summary>
public class RecordedCasesTests
{
    private const string Variable = "MOXIE_RECORDED_CASES";

    [Fact]
    public void EveryRecordedCaseHasTheSameBits()
    {
        var root = Environment.GetEnvironmentVariable(Variable);
        Assert.False(string.IsNullOrEmpty(root), $"{Variable} must name the folder of recorded cases");
        var cases = Directory.GetDirectories(root!).Order(StringComparer.Ordinal).ToList();
        Assert.True(cases.Count > 0, $"{root} has no cases");
        var kinds = new HashSet<string>();
        foreach (var folder in cases)
        {
            var plan = RecordedPlan.Read(folder);
            kinds.Add(plan.Kind);
            if (plan.Kind == "model")
                CheckModel(folder, plan);
            else
                CheckFeedForward(folder, plan);
        }
        Assert.Equal(["feed_forward", "model"], kinds.Order());
    }

    private static void CheckFeedForward(string folder, RecordedPlan plan)
    {
        using var feedForward = Shared.Runtime.OpenFeedForward(plan.Base, plan.Layer, new LoadOptions { Weights = plan.Weights });
        Assert.Equal(plan.Hidden, feedForward.Info.Hidden);
        var adapters = plan.Adapters.ToDictionary(entry => entry.Key, entry => feedForward.OpenAdapter(entry.Value));
        float[] input = Floats(folder, "input.bin", plan.Rows * plan.Hidden), output = new float[input.Length];
        feedForward.Run(input, output, plan.Ranges.Select(range =>
            new RowRange(range.Adapter is null ? null : adapters[range.Adapter], range.Begin, range.End)).ToArray());
        Shared.SameBits(Floats(folder, "output.bin", output.Length), output, folder);
        foreach (var adapter in adapters.Values)
            adapter.Dispose();
    }

    private static void CheckModel(string folder, RecordedPlan plan)
    {
        using var model = Shared.Runtime.OpenModel(plan.Base, new LoadOptions { Weights = plan.Weights });
        Assert.Equal(plan.Vocabulary, model.Info.Vocabulary);
        var adapters = plan.Adapters.ToDictionary(entry => entry.Key, entry => model.OpenAdapter(entry.Value));
        var expected = Floats(folder, "logits.bin", plan.Sequences.Sum(sequence => sequence.Tokens.Length) * plan.Vocabulary);
        var logits = new float[expected.Length];
        var steps = new List<Step>();
        var at = 0;
        foreach (var (adapter, tokens) in plan.Sequences)
        {
            var size = tokens.Length * plan.Vocabulary;
            steps.Add(new Step(model.CreateSequence(), tokens, logits.AsMemory(at, size), adapter is null ? null : adapters[adapter]));
            at += size;
        }
        model.Step(CollectionsMarshal.AsSpan(steps));
        Shared.SameBits(expected, logits, folder);
        steps.ForEach(step => step.Sequence.Dispose());
        foreach (var adapter in adapters.Values)
            adapter.Dispose();
    }

    private static float[] Floats(string folder, string name, int count)
    {
        var bytes = File.ReadAllBytes(Path.Combine(folder, name));
        Assert.Equal(count * sizeof(float), bytes.Length);
        return MemoryMarshal.Cast<byte, float>(bytes).ToArray();
    }
}

/// <summary>plan.txt of a recorded case: one item a line, words separated by single spaces.</summary>
internal sealed class RecordedPlan
{
    internal string Kind { get; private set; } = "";
    internal string Base { get; private set; } = "";
    internal WeightPrecision Weights { get; private set; }
    internal int Layer { get; private set; }
    internal int Rows { get; private set; }
    internal int Hidden { get; private set; }
    internal int Vocabulary { get; private set; }
    internal Dictionary<string, string> Adapters { get; } = [];
    internal List<(string? Adapter, int Begin, int End)> Ranges { get; } = [];
    internal List<(string? Adapter, int[] Tokens)> Sequences { get; } = [];

    internal static RecordedPlan Read(string folder)
    {
        var plan = new RecordedPlan();
        foreach (var line in File.ReadLines(Path.Combine(folder, "plan.txt")).Where(line => line.Length > 0))
            plan.Take(line.Split(' '), line);
        return plan;
    }

    private void Take(string[] words, string line)
    {
        switch (words[0])
        {
            case "kind": Kind = words[1] is "feed_forward" or "model" ? words[1] : throw new InvalidDataException(line); break;
            case "base": Base = words[1]; break;
            case "weights":
                Weights = words[1] switch
                {
                    "as_stored" => WeightPrecision.AsStored,
                    "f32" => WeightPrecision.Float32,
                    "bf16" => WeightPrecision.BFloat16,
                    _ => throw new InvalidDataException(line),
                };
                break;
            case "layer": Layer = Number(words[1]); break;
            case "rows": Rows = Number(words[1]); break;
            case "hidden": Hidden = Number(words[1]); break;
            case "vocabulary": Vocabulary = Number(words[1]); break;
            case "adapter": Adapters[words[1]] = words[2]; break;
            case "range": Ranges.Add((Name(words[3]), Number(words[1]), Number(words[2]))); break;
            case "sequence": Sequences.Add((Name(words[1]), words[2..].Select(Number).ToArray())); break;
            default: throw new InvalidDataException($"plan.txt has a line that is not understood: {line}");
        }
    }

    private static string? Name(string word) => word == "-" ? null : word;

    private static int Number(string word) => int.Parse(word, CultureInfo.InvariantCulture);
}
