using System.Threading.Channels;
using Moxie;

/// <summary>One thread that turns single steps into batches: it takes what is ready, runs it in one call, and tells
/// everybody. While it computes, the next ones gather.</summary>
internal sealed class Gatherer : IDisposable
{
    private readonly Channel<(Step Step, TaskCompletionSource Done)> ready =
        Channel.CreateUnbounded<(Step, TaskCompletionSource)>(new UnboundedChannelOptions { SingleReader = true });

    private readonly Model model;
    private readonly int mostSteps;
    private readonly Thread thread;

    public Gatherer(Model model, int mostSteps)
    {
        (this.model, this.mostSteps) = (model, mostSteps);
        thread = new Thread(Work) { Name = "gatherer" };
        thread.Start();
    }

    public int Batches { get; private set; }

    public int Steps { get; private set; }

    public int Largest { get; private set; }

    public int MostAdapters { get; private set; }

    /// <summary>Ends when the step's logits are there, or with what went wrong.</summary>
    public Task StepAsync(Step step)
    {
        // Continuations must not run on the gathering thread.
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        if (!ready.Writer.TryWrite((step, done)))
            throw new ObjectDisposedException(nameof(Gatherer));
        return done.Task;
    }

    public void Dispose()
    {
        ready.Writer.TryComplete();
        thread.Join();
    }

    private void Work()
    {
        var batch = new List<(Step Step, TaskCompletionSource Done)>();
        while (ready.Reader.WaitToReadAsync().AsTask().GetAwaiter().GetResult())
        {
            batch.Clear();
            while (batch.Count < mostSteps && ready.Reader.TryRead(out var one))
                batch.Add(one);
            try
            {
                model.Step(batch.Select(one => one.Step).ToArray());
                Count(batch);
                batch.ForEach(one => one.Done.SetResult());
            }
            catch (MoxieException) when (batch.Count > 1)
            {
                // All or nothing: nobody has moved. Alone, only the one to blame fails.
                batch.ForEach(RunAlone);
            }
            catch (Exception exception)
            {
                batch.ForEach(one => one.Done.TrySetException(exception));
            }
        }
    }

    private void RunAlone((Step Step, TaskCompletionSource Done) one)
    {
        try
        {
            model.Step([one.Step]);
            one.Done.SetResult();
        }
        catch (Exception exception)
        {
            one.Done.SetException(exception);
        }
    }

    private void Count(List<(Step Step, TaskCompletionSource Done)> batch)
    {
        ++Batches;
        Steps += batch.Count;
        Largest = Math.Max(Largest, batch.Count);
        MostAdapters = Math.Max(MostAdapters, batch.Select(one => one.Step.Adapter?.Info.Name).Distinct().Count());
    }
}
