using Moxie.Examples;
using Xunit;

namespace Moxie.Tests;

/// <summary>The examples' tokenizer against the ids and texts of reference.json.</summary>
public class TokenizerTests
{
    private readonly Tokenizer tokenizer = new(Path.Combine(Shared.ModelFolder("tokenizer"), "tokenizer.json"));

    [Fact]
    public void EveryPromptOfTheReferenceHasItsIdsAndEveryContinuationItsText()
    {
        var seen = 0;
        foreach (var model in Shared.Reference.EnumerateObject())
            foreach (var text in model.Value.GetProperty("greedy").EnumerateObject())
                foreach (var entry in text.Value.EnumerateArray())
                {
                    var prompt = entry.GetProperty("prompt_ids").EnumerateArray().Select(id => id.GetInt32()).ToArray();
                    var ids = entry.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32());
                    Assert.Equal(prompt, tokenizer.Encode(entry.GetProperty("prompt").GetString()!));
                    Assert.Equal(entry.GetProperty("text").GetString(), tokenizer.Decode(prompt.Concat(ids)));
                    ++seen;
                }
        Assert.True(seen > 50, $"only {seen} prompts were found");
    }

    [Fact]
    public void CharactersThatTheVocabularyLacksAreBytes()
    {
        var ids = tokenizer.Encode("naïve 漢 \U0001f40b");
        Assert.Equal("naïve 漢 \U0001f40b", tokenizer.Decode(ids));
        Assert.Contains(0xF0 + 3, ids);
    }
}
