#!/usr/bin/env bash
# Somebody who has the package and knows nothing of this tree: a project elsewhere, the package from a local folder.
#   stranger.sh DOTNET PACKAGES VERSION MODELS
set -euo pipefail
dotnet=$1 packages=$2 version=$3 models=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# A cache of its own: a package of the same version built earlier must not stand in for this one.
export NUGET_PACKAGES=$work/cache DOTNET_CLI_USE_MSBUILD_SERVER=0 MSBUILDDISABLENODEREUSE=1 DOTNET_NOLOGO=1
unset MOXIE_LIBRARY LD_LIBRARY_PATH

major=$("$dotnet" --version | cut -d. -f1)
cat > nuget.config <<EOF
<configuration>
  <packageSources>
    <clear />
    <add key="local" value="$packages" />
  </packageSources>
  <fallbackPackageFolders><clear /></fallbackPackageFolders>
</configuration>
EOF
cat > stranger.csproj <<EOF
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net$major.0</TargetFramework>
    <Nullable>enable</Nullable>
    <ImplicitUsings>enable</ImplicitUsings>
    <UseAppHost>false</UseAppHost>
  </PropertyGroup>
  <ItemGroup>
    <PackageReference Include="Moxie" Version="$version" />
  </ItemGroup>
</Project>
EOF
cat > Program.cs <<'EOF'
using Moxie;

using var runtime = new Runtime();
using var model = runtime.OpenModel(Path.Combine(args[0], "tiny-llama"), new LoadOptions { Weights = WeightPrecision.Float32 });
using var adapter = model.OpenAdapter(Path.Combine(args[0], "kjv-mixlora"));
using var sequence = model.CreateSequence();
int[] prompt = [1, 449, 1964, 570, 981, 865, 614, 1965, 259, 272, 415];
Console.WriteLine(string.Join(' ', model.Generate(sequence, prompt,
    new GenerationOptions { Adapter = adapter, MaxTokens = 8, EndToken = -1 })));
EOF
"$dotnet" build -c Release -p:UseSharedCompilation=false -m:1 -v:quiet
tokens=$("$dotnet" bin/Release/net"$major".0/stranger.dll "$models")
expected=$(python3 - "$models/reference.json" <<'EOF'
import json, sys
entry = json.load(open(sys.argv[1]))["models"]["kjv-mixlora"]["greedy"]["sotu"][0]
assert entry["prompt_ids"] == [1, 449, 1964, 570, 981, 865, 614, 1965, 259, 272, 415]
print(*entry["ids"][:8])
EOF
)
[[ $tokens == "$expected" ]] || { echo "the package gives '$tokens'; expected '$expected'" >&2; exit 1; }
echo "the package gives $tokens"
