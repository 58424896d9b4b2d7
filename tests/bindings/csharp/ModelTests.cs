using Xunit;

namespace Moxie.Tests;

public class ModelTests
{
    private static readonly string[] adapterNames =
        ["kjv-mixlora", "kjv-mixlora-dynamic", "melville-loramoe", "presidents-mola", "jargon-lora", "jargon-dora"];

    private readonly Model model = Shared.Llama;

    private int Vocabulary => model.Info.Vocabulary;

    [Fact]
    public void TellsWhatItIs()
    {
        Assert.Equal(("llama", 2048, 0, ElementType.Float32),
            (model.Info.Family, model.Info.Vocabulary, model.Info.Experts, model.Info.Weights));
        Assert.Equal((1, 2), (model.Info.BeginToken, model.Info.EndToken));
        using var mixtral = Shared.Runtime.OpenModel(Shared.ModelFolder("tiny-mixtral"));
        Assert.Equal(("mixtral", ElementType.BFloat16), (mixtral.Info.Family, mixtral.Info.Weights));
        Assert.True(mixtral.Info.Experts > mixtral.Info.TopK && mixtral.Info.TopK > 0);
    }

    [Fact]
    public void AMixedBatchContinuesEachPromptAsItsReferenceDid()
    {
        var adapters = adapterNames.Select(name => model.OpenAdapter(Shared.ModelFolder(name))).ToList();
        var tenants = (from text in new[] { "kjv", "sotu" }
                       from i in Enumerable.Range(-1, adapters.Count + 1)
                       let reference = Shared.Greedy(i < 0 ? "tiny-llama" : adapterNames[i], text)
                       select (Name: i < 0 ? "base" : adapterNames[i], Adapter: i < 0 ? null : adapters[i], reference.Prompt,
                           reference.New, Sequence: model.CreateSequence(), Logits: new float[Vocabulary], Ids: new List<int>()))
            .ToList();
        using var sampler = new Sampler();
        for (var round = 0; round < 16; ++round)
        {
            model.Step(tenants.Select(tenant => new Step(tenant.Sequence,
                round == 0 ? tenant.Prompt : new[] { tenant.Ids[^1] }, tenant.Logits, tenant.Adapter)).ToArray());
            foreach (var tenant in tenants)
                tenant.Ids.Add(sampler.Next(tenant.Logits));
        }
        Assert.All(tenants, tenant => Assert.Equal(tenant.New.Take(16), tenant.Ids));
        tenants.ForEach(tenant => tenant.Sequence.Dispose());
        adapters.ForEach(adapter => adapter.Dispose());
    }

    [Fact]
    public void ASequenceHasTheSameBitsAloneTogetherAndFromAFork()
    {
        var prompt = Shared.Greedy("tiny-llama", "kjv").Prompt;
        using var adapter = model.OpenAdapter(Shared.ModelFolder("kjv-mixlora"));
        using Sequence alone = model.CreateSequence(), first = model.CreateSequence(), second = model.CreateSequence();
        float[] expected = new float[prompt.Length * Vocabulary], mixed = new float[expected.Length],
            other = new float[Vocabulary];
        model.Step(alone, prompt, expected, adapter);
        using var routing = model.StepWithRouting([new Step(second, prompt.AsMemory(0, 3), other), new Step(first, prompt, mixed, adapter)]);
        Shared.SameBits(expected, mixed, "together");
        Assert.Equal((model.Info.Layers, 2), (routing.Layers, routing.Ranges));
        Assert.Equal((0, 1), (routing.Describe(0, 0).Routers, routing.Describe(0, 1).Routers));

        Assert.Equal(prompt.Length, first.Length);
        using var fork = first.Fork();
        fork.Truncate(prompt.Length - 1);
        model.Step(fork, prompt.AsSpan(prompt.Length - 1), other, adapter);
        Shared.SameBits(expected.AsSpan(expected.Length - Vocabulary), other, "from a fork");
        Assert.Equal((prompt.Length, prompt.Length), (fork.Length, first.Length));
    }

    [Fact]
    public void RowsOfLogitsMayLieApart()
    {
        int[] prompt = [1, 381, 336];
        using Sequence one = model.CreateSequence(), two = model.CreateSequence();
        float[] tight = new float[2 * Vocabulary], apart = Enumerable.Repeat(-7f, 2 * (Vocabulary + 3)).ToArray();
        model.Step(one, prompt, tight);
        model.Step([new Step(two, prompt, apart) { LogitsStride = Vocabulary + 3 }]);
        Shared.SameBits(tight.AsSpan(0, Vocabulary), apart.AsSpan(0, Vocabulary), "row 0");
        Shared.SameBits(tight.AsSpan(Vocabulary), apart.AsSpan(Vocabulary + 3, Vocabulary), "row 1");
        Assert.Equal([-7f, -7f, -7f], apart[Vocabulary..(Vocabulary + 3)]);
    }

    [Fact]
    public void AStepThatIsRefusedMovesNobody()
    {
        using Sequence good = model.CreateSequence(), bad = model.CreateSequence();
        var logits = Enumerable.Repeat(3f, Vocabulary).ToArray();
        var exception = Assert.Throws<MoxieArgumentException>(() =>
            model.Step([new Step(good, new[] { 1 }, logits), new Step(bad, new[] { 4711 })]));
        Assert.Contains("steps[1].tokens[0] is 4711", exception.Message);
        Assert.Equal((0, 0), (good.Length, bad.Length));
        Assert.All(logits, value => Assert.Equal(3f, value));
        Assert.Throws<MoxieArgumentException>(() => model.Step(good, [1], new float[2 * Vocabulary]));
        Assert.Throws<MoxieArgumentException>(() => model.Step(good, [], logits));
        Assert.Throws<MoxieArgumentException>(() => model.Step([new Step(good, new[] { 1 }), new Step(good, new[] { 1 })]));
        Assert.Contains("rows of 2048 do not fill that",
            Assert.Throws<ArgumentException>(() => model.Step(good, [1], new float[Vocabulary + 1])).Message);
        Assert.Contains("steps[0].Sequence is null", Assert.Throws<ArgumentException>(() => model.Step(new Step[1])).Message);
        Assert.Throws<MoxieArgumentException>(() => good.Truncate(1));
        Assert.Equal(0, good.Length);
    }

    [Fact]
    public void ASequenceTellsHowItHoldsKeysAndValues()
    {
        using Sequence wide = model.CreateSequence(),
            narrow = model.CreateSequence(new SequenceOptions { KeyValues = ElementType.BFloat16, FirstPosition = 5 });
        var tokens = Enumerable.Repeat(300, 70).ToArray();
        model.Step([new Step(wide, tokens), new Step(narrow, tokens)]);
        SequenceInfo a = wide.Describe(), b = narrow.Describe();
        Assert.Equal((70, 0L, ElementType.Float32), (a.Length, a.FirstPosition, a.KeyValues));
        Assert.Equal((70, 5L, ElementType.BFloat16), (b.Length, b.FirstPosition, b.KeyValues));
        Assert.Equal(a.KeyValueBytes, 2 * b.KeyValueBytes);
        Assert.Throws<MoxieArgumentException>(() => model.CreateSequence(new SequenceOptions { KeyValues = ElementType.Int8 }));
    }

    [Fact]
    public void EachClassOfErrorHasItsException()
    {
        var folder = Directory.CreateTempSubdirectory("moxie-").FullName;
        try
        {
            Assert.Contains(folder, Assert.ThrowsAny<MoxieException>(() => Shared.Runtime.OpenModel(folder)).Message);
            Assert.Throws<MoxieNotFoundException>(() => Shared.Runtime.OpenModel(Path.Combine(folder, "nowhere")));
            File.Copy(Path.Combine(Shared.ModelFolder("tiny-llama"), "model.safetensors"), Path.Combine(folder, "model.safetensors"));
            File.WriteAllText(Path.Combine(folder, "config.json"), "{\"model_type\": \"gpt_oss\"}");
            Assert.Contains("gpt_oss", Assert.Throws<MoxieUnsupportedException>(() => Shared.Runtime.OpenModel(folder)).Message);
            File.WriteAllText(Path.Combine(folder, "config.json"), "{");
            Assert.Throws<MoxieFileException>(() => Shared.Runtime.OpenModel(folder));
            Assert.Throws<MoxieUnsupportedException>(() => model.OpenAdapter(Shared.ModelFolder("tiny-mixtral-jargon-peft")));
            Assert.Throws<ArgumentNullException>(() => Shared.Runtime.OpenModel(null!));
            Assert.Contains("zero character", Assert.Throws<ArgumentException>(() => Shared.Runtime.OpenModel("a\0b")).Message);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void ThePackedCacheGivesTheSameBits()
    {
        var folder = Directory.CreateTempSubdirectory("moxie-cache-").FullName;
        try
        {
            int[] prompt = [1, 381, 336];
            var results = new List<float[]>();
            foreach (var mode in new[] { PackedCacheMode.Off, PackedCacheMode.ReadWrite, PackedCacheMode.Read })
            {
                using var cached = Shared.Runtime.OpenModel(Shared.ModelFolder("tiny-llama"),
                    new LoadOptions { PackedCache = mode, PackedCachePath = folder, MapPackedCache = mode == PackedCacheMode.Read });
                using var sequence = cached.CreateSequence();
                results.Add(new float[Vocabulary]);
                cached.Step(sequence, prompt, results[^1]);
            }
            Assert.Single(Directory.GetFiles(folder));
            Shared.SameBits(results[0], results[1], "packed and written");
            Shared.SameBits(results[0], results[2], "read");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
