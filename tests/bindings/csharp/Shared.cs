using System.Reflection;
using System.Text.Json;
using Xunit;

// What is measured of the process must be one test's own.
[assembly: CollectionBehavior(DisableTestParallelization = true)]

namespace Moxie.Tests;

/// <summary>Where things are, and what most tests need once.</summary>
internal static class Shared
{
    private static readonly Lazy<Runtime> runtime = new(() => new Runtime());
    private static readonly Lazy<Model> llama = new(() => Runtime.OpenModel(ModelFolder("tiny-llama"), Float32));

    internal static string Source => Metadata("MoxieSource");

    internal static string Build => Metadata("MoxieBuild");

    /// <summary>As reference.json was measured.</summary>
    internal static LoadOptions Float32 { get; } = new() { Weights = WeightPrecision.Float32 };

    internal static Runtime Runtime => runtime.Value;

    internal static Model Llama => llama.Value;

    internal static string ModelFolder(string name) => Path.Combine(Source, "examples", "models", name);

    internal static JsonElement Reference { get; } =
        JsonDocument.Parse(File.ReadAllText(ModelFolder("reference.json"))).RootElement.GetProperty("models");

    /// <summary>What the reference implementation continued a prompt with.</summary>
    internal static (int[] Prompt, int[] New) Greedy(string model, string text)
    {
        var entry = Reference.GetProperty(model).GetProperty("greedy").GetProperty(text)[0];
        var prompt = Ids(entry.GetProperty("prompt_ids"));
        var ids = Ids(entry.GetProperty("ids"));
        return (prompt, ids.AsSpan().StartsWith(prompt) ? ids[prompt.Length..] : ids);
    }

    internal static float[] Random(int count, float size, int seed)
    {
        var random = new Random(seed);
        return Enumerable.Range(0, count).Select(_ => size * (2 * random.NextSingle() - 1)).ToArray();
    }

    internal static void SameBits(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (var index = 0; index < expected.Length; ++index)
            if (BitConverter.SingleToInt32Bits(expected[index]) != BitConverter.SingleToInt32Bits(actual[index]))
                Assert.Fail($"{what}: element {index} is {actual[index]:R}; expected {expected[index]:R}");
    }

    private static int[] Ids(JsonElement array) => array.EnumerateArray().Select(id => id.GetInt32()).ToArray();

    private static string Metadata(string key) => typeof(Shared).Assembly
        .GetCustomAttributes<AssemblyMetadataAttribute>().Single(attribute => attribute.Key == key).Value!;
}
