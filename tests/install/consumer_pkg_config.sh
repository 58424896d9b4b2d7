#!/usr/bin/env bash
# A stranger's makefile: pkg-config says how to compile and link, as C11 and C++17.
#   consumer_pkg_config.sh FOLDER     (made anew)
set -euo pipefail
folder=$1
rm -rf "$folder"
mkdir -p "$folder"
export PKG_CONFIG_LIBDIR=$PREFIX/$LIBDIR/pkgconfig
unset PKG_CONFIG_PATH
consumer=$PROJECT/tests/install/consumer

found=$(pkg-config --modversion moxie)
[[ $found == "$VERSION" ]] || { echo "moxie.pc states version $found, expected $VERSION" && exit 1; }
pkg-config --exists "moxie >= 0.1"
! pkg-config --exists "moxie > $VERSION"
read -ra flags <<<"$(pkg-config --cflags --libs moxie)"
echo "flags: ${flags[*]}"
"$CC" -std=c11 -Wall -Wextra -pedantic -Werror "$consumer/consumer.c" -o "$folder/consumer_c11" "${flags[@]}" -lm
"$CXX" -std=c++17 -Wall -Wextra -pedantic -Werror "$consumer/consumer.cpp" -o "$folder/consumer_cxx17" "${flags[@]}"
export LD_LIBRARY_PATH=$PREFIX/$LIBDIR
"$folder/consumer_c11" "$VERSION"
"$folder/consumer_cxx17" "$VERSION"
