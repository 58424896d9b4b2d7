#!/usr/bin/env bash
# Installs what building and testing Moxie needs, from the distribution's own packages.
# Says nothing and needs no rights when everything is there already.
#   scripts/install-packages.sh            build, tests, command line
#   scripts/install-packages.sh --checks   and what .ci/run, scripts/format and scripts/tidy use
set -euo pipefail

packages=(
  build-essential g++ cmake ninja-build pkg-config git ca-certificates
  libeigen3-dev        # CPUs without AVX-512
  libdnnl-dev          # oneDNN
  ocl-icd-opencl-dev   # libdnnl-dev names OpenCL in its CMake package without depending on it
  nlohmann-json3-dev   # config.json, safetensors headers
  libzip-dev           # adapter_model.bin
  libxxhash-dev        # checksums of packed caches
  libsentencepiece-dev # tokenizers of the command line
  libcli11-dev         # the command line's options
  libgtest-dev libgmock-dev libbenchmark-dev
  swig                 # the raw layer of the bindings
  default-jdk-headless junit5 # Java
  golang-go            # Go
  abigail-tools man-db # tests of the ABI baseline and of the manual page
)
case "${1:-}" in
  '') ;;
  --checks) packages+=(ccache clang-format-14 clang-tidy valgrind) ;;
  *)
    echo "usage: scripts/install-packages.sh [--checks]" >&2
    exit 2
    ;;
esac

# Debian has no .NET: the C# binding is built where `dotnet` is found. Ubuntu has one.
if ! command -v dotnet >/dev/null && grep -qs '^VERSION_CODENAME=noble' /etc/os-release; then
  packages+=(dotnet-sdk-8.0)
fi

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  {
    echo "This script knows Debian 12, Ubuntu 22.04 and Ubuntu 24.04, which have apt-get; this system has not."
    echo "Install by hand: a C++20 compiler (GCC 12 is tested), CMake >= 3.25, Ninja, pkg-config, Eigen >= 3.4,"
    echo "oneDNN 2.6 or 3.x, nlohmann-json >= 3.10, libzip, libxxhash, sentencepiece, CLI11, GoogleTest with GoogleMock;"
    echo "for the bindings SWIG >= 4.1 and a JDK >= 17 with JUnit 5, Go >= 1.19, a .NET SDK >= 8."
    echo "Then: cmake --preset release && cmake --build --preset release && ctest --preset release"
  } >&2
  exit 1
fi

# sentencepiece 0.2 (Ubuntu 24.04, Debian 13) cannot be found by pkg-config without this one.
if grep -qs '^VERSION_CODENAME=\(noble\|trixie\)' /etc/os-release; then
  packages+=(libprotobuf-dev)
fi

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $state == installed ]] || missing+=("$package")
done

if ((${#missing[@]})); then
  as_root=()
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
      echo "As root, run: apt-get install ${missing[*]}" >&2
      exit 1
    fi
    as_root=(sudo)
  fi
  echo "Installing: ${missing[*]}"
  # A third-party source that is down must not stop us; if it mattered, the next command fails and says so.
  "${as_root[@]}" apt-get update -qq || echo "apt-get update failed; trying with the package lists at hand" >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq -o Dpkg::Use-Pty=0 --yes --no-install-recommends "${missing[@]}"
fi

cmake_version=$(cmake --version | sed -n '1s/^cmake version \([0-9.]*\).*/\1/p')
if [[ $(printf '%s\n' 3.25 "$cmake_version" | sort --version-sort | head -n 1) != 3.25 ]]; then
  {
    echo "CMake $cmake_version is too old: 3.25 or newer is needed. Ubuntu 22.04 ships 3.22; take a newer one from"
    echo "https://apt.kitware.com (then apt-get install cmake), or: snap install cmake --classic"
  } >&2
  exit 1
fi
