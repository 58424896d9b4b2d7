#!/usr/bin/env bash
# The quickstart as a self-contained program without what it does not use; a warning of the trimmer is an error.
#   trimmed.sh DOTNET SOURCE BUILD VERSION
set -euo pipefail
dotnet=$1 source=$2 build=$3 version=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DOTNET_CLI_USE_MSBUILD_SERVER=0 MSBUILDDISABLENODEREUSE=1 DOTNET_NOLOGO=1
unset MOXIE_LIBRARY LD_LIBRARY_PATH

"$dotnet" publish "$source/examples/csharp/quickstart/Quickstart.csproj" -c Release -r linux-x64 --self-contained \
  --artifacts-path "$work/artifacts" -o "$work/program" -p:PublishTrimmed=true -p:TrimmerSingleWarn=false -p:UseAppHost=true \
  -p:MoxieBuild="$build" -p:MoxieVersion="$version" -p:UseSharedCompilation=false -m:1 -v:quiet
# Run with nothing of .NET to fall back on.
env -u DOTNET_ROOT "$work/program/Quickstart" "$source/examples/models"
