#!/usr/bin/env bash
# scripts/check-abi against headers in which something was changed: what breaks programs is refused as such, also when
# the baseline is to be renewed; what merely grows is told apart; a library that lacks a function is found.
#   breaks_are_seen.sh PROJECT LIBRARY FOLDER     (FOLDER is made anew)
set -euo pipefail
project=$1 library=$2 folder=$3
rm -rf "$folder"
mkdir -p "$folder"
failed=0

# expect BREAKS|GROWS|SAME TITLE HEADER SED-SCRIPT
expect() {
  local expected=$1 title=$2 header=$3 change=$4 found status=0
  rm -rf "$folder/include"
  cp -r "$project/include" "$folder/include"
  sed -i "$change" "$folder/include/moxie/$header"
  if [[ $expected != SAME ]] && cmp -s "$project/include/moxie/$header" "$folder/include/moxie/$header"; then
    echo "FAILED: $title: the change does not apply to $header"
    failed=1
    return
  fi
  cp "$project/tests/abi/libmoxie.abi" "$folder/renewed.abi"
  "$project/scripts/check-abi" --headers "$folder/include" "$library" >"$folder/log" 2>&1 || status=$?
  "$project/scripts/check-abi" --renew --baseline "$folder/renewed.abi" --headers "$folder/include" "$library" \
    >"$folder/renew.log" 2>&1 && renewed=1 || renewed=0
  case $status,$renewed in
    0,1) found=SAME ;;
    1,1) grep -q 'has grown, which breaks nobody' "$folder/log" && found=GROWS || found="an error" ;;
    1,0) grep -q 'A new meaning needs a new name' "$folder/renew.log" && found=BREAKS || found="an error" ;;
    *) found="status $status, renewed $renewed" ;;
  esac
  if [[ $found == "$expected" ]]; then
    echo "$title: $found"
  else
    echo "FAILED: $title: expected $expected, found $found"
    cat "$folder/log" "$folder/renew.log"
    failed=1
  fi
}

expect SAME "nothing changed" status.h ''
expect GROWS "a new function" status.h 's/^MOX_API const char\* mox_version(void);/&\nMOX_API int mox_more(void);/'
expect GROWS "a new status" status.h 's/MOX_INTERNAL = 8/&, MOX_MORE = 9/'
expect GROWS "a new option at the end" sampler.h 's/^  uint64_t seed;/&\n  int32_t more;/'
expect BREAKS "a new option in the middle" sampler.h 's/^  uint64_t seed;/  int32_t more;\n&/'
expect BREAKS "a new option in the padding" routing.h 's/^  int32_t places; .*/&\n  int32_t more;/'
expect BREAKS "a new option, another one of another type" sampler.h 's/^  uint64_t seed;/  double seed;\n  int32_t more;/'
expect BREAKS "an option less" sampler.h '/^  uint64_t seed;/d'
expect BREAKS "an element struct that grows" model.h 's/^  int64_t logits_stride;/&\n  int64_t more;/'
expect BREAKS "a number that changes" status.h 's/MOX_IO = 7/MOX_IO = 17/'
expect BREAKS "a function less" status.h '/^MOX_API const char\* mox_version(void);/d'
expect BREAKS "a parameter more" types.h 's/mox_dtype_size(mox_dtype dtype)/mox_dtype_size(mox_dtype dtype, int more)/'
expect BREAKS "another return type" types.h 's/size_t mox_dtype_size(/int mox_dtype_size(/'
expect BREAKS "a longer message" status.h 's/message\[1020\]/message[2044]/'

# A library without one of the functions: all of the baseline's, as empty stubs, but mox_version.
sed -n "s/.*elf-symbol name='\(mox_[a-z_0-9]*\)'.*/void \1(void) {}/p" "$project/tests/abi/libmoxie.abi" |
  grep -v mox_version >"$folder/lacks.c"
soname=$(objdump -p "$library" | sed -n 's/^ *SONAME *//p')
"${CC:-cc}" -shared -fPIC -nostdlib -Wl,-soname,"$soname" -Wl,--version-script="$project/src/api/moxie.map" \
  -o "$folder/lacks.so" "$folder/lacks.c"
if "$project/scripts/check-abi" "$folder/lacks.so" >"$folder/log" 2>&1 || ! grep -q mox_version "$folder/log"; then
  echo "FAILED: a library without mox_version was not refused"
  cat "$folder/log"
  failed=1
else
  echo "a library without mox_version: refused"
fi
exit "$failed"
