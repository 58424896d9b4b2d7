#!/usr/bin/env bash
# The installed tree serves the same from wherever it is put.
#   moved.sh FOLDER     (made anew)
set -euo pipefail
folder=$1
here=$(dirname "${BASH_SOURCE[0]}")
rm -rf "$folder"
mkdir -p "$folder"
cp -a "$PREFIX" "$folder/elsewhere"
# Hidden, so that nothing can be found where it was.
mv "$PREFIX" "$PREFIX.hidden"
trap 'mv "$PREFIX.hidden" "$hidden"' EXIT
hidden=$PREFIX
moved() { PREFIX=$folder/elsewhere "$@"; }
moved "$here/consumer_cmake.sh" "$folder/cmake"
moved "$here/consumer_pkg_config.sh" "$folder/pkg_config"
[[ -z $PROGRAM ]] || "$folder/elsewhere/bin/moxie" --version
