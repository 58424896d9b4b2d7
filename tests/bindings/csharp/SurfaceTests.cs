using System.Reflection;
using System.Text.RegularExpressions;
using Xunit;

namespace Moxie.Tests;

/// <summary>The headers against the raw layer, and the raw layer against what the public classes use of it.</summary>
public partial class SurfaceTests
{
    // Reached by nobody, with the reason.
    private static readonly Dictionary<string, string> unused = new();

    private static readonly string headers = string.Concat(
        Directory.GetFiles(Path.Combine(Shared.Source, "include", "moxie"), "*.h").Select(File.ReadAllText));

    [Fact]
    public void EveryFunctionOfTheHeadersIsInTheRawLayer()
    {
        var raw = typeof(Model).Assembly.GetType("Moxie.Interop.rawPINVOKE", throwOnError: true)!
            .GetMethods(BindingFlags.Static | BindingFlags.Public).Select(method => method.Name).ToHashSet();
        var declared = Declared();
        Assert.True(declared.Count > 50, $"only {declared.Count} functions were found in the headers");
        Assert.Empty(declared.Except(raw));
    }

    [Fact]
    public void EveryFunctionOfTheHeadersIsUsedByThePublicClasses()
    {
        var sources = string.Concat(Directory.GetFiles(Path.Combine(Shared.Source, "bindings", "csharp", "src"), "*.cs",
            SearchOption.AllDirectories).Select(File.ReadAllText));
        var used = Uses().Matches(sources).Select(match => match.Groups[1].Value).ToHashSet();
        Assert.Empty(Declared().Except(used).Except(unused.Keys));
        Assert.DoesNotContain(unused.Keys, used.Contains);
    }

    [Fact]
    public void EveryFieldOfAStructIsUsedByThePublicClasses()
    {
        var sources = string.Concat(Directory.GetFiles(Path.Combine(Shared.Source, "bindings", "csharp", "src"), "*.cs",
            SearchOption.AllDirectories).Select(File.ReadAllText));
        var raw = typeof(Model).Assembly.GetType("Moxie.Interop.rawPINVOKE", throwOnError: true)!
            .GetMethods(BindingFlags.Static | BindingFlags.Public).Select(method => method.Name)
            .Where(name => name.StartsWith("mox_", StringComparison.Ordinal));
        var fields = raw.Where(name => name.EndsWith("_get", StringComparison.Ordinal)
                || name.EndsWith("_set", StringComparison.Ordinal))
            .Select(name => name[..^4]).Where(name => !name.EndsWith("_size", StringComparison.Ordinal)).ToHashSet();
        Assert.True(fields.Count > 100, $"only {fields.Count} fields were found");
        // The exception has the status from the call itself.
        fields.Remove("mox_error_status");
        Assert.DoesNotContain(fields, field => !sources.Contains($"Raw.{field}_get(", StringComparison.Ordinal)
            && !sources.Contains($"Raw.{field}_set(", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(typeof(Status), "mox_status")]
    [InlineData(typeof(ElementType), "mox_dtype")]
    [InlineData(typeof(Activation), "mox_activation")]
    [InlineData(typeof(InstructionSet), "mox_isa")]
    [InlineData(typeof(Backend), "mox_backend")]
    [InlineData(typeof(Numerics), "mox_numerics")]
    [InlineData(typeof(Affinity), "mox_affinity")]
    [InlineData(typeof(RuntimeLogLevel), "mox_log_level")]
    [InlineData(typeof(FeedForwardKind), "mox_feed_forward_kind")]
    [InlineData(typeof(RouterKind), "mox_router_kind")]
    [InlineData(typeof(WeightPrecision), "mox_weights")]
    [InlineData(typeof(WeightStorage), "mox_storage")]
    [InlineData(typeof(PackedCacheMode), "mox_packed_cache")]
    [InlineData(typeof(AdapterKind), "mox_adapter_kind")]
    [InlineData(typeof(Projection), "mox_projection")]
    [InlineData(typeof(TensorFileKind), "mox_file_kind")]
    public void EnumerationsHaveTheHeadersNumbers(Type type, string name)
    {
        var body = Regex.Match(headers, $@"typedef enum {name} \{{(.*?)\}} {name};", RegexOptions.Singleline).Groups[1].Value;
        var inHeader = Regex.Matches(Regex.Replace(body, @"/\*.*?\*/", "", RegexOptions.Singleline), @"(MOX_\w+) = (\d+)")
            .Select(match => (Name: Plain(match.Groups[1].Value), Number: int.Parse(match.Groups[2].Value))).ToList();
        Assert.NotEmpty(inHeader);
        var ours = Enum.GetValues(type).Cast<object>().Select(value => (Name: Plain(value.ToString()!), Number: (int)value))
            .ToDictionary(entry => entry.Number, entry => entry.Name);
        Assert.Equal(inHeader.Select(entry => entry.Number).Order(), ours.Keys.Order());
        // The numbers mean the same: each name of ours ends the header's, or abbreviates the same type.
        var abbreviations = new Dictionary<string, string>
        {
            ["float32"] = "f32", ["bfloat16"] = "bf16", ["float16"] = "f16", ["float64"] = "f64", ["int64"] = "i64",
            ["int32"] = "i32", ["int16"] = "i16", ["int8"] = "i8", ["uint8"] = "u8", ["boolean"] = "bool",
            ["avx512bfloat16"] = "avx512bf16",
        };
        foreach (var (header, number) in inHeader)
            Assert.EndsWith(abbreviations.GetValueOrDefault(ours[number], ours[number]), header, StringComparison.Ordinal);
    }

    [Fact]
    public void NoPublicSignatureHasAPointer()
    {
        var members = typeof(Model).Assembly.GetExportedTypes()
            .SelectMany(type => type.GetMembers(BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance
                | BindingFlags.Static | BindingFlags.DeclaredOnly)).ToList();
        var types = members.OfType<MethodBase>().Where(method => method.IsPublic || method.IsFamily)
            .SelectMany(method => method.GetParameters().Select(parameter => (method, parameter.ParameterType))
                .Append((method, (method as MethodInfo)?.ReturnType ?? typeof(void))));
        Assert.All(types, entry => Assert.False(
            entry.Item2.IsPointer || entry.Item2 == typeof(nint) || entry.Item2 == typeof(nuint)
                || entry.Item2.FullName?.Contains("SWIG", StringComparison.Ordinal) == true,
            $"{entry.method.DeclaringType}.{entry.method.Name} shows {entry.Item2}"));
        Assert.All(typeof(Model).Assembly.GetExportedTypes(), type => Assert.Equal("Moxie", type.Namespace));
    }

    [Fact]
    public void ThePackageHasTheLibrarysVersion() => Assert.Equal(
        MoxieLibrary.Version, typeof(Model).Assembly.GetName().Version!.ToString(3));

    [Fact]
    public void NamesAreTheLibrarys()
    {
        Assert.Equal("invalid file", Status.InvalidFile.Name());
        Assert.Equal("bfloat16", ElementType.BFloat16.Name());
        Assert.Equal("avx512_bf16", InstructionSet.Avx512BFloat16.Name());
        Assert.Equal("onednn", Backend.OneDnn.Name());
        Assert.Equal("compact", Affinity.Compact.Name());
        Assert.Equal("mixlora-dynamic", AdapterKind.MixLoraDynamic.Name());
        Assert.Equal([4, 2, 2, 8, 8, 4, 2, 1, 1, 1], Enum.GetValues<ElementType>().Select(type => type.Size()));
    }

    private static HashSet<string> Declared() =>
        Declarations().Matches(headers).Select(match => match.Groups[1].Value).ToHashSet();

    private static string Plain(string name) => name.Replace("_", "").ToLowerInvariant();

    [GeneratedRegex(@"MOX_API\s+[^;(]*?\b(mox_\w+)\s*\(")]
    private static partial Regex Declarations();

    [GeneratedRegex(@"Raw\.(mox_\w+)")]
    private static partial Regex Uses();
}
