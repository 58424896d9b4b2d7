// One model, one batch: the same prompt on the plain base and under three adapters, all moved on together.
//
//   dotnet run -- [MODELS]     default: examples/models
using Moxie;
using Moxie.Examples;

var models = args.Length > 0 ? args[0] : "examples/models";
string[] names = ["kjv-mixlora", "melville-loramoe", "presidents-mola"];
const string Prompt = "My fellow Americans, tonight";
const int NewTokens = 24;

using var runtime = new Runtime();
using var model = runtime.OpenModel(Path.Combine(models, "tiny-llama"), new LoadOptions { Weights = WeightPrecision.Float32 });
Console.WriteLine($"{model.Info.Family}, {model.Info.Layers} layers, {model.Info.Parameters:N0} parameters; {runtime.Info.Cpu}, "
    + $"{runtime.Info.Threads} threads, {runtime.Info.InstructionSet.Name()}");

var tokenizer = new Tokenizer(Path.Combine(models, "tokenizer", "tokenizer.json"));
var prompt = tokenizer.Encode(Prompt);
using var sampler = new Sampler(); // greedy
var adapters = names.Select(name => model.OpenAdapter(Path.Combine(models, name))).ToArray();
Voice[] voices = [new Voice(model, null, prompt), .. adapters.Select(adapter => new Voice(model, adapter, prompt))];

// Every round is one call: the prompts at first, then one token each.
for (var round = 0; round < NewTokens; ++round)
{
    model.Step(voices.Select(voice => voice.Next()).ToArray());
    foreach (var voice in voices)
        voice.Tokens.Add(sampler.Next(voice.Logits));
}

foreach (var voice in voices)
    Console.WriteLine($"\n[{voice.Name}]\n{tokenizer.Decode(prompt.Concat(voice.Tokens))}");

// Alone, as a stream: the same tokens.
using var sequence = model.CreateSequence();
var streamed = new List<int>();
await foreach (var token in model.GenerateAsync(sequence, prompt,
    new GenerationOptions { Adapter = adapters[0], MaxTokens = NewTokens, EndToken = -1 }))
    streamed.Add(token);
Claims.Expect(streamed.SequenceEqual(voices[1].Tokens), "alone and in the batch the tokens are the same");
Claims.Expect(voices.Select(voice => string.Join(' ', voice.Tokens)).Distinct().Count() == voices.Length,
    "each adapter speaks in its own way");
Console.WriteLine("\nalone and in the batch: the same tokens");

foreach (var voice in voices)
    voice.Sequence.Dispose();
foreach (var adapter in adapters)
    adapter.Dispose();

/// <summary>One sequence under one adapter.</summary>
internal sealed class Voice(Model model, Adapter? adapter, int[] prompt)
{
    public string Name { get; } = adapter?.Info.Name ?? "base";

    public Sequence Sequence { get; } = model.CreateSequence();

    public List<int> Tokens { get; } = [];

    public float[] Logits { get; } = new float[model.Info.Vocabulary];

    public Step Next() => new(Sequence, Tokens.Count == 0 ? prompt : new[] { Tokens[^1] }, Logits, adapter);
}
