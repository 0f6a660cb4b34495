    # What 'officer lock' runs is completed as it is without it.
    integer separator=${words[(i)--]}
    if [[ $words[2] == lock ]] && (( separator < CURRENT )); then
        shift $separator words
        (( CURRENT -= separator ))
        _normal
        return
    fi

    # 'officer print man' takes the commands of the command so far.
    if [[ $words[2] == print && $words[3] == man && $words[CURRENT] != -* ]] && (( CURRENT > 3 )); then
        local pages
        case "$words[4,CURRENT-1]" in
@CASES@
        esac
        compadd -- ${=pages}
        return
    fi
