    # What 'officer lock' runs is completed as it is without it.
    integer separator=${words[(i)--]}
    if [[ $words[2] == lock ]] && (( separator < CURRENT )); then
        shift $separator words
        (( CURRENT -= separator ))
        _normal
        return
    fi

