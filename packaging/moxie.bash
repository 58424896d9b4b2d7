# Completion of moxie(1) for bash. It asks the program itself (`moxie COMMAND --help`), so it knows what that knows.

# The line that describes an option, or nothing: "  --isa TEXT:{portable,avx2} ...".
_moxie_option() { grep -E -m 1 -e "^  (-[a-z],)?$2( |\$)" <<<"$1"; }

_moxie_commands() { sed -n '/^[Ss][Uu][Bb][Cc][Oo][Mm][Mm][Aa][Nn][Dd][Ss]:$/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p' <<<"$1"; }

_moxie_options() { sed -nE 's/^  (-[a-z],)?(--[a-z][a-z-]*).*/\2/p' <<<"$1"; }

# What may stand for a value, given the words behind an option or positional.
_moxie_values() {
  local takes=$1
  compopt -o filenames 2>/dev/null
  case $takes in
    *\{*\}*)
      takes=${takes#*\{}
      mapfile -t COMPREPLY < <(compgen -W "${takes%%\}*}" -- "$current")
      compopt +o filenames 2>/dev/null
      ;;
    auto\|*) mapfile -t COMPREPLY < <(compgen -W auto -- "$current" && compgen -f -- "$current") ;;
    NAME=DIR*)
      # Readline takes NAME and = for words of their own.
      [[ $before == = ]] && mapfile -t COMPREPLY < <(compgen -d -- "$current")
      ;;
    *DIR*) mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    *FILE* | *PATH*) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
  esac
}

_moxie() {
  local IFS=, program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]} before= option= help word commands
  local -a path=()
  local i=1
  COMPREPLY=()
  ((COMP_CWORD > 0)) && before=${COMP_WORDS[COMP_CWORD - 1]}
  help=$("$program" --help 2>/dev/null) || return 0
  while ((i < COMP_CWORD)); do
    word=${COMP_WORDS[i]}
    commands=$(_moxie_commands "$help")
    grep -qxF -e "$word" <<<"$commands" || break
    path+=("$word")
    help=$("$program" "${path[@]}" --help 2>/dev/null) || return 0
    ((++i))
  done

  # The option that waits for a value: the word before, or where that is =, the one before that.
  if [[ $current == = ]]; then
    current= before==
    option=${COMP_WORDS[COMP_CWORD - 1]}
    [[ $option == --* ]] || option=${COMP_WORDS[COMP_CWORD - 2]}
  elif [[ $before == = ]]; then
    option=${COMP_WORDS[COMP_CWORD - 2]}
    [[ $option == --* ]] || option=${COMP_WORDS[COMP_CWORD - 3]}
  else
    option=$before
  fi
  if [[ $option == --* ]]; then
    local line names
    line=$(_moxie_option "$help" "$option")
    names=$(sed -E 's/^  //; s/  .*//' <<<"$line") # without what it means
    names=${names#*"$option"}
    case $names in
      '' | ' Needs:'*) ;; # takes no value
      *)
        _moxie_values "${names# }"
        return 0
        ;;
    esac
  fi

  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_moxie_options "$help" | tr '\n' ,)" -- "$current")
  elif commands=$(_moxie_commands "$help") && [[ -n $commands ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(tr '\n' , <<<"$commands")" -- "$current")
  else
    _moxie_values "$(sed -n '/^[Pp][Oo][Ss][Ii][Tt][Ii][Oo][Nn][Aa][Ll][Ss]:$/{n;s/^  //;s/  .*//;p}' <<<"$help")"
  fi
}

complete -F _moxie moxie
