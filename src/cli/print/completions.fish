
# What 'officer lock' runs is completed as it is without it.
function __fish_officer_command
    set -l words (commandline -opc)
    for word in $words
        set -e words[1]
        test "$word" = --; and break
    end
    complete -C "$(string join ' ' -- (string escape -- $words) (commandline -ct))"
end

# 'officer print man' takes the commands of the command so far.
function __fish_officer_pages
    set -l words (commandline -opc)
    set -e words[1..3]
    switch "$words"
@CASES@
    end
end

complete -c officer -n "__fish_officer_using_subcommand lock; and contains -- -- (commandline -opc)" -f -a "(__fish_officer_command)"
complete -c officer -n "__fish_officer_using_subcommand print; and __fish_seen_subcommand_from completions" -f -a "bash elvish fish powershell zsh"
complete -c officer -n "__fish_officer_using_subcommand print; and __fish_seen_subcommand_from man" -f -a "(__fish_officer_pages)"
