# Reads the help of one command and prints a part of the manual page, as `-v part=PART` says:
#   commands   names of its subcommands
#   synopsis   how it is called
#   body       what it does, its options, what is said below them
#   machine    the options of the group "Machine", which many commands share
function escaped(text) {
  gsub(/\\/, "\\e", text)
  gsub(/-/, "\\-", text)
  sub(/^[.']/, "\\\\\\&&", text)
  return text
}

function take_apart() {
  names = substr(line, 3, 28)
  meaning = substr(line, 31)
  sub(/ +$/, "", names)
}

function finish_option() {
  if (names == "") return
  if (meaning == "" && substr(line, 30, 1) == " ") take_apart()
  if (part == (group == "Machine" ? "machine" : "body")) {
    # "-h,--help", "--model DIR REQUIRED": names are bold, what they take is italic.
    split(names, words, " ")
    takes = substr(names, length(words[1]) + 1)
    sub(/^ +/, "", takes)
    takes = escaped(takes)
    gsub(/,/, ",\\:", takes)  # long lists may be broken
    printf ".TP\n\\fB%s\\fR%s\n", escaped(words[1]), (takes == "" ? "" : " \\fI" takes "\\fR")
    print escaped(meaning == "" ? "\\ " : meaning)
  }
  names = meaning = ""
}

function begin_paragraph() {
  if (!in_paragraph && part == "body") print ".PP"
  in_paragraph = 1
}

# The first lines: what it does, and how it is called.
NR == 1 { description = $0; next }
/^ *Usage: / {
  sub(/^ *Usage: /, "")
  sub(/^ +/, "")
  sub(/SUBCOMMAND/, "COMMAND")
  if (part == "synopsis") {
    match($0, /^moxie( [a-z]+)*/)
    printf ".br\n.B %s\n%s\n", substr($0, 1, RLENGTH), escaped(substr($0, RLENGTH + 2))
  }
  if (part == "body") print escaped(description)
  next
}

# A heading of options, or one below them.
/^[A-Za-z ]+:$/ {
  finish_option()
  group = $0
  sub(/:$/, "", group)
  known = tolower(group)
  in_footer = known == "examples" || in_footer
  in_paragraph = 0
  if (in_footer && part == "body") printf ".PP\n%s\n", escaped($0)
  if (!in_footer && known != "options" && known != "positionals" && known != "subcommands" && known != "machine" &&
      part == "body") printf ".PP\n%s\n", escaped($0)
  next
}

/^$/ { finish_option(); in_paragraph = 0; if (in_example && part == "body") print ".EE"; in_example = 0; next }

# Prose below the options.
/^[^ ]/ {
  finish_option()
  in_footer = 1
  begin_paragraph()
  if (part == "body") print escaped($0)
  next
}

in_footer {
  if (part == "body") {
    if (!in_example) print ".EX"
    sub(/^  /, "")
    print escaped($0)
  }
  in_example = 1
  next
}

tolower(group) == "subcommands" {
  if (/^  [a-z]/) {
    if (part == "commands") print $1
  }
  next
}

# "  names   meaning", or the names alone and the meaning, indented, in the next line.
/^  [^ ]/ {
  finish_option()
  # The program's meanings begin in column 31, or in the next line where the names reach as far as that.
  line = $0
  if (substr($0, 29, 2) == "  ") take_apart()
  else names = substr($0, 3)
  next
}
/^ +[^ ]/ { text = $0; sub(/^ +/, "", text); meaning = meaning (meaning == "" ? "" : " ") text }

END { finish_option(); if (in_example && part == "body") print ".EE" }
