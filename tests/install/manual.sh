#!/usr/bin/env bash
# The manual page has every command and option that the program has, no others, and no mistakes.
set -euo pipefail
program=$PREFIX/bin/moxie
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export LC_ALL=C.UTF-8 MANWIDTH=200 MANROFFSEQ=
man --warnings -l "$PREFIX/share/man/man1/moxie.1" >"$folder/page" 2>"$folder/warnings"
if [[ -s $folder/warnings ]]; then
  cat "$folder/warnings" && exit 1
fi

# COMMAND OPTION, one pair a line, read off the page as it is shown ...
awk '/^[A-Z]/ { section = $0 } /^   [a-z]/ { command = $0; gsub(/^ +| +$/, "", command); print command }
  section == "COMMANDS" && /^       (-[a-z],)?--[a-z]/ { option = $1; sub(/^-[a-z],/, "", option); print command, option }
  section == "MACHINE OPTIONS" && /^       --[a-z]/ { print "machine", $1 }' "$folder/page" | sort >"$folder/from_page"

# ... and asked of the program, command by command.
ask() {
  local help name
  help=$("$program" "$@" --help)
  (($# == 0)) || {
    echo "moxie $*"
    awk -v command="moxie $*" '/^[A-Za-z]+:$/ { group = $0 } /^$/ { if (group != "") group = group " " }
      /^  (-[a-z],)?--[a-z]/ { option = $1; sub(/^-[a-z],/, "", option)
        print (group ~ /^Machine/ ? "machine" : command), option }' <<<"$help"
  }
  for name in $(awk '/^Subcommands:$/ { on = 1; next } /^$/ { on = 0 } on { print $1 }' <<<"$help"); do ask "$@" "$name"; done
}
ask | sort -u >"$folder/from_program"
diff "$folder/from_program" "$folder/from_page" || { echo "the page (>) is not as the program says (<)" && exit 1; }
(($(wc -l <"$folder/from_page") > 60)) || { echo "only $(wc -l <"$folder/from_page") commands and options found" && exit 1; }
for section in NAME SYNOPSIS DESCRIPTION COMMANDS ENVIRONMENT 'EXIT STATUS' EXAMPLES; do
  grep -qx "$section" "$folder/page" || { echo "the page has no section $section" && exit 1; }
done
# What the environment can hold is what the runtime's header says.
for variable in $(grep -oh 'MOXIE_[A-Z_]*' "$PROJECT/include/moxie/runtime.h" | grep -v '_H$' | sort -u); do
  grep -qE "^ +$variable\$" "$folder/page" || { echo "the page does not explain $variable" && exit 1; }
done
echo "$(wc -l <"$folder/from_page") commands and options"
