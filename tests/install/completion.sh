#!/usr/bin/env bash
# The completion of an installed program offers what its help lists.
#   completion.sh PREFIX
set -euo pipefail
prefix=${PREFIX:-${1:?usage: completion.sh PREFIX}}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/model-folder"
: >"$folder/model-file"
cd "$folder"
source "$prefix/share/bash-completion/completions/moxie"

failed=0
# expect "WORD WORD..." CURRENT-WORD WORD...   in any order
expect() {
  local expected
  expected=$(tr ' ' '\n' <<<"$1" | sort)
  shift
  COMP_WORDS=("$prefix/bin/moxie" "$@")
  COMP_CWORD=$#
  COMPREPLY=()
  _moxie || true  # compopt fails outside of a completion
  local found
  found=$(printf '%s\n' "${COMPREPLY[@]}" | sort)
  if [[ $found == "$expected" ]]; then
    echo "moxie $*: ${#COMPREPLY[@]} words"
  else
    printf 'FAILED: moxie %s\nexpected: %s\nfound:    %s\n' "$*" "${expected//$'\n'/ }" "${found//$'\n'/ }"
    failed=1
  fi
}
options_of() { "$prefix/bin/moxie" "$@" --help | grep -oE '^  (-h,)?--[a-z-]+' | sed 's/.*--/--/' | tr '\n' ' ' | sed 's/ $//'; }

expect "generate perplexity routes info parity bench kernels" ""
expect "parity perplexity" "p"
expect "ffn adapters model compare machine" bench ""
expect "$(options_of)" "-"
expect "$(options_of generate)" generate "--"
expect "$(options_of bench ffn)" bench ffn "--"
expect "--map-packed-cache --max-tokens --model" generate "--m"
expect "portable avx2 avx512 avx512_bf16 amx" generate --isa ""
expect "avx512 avx512_bf16" generate --model x --isa = "avx512"
expect "stored float32 bfloat16" generate --weights ""
expect "auto plain compact" generate --storage ""
expect "llama-13b llama-70b llama-7b llama-8b" bench ffn --preset "llama-"
expect "model-folder" generate --model ""
expect "model-folder" generate --adapter name = "mod"
expect "" generate --adapter "na"
expect "model-file model-folder" info ""
expect "model-folder" parity ""
expect "auto model-file model-folder" generate --packed-cache ""
expect "$(options_of generate)" generate --packed-cache x --map-packed-cache "--"
exit "$failed"
