
# What 'officer lock' runs is completed as it is without it, and 'officer print man' takes the commands of the command so far.
_officer_and_command() {
    local word pages=
    if [[ ${COMP_WORDS[1]} == lock ]]; then
        for ((word = 2; word < COMP_CWORD; word++)); do
            [[ ${COMP_WORDS[word]} == -- ]] || continue
            if declare -F _comp_command_offset >/dev/null; then
                _comp_command_offset $((word + 1))
            elif declare -F _command_offset >/dev/null; then
                _command_offset $((word + 1))
            elif ((word + 1 == COMP_CWORD)); then
                mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}")
            else
                COMPREPLY=()
            fi
            return
        done
    fi
    if [[ ${COMP_WORDS[1]} == print && ${COMP_WORDS[2]} == man && ${COMP_WORDS[COMP_CWORD]} != -* ]] && ((COMP_CWORD > 2)); then
        word=${COMP_WORDS[*]:3:COMP_CWORD-3}
        case "$word" in
@CASES@
        esac
        mapfile -t COMPREPLY < <(compgen -W "$pages" -- "${COMP_WORDS[COMP_CWORD]}")
        return
    fi
    _officer "$@"
}

# Without nosort in a bash that does not know it yet.
complete -F _officer_and_command -o nosort -o bashdefault -o default officer 2>/dev/null ||
    complete -F _officer_and_command -o bashdefault -o default officer
