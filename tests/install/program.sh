#!/usr/bin/env bash
# The installed program runs, with the library installed beside it.
set -euo pipefail
unset LD_LIBRARY_PATH
program=$PREFIX/bin/moxie
[[ $("$program" --version) == "moxie $VERSION" ]]
used=$(ldd "$program" | sed -n 's/.*libmoxie[^ ]* => \([^ ]*\).*/\1/p')
[[ $(realpath "$used") == "$PREFIX/$LIBDIR/libmoxie.so.$VERSION" ]] || { echo "it runs with $used" && exit 1; }
"$program" kernels
"$program" parity --quiet "$PROJECT/tests/data/parity/cases/ff-mixed-nine-l1-float32"
