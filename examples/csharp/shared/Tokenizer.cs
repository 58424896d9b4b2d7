using System.Text;
using System.Text.Json;

namespace Moxie.Examples;

/// <summary>
/// A small reader of tokenizer.json: byte-pair encoding over Unicode characters, with spaces as "▁" and bytes for
/// characters that the vocabulary lacks. As much of the format as the example models use; a server takes a tokenizer
/// library.
/// </summary>
public sealed class Tokenizer
{
    private const int Begin = 1;
    private const string Space = "▁";

    private readonly Dictionary<string, int> ids = [];
    private readonly Dictionary<(string, string), int> ranks = [];
    private readonly string[] pieces;

    public Tokenizer(string path)
    {
        using var json = JsonDocument.Parse(File.ReadAllText(path));
        var model = json.RootElement.GetProperty("model");
        if (model.GetProperty("type").GetString() is var type && type != "BPE")
            throw new InvalidDataException($"{path}: the model is {type}; expected BPE");
        foreach (var entry in model.GetProperty("vocab").EnumerateObject())
            ids[entry.Name] = entry.Value.GetInt32();
        foreach (var merge in model.GetProperty("merges").EnumerateArray())
        {
            var pair = merge.ValueKind == JsonValueKind.Array
                ? merge.EnumerateArray().Select(part => part.GetString()!).ToArray()
                : merge.GetString()!.Split(' ');
            ranks.TryAdd((pair[0], pair[1]), ranks.Count);
        }
        pieces = new string[ids.Values.Max() + 1];
        foreach (var (piece, id) in ids)
            pieces[id] = piece;
    }

    /// <summary>The beginning of a sequence, and the text.</summary>
    public int[] Encode(string text)
    {
        var symbols = (Space + text.Replace(" ", Space)).EnumerateRunes().Select(rune => rune.ToString())
            .SelectMany(symbol => ids.ContainsKey(symbol) ? [symbol] : Bytes(symbol)).ToList();
        while (true)
        {
            int best = int.MaxValue, at = -1;
            for (var i = 0; i + 1 < symbols.Count; ++i)
                if (ranks.TryGetValue((symbols[i], symbols[i + 1]), out var rank) && rank < best)
                    (best, at) = (rank, i);
            if (at < 0)
                return [Begin, .. symbols.Select(symbol => ids[symbol])];
            symbols[at] += symbols[at + 1];
            symbols.RemoveAt(at + 1);
        }
    }

    /// <summary>The text of some tokens; special ones have none.</summary>
    public string Decode(IEnumerable<int> tokens)
    {
        var bytes = new List<byte>();
        foreach (var token in tokens)
        {
            var piece = pieces[token];
            if (piece is ['<', '0', 'x', _, _, '>'])
                bytes.Add(Convert.ToByte(piece[3..5], 16));
            else if (token > 2)
                bytes.AddRange(Encoding.UTF8.GetBytes(piece.Replace(Space, " ")));
        }
        var text = Encoding.UTF8.GetString(bytes.ToArray());
        return text.StartsWith(' ') ? text[1..] : text;
    }

    private static string[] Bytes(string symbol) =>
        Encoding.UTF8.GetBytes(symbol).Select(value => $"<0x{value:X2}>").ToArray();
}
