"""The scripts that teach bash, zsh and fish to complete `ganbench`: each asks it for the words up to the cursor."""

from __future__ import annotations

from ganbench.errors import unknown

COMMAND = "__complete"
"""What the scripts call, with the words up to the cursor: a line a candidate, behind a tab its legend."""

_BASH = """\
# Completion of ganbench for bash: eval "$(ganbench completion bash)" in ~/.bashrc
_ganbench() {
    local line=${COMP_LINE:0:COMP_POINT} whole
    local -a words found
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    whole=${words[${#words[@]} - 1]}
    mapfile -t found < <("$1" __complete "${words[@]:1}" 2> /dev/null)
    found=("${found[@]%%$'\\t'*}")
    [[ ${#found[@]} == 1 && ${found[0]} == *[=.]* ]] && compopt -o nospace
    # readline has cut the word at each = and replaces what is behind the last one
    [[ $COMP_WORDBREAKS == *=* ]] && found=("${found[@]#"${whole%"${whole##*=}"}"}")
    COMPREPLY=("${found[@]}")
}
complete -o default -F _ganbench ganbench
"""

_ZSH = """\
#compdef ganbench
# Completion of ganbench for zsh: eval "$(ganbench completion zsh)" in ~/.zshrc, behind compinit
_ganbench() {
    local -a found open closed
    found=("${(@f)$(command ganbench __complete "${(@)words[2,CURRENT-1]}" "$PREFIX" 2> /dev/null)}")
    found=("${(@)found%%$'\\t'*}")
    open=("${(@M)found:#*[=.]*}")
    closed=("${(@)found:#*[=.]*}")
    if [[ -z "${(j::)found}" ]]; then
        _files
        return
    fi
    compadd -S '' -a open
    compadd -a closed
}
if [[ "${funcstack[1]}" == _ganbench ]]; then
    _ganbench "$@"
else
    compdef _ganbench ganbench
fi
"""

_FISH = """\
# Completion of ganbench for fish: ganbench completion fish > ~/.config/fish/completions/ganbench.fish
function __ganbench_complete
    set -l words (commandline -opc)
    set -l last (commandline -ct)
    command ganbench __complete $words[2..-1] "$last" 2>/dev/null
end
complete -c ganbench -a '(__ganbench_complete)'
"""

SHELLS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def script(shell: str) -> str:
    """Return the script that teaches a shell to complete; UserError for a shell that is not known."""
    if shell not in SHELLS:
        raise unknown("shell", shell, SHELLS)
    return SHELLS[shell]
