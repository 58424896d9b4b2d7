namespace Moxie.Examples;

/// <summary>The examples check what they claim: they are tests as well.</summary>
public static class Claims
{
    public static void Expect(bool holds, string claim)
    {
        if (!holds)
            throw new InvalidOperationException($"does not hold: {claim}");
    }
}
