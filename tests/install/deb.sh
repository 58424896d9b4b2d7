#!/usr/bin/env bash
# The Debian packages: what they say of themselves, and that the program runs from their files.
#   deb.sh FOLDER     (made anew)
set -euo pipefail
folder=$1
rm -rf "$folder"
mkdir -p "$folder/root"
(cd "$BUILD" && cpack -G DEB -B "$folder") >"$folder/log" 2>&1 || { cat "$folder/log" && exit 1; }
fail() { echo "$1" && exit 1; }
library=libmoxie${SONAME##*.}

for package in "$library" libmoxie-dev moxie; do
  deb=$(echo "$folder/${package}_$VERSION-1_"*.deb)
  [[ -f $deb ]] || fail "there is no package $package"
  [[ $(dpkg-deb -f "$deb" Package Version Section Description | wc -l) -ge 4 ]] || fail "$deb lacks a field"
  dpkg-deb -x "$deb" "$folder/root"
  for file in copyright changelog.Debian.gz NOTICE; do
    [[ -f $folder/root/usr/share/doc/$package/$file ]] || fail "$package has no $file"
  done
  [[ -z $(find "$folder/root" -perm /022 ! -type l) ]] || fail "files may be written by others"
done
depends() { dpkg-deb -f "$folder/$1_$VERSION-1_"*.deb Depends; }
[[ $(depends "$library") == *libc6* && $(depends "$library") == *libstdc++6* && $(depends "$library") == *libzip* ]] ||
  fail "$library depends on '$(depends "$library")' only"
[[ $(depends libmoxie-dev) == "$library (= $VERSION-1)" ]] || fail "libmoxie-dev depends on '$(depends libmoxie-dev)'"
[[ $(depends moxie) == *"$library (= $VERSION-1)"*libc6* ]] || fail "moxie depends on '$(depends moxie)'"
[[ $(dpkg-deb -I "$folder/${library}_$VERSION-1_"*.deb shlibs) == "libmoxie ${SONAME##*.} $library"* ]] ||
  fail "$library does not tell others what to depend on"

program=$folder/root/usr/bin/moxie
! objdump -p "$program" | grep -E 'RPATH|RUNPATH' || fail "the program has a run path"
library_folder=$(dirname "$(find "$folder/root/usr/lib" -name "$SONAME")")
[[ $(LD_LIBRARY_PATH=$library_folder "$program" --version) == "moxie $VERSION" ]] || fail "the program does not run"
LD_LIBRARY_PATH=$library_folder "$program" parity --quiet "$PROJECT/tests/data/parity/cases/ff-mixed-nine-l1-float32"
dpkg-deb -f "$folder/${library}_$VERSION-1_"*.deb Package Version Depends
