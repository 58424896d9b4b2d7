# The project's own C and C++ files but the generated one, one path a line. Sourced by the scripts that look at all of them.
moxie_sources() {
  local directory present=()
  for directory in include src bindings tests examples; do
    [[ -d $directory ]] && present+=("$directory")
  done
  find "${present[@]}" -path tests/data -prune -o -path bindings/go/internal/raw/raw_wrap.c -prune -o -path examples/models -prune -o \
    -type f \( -name '*.h' -o -name '*.c' -o -name '*.cpp' -o -name '*.inl' \) -print | sort
}
# Formatters of different releases disagree; this is the one of Debian 12.
moxie_clang_format() {
  if command -v clang-format-14 >/dev/null; then
    clang-format-14 "$@"
  else
    clang-format "$@"
  fi
}
