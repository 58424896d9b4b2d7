#!/usr/bin/env bash
# Installs into an empty prefix and looks at what is there: all that is meant to be, and nothing else.
set -euo pipefail
rm -rf "$PREFIX"
"$CMAKE" --install "$BUILD" --prefix "$PREFIX" >/dev/null

major=${SONAME##*.}
{
  for header in "$PROJECT"/include/moxie/*.h; do echo "include/moxie/${header##*/}"; done
  printf '%s\n' "$LIBDIR/libmoxie.so" "$LIBDIR/libmoxie.so.$major" "$LIBDIR/libmoxie.so.$VERSION" \
    "$LIBDIR/pkgconfig/moxie.pc" "$LIBDIR"/cmake/Moxie/Moxie{Config,ConfigVersion,Targets,"Targets-$CONFIG"}.cmake \
    share/doc/moxie/LICENSE share/doc/moxie/NOTICE
  [[ -z $JAVA ]] || printf '%s\n' share/java/moxie-"$VERSION"{.jar,-sources.jar,-javadoc.jar,.pom}
  [[ -z $CSHARP ]] || echo "share/moxie/nuget/Moxie.$VERSION.nupkg"
  [[ -z $GO ]] || (cd "$PROJECT/bindings/go" && find . -type f \( -name '*.go' ! -name '*_test.go' -o -name '*.[ch]' -o \
    -name go.mod \) -printf 'share/moxie/go/%P\n')
  [[ -z $PROGRAM ]] || printf '%s\n' bin/moxie share/man/man1/moxie.1 share/bash-completion/completions/moxie
} | sort >"$PREFIX.expected"
(cd "$PREFIX" && find . ! -type d -printf '%P\n' | sort) >"$PREFIX.found"
diff "$PREFIX.expected" "$PREFIX.found" || { echo "the installed files (>) are not those expected (<)" && exit 1; }

fail() { echo "$1" && exit 1; }
diff -r "$PROJECT/include/moxie" "$PREFIX/include/moxie"
cmp "$PROJECT/LICENSE" "$PREFIX/share/doc/moxie/LICENSE"
library=$PREFIX/$LIBDIR/libmoxie.so
found=$(objdump -p "$library" | sed -n 's/^ *SONAME *//p')
[[ $found == "$SONAME" ]] || fail "the SONAME is '$found', expected $SONAME"
[[ $(readlink "$library") == "$SONAME" ]] || fail "libmoxie.so is no link to $SONAME"
[[ $(readlink "$PREFIX/$LIBDIR/$SONAME") == "libmoxie.so.$VERSION" ]] || fail "$SONAME is no link to libmoxie.so.$VERSION"
! objdump -p "$library" | grep -E 'RPATH|RUNPATH' || fail "the library has a run path"
# Nothing that is read by others may point back into the build or the sources.
if grep -rIlF -e "$BUILD" -e "$PROJECT" "$PREFIX"; then
  fail "the files above name the build's or the project's folder"
fi
echo "$(wc -l <"$PREFIX.found") files, $SONAME"
