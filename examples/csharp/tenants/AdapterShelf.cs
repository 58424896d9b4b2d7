using Moxie;

/// <summary>Adapters by name, loaded when somebody wants one, unloaded when somebody says so. Whoever borrows one has a
/// holder of his own: unloading takes it off the shelf, not out of his hands.</summary>
internal sealed class AdapterShelf(Model model, string folder) : IDisposable
{
    private readonly object gate = new();
    private readonly Dictionary<string, Adapter> loaded = [];

    public int Loads { get; private set; }

    public int Unloads { get; private set; }

    /// <summary>A holder for the caller to dispose; null for the plain base.</summary>
    public Adapter? Borrow(string? name)
    {
        if (name is null)
            return null;
        lock (gate)
            if (loaded.TryGetValue(name, out var there))
                return there.Retain();
        // Reading files takes its time: nobody who wants another adapter waits for it.
        var fresh = model.OpenAdapter(Path.Combine(folder, name));
        lock (gate)
        {
            ++Loads;
            if (loaded.TryAdd(name, fresh))
                return fresh.Retain();
            return fresh;
        }
    }

    public void Unload(string name)
    {
        lock (gate)
            if (loaded.Remove(name, out var adapter))
            {
                ++Unloads;
                adapter.Dispose();
            }
    }

    public void Dispose()
    {
        lock (gate)
        {
            foreach (var adapter in loaded.Values)
                adapter.Dispose();
            loaded.Clear();
        }
    }
}
