#!/usr/bin/env bash
# The main job, on the demonstration models: one frozen base and six adapters of five kinds in one batch; what each
# adapter is worth on each text; and which experts a mixture of experts uses.
#   scripts/demo.sh [MOXIE]     default: build/release/src/cli/moxie
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
moxie=${1:-build/release/src/cli/moxie}
if [[ ! -x $moxie ]]; then
  echo "$moxie is missing; scripts/demo builds it" >&2
  exit 1
fi

models=examples/models
pictures=build/demo
mkdir -p "$pictures"

adapters=(kjv-mixlora kjv-mixlora-dynamic melville-loramoe presidents-mola jargon-lora jargon-dora)
prompts=('And it came to pass in those days, that' 'My fellow Americans, tonight')

with_adapters=()
for name in "${adapters[@]}"; do with_adapters+=(--adapter "$name=$models/$name"); done
with_prompts=()
for prompt in "${prompts[@]}"; do
  for name in base "${adapters[@]}"; do with_prompts+=(--prompt "$name:$prompt"); done
done

heading() { printf '\n=== %s\n\n' "$1"; }

heading "tiny-llama and its adapters continue the same prompts, all in one batch (float32, greedy)"
"$moxie" generate --model "$models/tiny-llama" --weights float32 "${with_adapters[@]}" "${with_prompts[@]}" \
  --max-tokens 32

heading "Perplexity on held-out text: each adapter lowers its own text's (lower is better)"
"$moxie" perplexity --model "$models/tiny-llama" --weights float32 "${with_adapters[@]}" \
  --windows "$models"/heldout/{kjv,moby,sotu,jargon}.safetensors

heading "Which experts tiny-mixtral gives the tokens of the Jargon File to"
"$moxie" routes --model "$models/tiny-mixtral" --weights float32 --windows "$models/heldout/jargon.safetensors" \
  --svg "$pictures/tiny-mixtral-jargon.svg"
echo
echo "The same as a picture: $pictures/tiny-mixtral-jargon.svg"
