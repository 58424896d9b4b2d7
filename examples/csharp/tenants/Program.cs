// Many tenants of one model. Each is a task that owns a sequence and holds an adapter; one thread gathers the steps that
// are ready and runs them as one mixed batch; meanwhile adapters are loaded and unloaded. Every tenant's tokens and
// logits are then compared with those it gets when it is alone: the same bits.
//
//   dotnet run -- [MODELS [TENANTS [SEED]]]     default: examples/models 24 1
using Moxie;
using Moxie.Examples;

var models = args.Length > 0 ? args[0] : "examples/models";
var count = args.Length > 1 ? int.Parse(args[1]) : 24;
var seed = args.Length > 2 ? int.Parse(args[2]) : 1;
string[] adapters = ["kjv-mixlora", "kjv-mixlora-dynamic", "melville-loramoe", "presidents-mola", "jargon-lora", "jargon-dora"];
string[] prompts =
[
    "And it came to pass in those days, that",
    "Captain Ahab stood upon the quarter-deck, and",
    "My fellow Americans, tonight",
    "hacker\n /hak'er/, n.\n\n    1. A person who",
];

using var runtime = new Runtime();
using var model = runtime.OpenModel(Path.Combine(models, "tiny-llama"));
var tokenizer = new Tokenizer(Path.Combine(models, "tokenizer", "tokenizer.json"));
var random = new Random(seed);
var tenants = Enumerable.Range(0, count).Select(number => new Tenant
{
    Number = number,
    Adapter = random.Next(adapters.Length + 1) is var which && which < adapters.Length ? adapters[which] : null,
    Prompt = tokenizer.Encode(prompts[random.Next(prompts.Length)]),
    NewTokens = 8 + random.Next(16),
    Temperature = random.Next(2) * 0.8f,
    Arrival = TimeSpan.FromMilliseconds(random.Next(60)),
}).ToArray();

// Together.
using (var shelf = new AdapterShelf(model, models))
using (var gatherer = new Gatherer(model, mostSteps: 16))
using (var finished = new CancellationTokenSource())
{
    var administrator = Task.Run(() => AdministrateAsync(shelf, finished.Token));
    await Task.WhenAll(tenants.Select(tenant => Task.Run(async () =>
    {
        await Task.Delay(tenant.Arrival);
        using var adapter = shelf.Borrow(tenant.Adapter);
        await tenant.SpeakAsync(model, adapter, gatherer.StepAsync);
    })));
    finished.Cancel();
    await administrator;
    Console.WriteLine($"{count} tenants, {gatherer.Steps} steps in {gatherer.Batches} batches, the largest of {gatherer.Largest} under "
        + $"{gatherer.MostAdapters} adapters; {shelf.Loads} times an adapter was loaded, {shelf.Unloads} times unloaded");
    Claims.Expect(gatherer.Largest > 1 && gatherer.MostAdapters > 1, "steps of several adapters ran in one batch");
    Claims.Expect(shelf.Unloads > 0, "adapters were unloaded while it ran");
}

// Each alone.
foreach (var tenant in tenants)
{
    using var adapter = tenant.Adapter is null ? null : model.OpenAdapter(Path.Combine(models, tenant.Adapter));
    var alone = tenant.Again();
    await alone.SpeakAsync(model, adapter, step =>
    {
        model.Step([step]);
        return Task.CompletedTask;
    });
    Claims.Expect(alone.Tokens.SequenceEqual(tenant.Tokens), $"tenant {tenant.Number} has the tokens it has alone");
    Claims.Expect(alone.Logits.Zip(tenant.Logits).All(pair => SameBits(pair.First, pair.Second)),
        $"tenant {tenant.Number} has the logits it has alone, bit for bit");
}

foreach (var tenant in tenants.Take(4))
    Console.WriteLine($"\n[{tenant.Number}] {tenant.Adapter ?? "base"}{(tenant.Temperature > 0 ? ", sampled" : "")}\n"
        + tokenizer.Decode(tenant.Prompt.Concat(tenant.Tokens)));
Console.WriteLine($"\n{count} tenants, together and alone: the same tokens and the same bits");

// Takes adapters out of service under those who use them: a borrower's own holder keeps the weights.
async Task AdministrateAsync(AdapterShelf shelf, CancellationToken stop)
{
    for (var turn = 0; !stop.IsCancellationRequested; ++turn)
    {
        shelf.Unload(adapters[turn % adapters.Length]);
        await Task.Yield();
    }
}

// Zero and minus zero are equal, and not the same.
static bool SameBits(float[] a, float[] b) => System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(a)
    .SequenceEqual(System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(b));
