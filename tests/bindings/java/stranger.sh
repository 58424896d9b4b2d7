#!/usr/bin/env bash
# Uses the jar as somebody would who has it and nothing else: from the class path and as a module, in an empty folder,
# with an environment that knows nothing of this project.
#   stranger.sh JAVA_BIN_FOLDER JAR VERSION
set -euo pipefail
bin=$1 jar=$2 version=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$here/stranger/." "$work"
cp "$jar" "$work/moxie.jar"
cd "$work"

clean() { env -i HOME="$work/home" PATH=/usr/bin:/bin "$@"; }
expect() {
  if ! grep -qF -- "$1" "$2"; then
    echo "expected: $1" >&2
    cat "$2" >&2
    exit 1
  fi
}

clean "$bin/javac" -Xlint:all -Werror -cp moxie.jar -d classes plain/Scores.java
clean "$bin/java" -Xcheck:jni -cp moxie.jar:classes Scores >plain.log 2>&1 || { cat plain.log >&2; exit 1; }
expect "plain: ok" plain.log
expect "refused: " plain.log

clean "$bin/javac" -Xlint:all -Werror -p moxie.jar -d modules --module-source-path modular -m com.example.greedy
clean "$bin/java" -Xcheck:jni -p moxie.jar:modules -m com.example.greedy/com.example.greedy.Greedy >modular.log 2>&1 ||
  { cat modular.log >&2; exit 1; }
expect "modular: ok, io.moxie@$version, library $version" modular.log
if grep -q WARNING plain.log modular.log; then
  cat plain.log modular.log >&2
  exit 1
fi

# What is internal stays so.
cat >modular/com.example.greedy/com/example/greedy/Nosy.java <<'JAVA'
package com.example.greedy;
class Nosy {
  long address = io.moxie.internal.raw.mox_version();
}
JAVA
if clean "$bin/javac" -p moxie.jar -d nosy --module-source-path modular -m com.example.greedy 2>nosy.log; then
  echo "a module can use io.moxie.internal" >&2
  exit 1
fi
expect "package io.moxie.internal is not visible" nosy.log

# The copy of the library is in the user's cache, and nowhere else.
copies=$(find home -name 'libmoxie*.so' | sort)
wanted=$(printf '%s\n' "home/.cache/moxie/java-$version/libmoxie.so" "home/.cache/moxie/java-$version/libmoxie_java.so")
[[ $copies == "$wanted" ]] || { echo "found: $copies" >&2; exit 1; }

# Beside the jar: sources and Javadoc for an IDE, and the description a repository wants.
"$bin/jar" --list --file "${jar%.jar}-sources.jar" >sources.txt
expect "io/moxie/Model.java" sources.txt
expect "io/moxie/internal/rawJNI.java" sources.txt
"$bin/jar" --list --file "${jar%.jar}-javadoc.jar" >javadoc.txt
expect "io.moxie/io/moxie/Model.html" javadoc.txt
if grep -q "io/moxie/internal" javadoc.txt; then
  echo "the Javadoc shows what is internal" >&2
  exit 1
fi
expect "<version>$version</version>" "${jar%.jar}.pom"
cat plain.log modular.log
