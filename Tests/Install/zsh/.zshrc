# For Tests/Install/test: the shell ends at the first Tab, and what it would offer then is in the file CANDIDATES.
PROMPT= RPROMPT=
fpath=($FUNCTIONS $fpath)
autoload -Uz compinit && compinit -u -D
bindkey '^I' complete-word
compadd() {
    local -a offered
    [[ " $* " == *\ -[OAD]\ * ]] || { builtin compadd -A offered "$@"; print -rl -- $offered >>$CANDIDATES }
    builtin compadd "$@"
}
finish() { exit }
comppostfuncs=(finish)
