#!/usr/bin/env bash
# A stranger's CMake project finds the package in the prefix, builds as C11 and C++17 and runs.
#   consumer_cmake.sh FOLDER     (made anew)
set -euo pipefail
folder=$1
rm -rf "$folder"
configure() { "$CMAKE" -G "$GENERATOR" -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" -DCMAKE_PREFIX_PATH="$PREFIX" "$@"; }

configure -S "$PROJECT/tests/install/consumer" -B "$folder/build"
grep -qxF "Moxie_DIR:PATH=$PREFIX/$LIBDIR/cmake/Moxie" "$folder/build/CMakeCache.txt" ||
  { echo "another Moxie was found than the one in $PREFIX" && exit 1; }
"$CMAKE" --build "$folder/build"
"$folder/build/consumer_c11" "$VERSION"
"$folder/build/consumer_cxx17" "$VERSION"

# Who asks for more than there is, or for another major version, is told so.
IFS=. read -r major minor patch <<<"$VERSION"
for wanted in "$major.$((minor + 1))" "$((major + 1)).0" "$major.$minor.$((patch + 1))"; do
  rm -rf "$folder/wanted"
  mkdir -p "$folder/wanted"
  printf 'cmake_minimum_required(VERSION 3.16)\nproject(wanted C)\nfind_package(Moxie %s CONFIG REQUIRED)\n' "$wanted" \
    >"$folder/wanted/CMakeLists.txt"
  if configure -S "$folder/wanted" -B "$folder/wanted/build" >"$folder/wanted.log" 2>&1; then
    echo "Moxie $VERSION was accepted where $wanted was asked for" && exit 1
  fi
  tr -s ' \n' ' ' <"$folder/wanted.log" | grep -qF "compatible with requested version \"$wanted\"" ||
    { cat "$folder/wanted.log" && exit 1; }
  echo "$wanted: refused"
done
