//! Whatever reads the output of `officer print` accepts it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::background::End;
use crate::support::directory::Directory;
use crate::support::server::{PROGRAM, officer};
use crate::support::skip::skipped;

fn print(what: &[&str]) -> String {
    End::of(officer(&["print"]).args(what)).expect_success()
}

/// The unit of a program, which may be where the unit hides it.
fn print_unit(program: &Path) -> String {
    let end = End::of(Command::new(program).args(["print", "systemd-unit"]));
    let is_warned = end.stderr.starts_with("officer: warning: the unit hides /") && end.stderr.lines().count() == 1;
    assert!(end.code == 0 && (end.stderr.is_empty() || is_warned), "{end:?}");
    end.stdout
}

/// A copy of the program. Not by us: a process that another test starts just then would have it open, and it could not be
/// run.
fn copy_program(to: &Path) {
    assert!(Command::new("cp").arg(PROGRAM).arg(to).status().unwrap().success());
}

/// Runs a program that may not be there; then it says so.
fn run_if_there(command: &mut Command) -> Option<Output> {
    match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            skipped(&format!("{:?} is not installed", command.get_program()));
            None
        }
        output => Some(output.unwrap()),
    }
}

/// Checks a unit that runs this program.
fn verify(directory: &Directory, unit: &str) -> Option<()> {
    let file = directory.file("officer.service");
    fs::write(&file, unit).unwrap();
    let output = run_if_there(Command::new("systemd-analyze").arg("verify").arg(&file))?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
    Some(())
}

#[test]
fn systemd_finds_no_fault_with_the_unit() {
    let unit = print_unit(Path::new(PROGRAM));
    assert!(unit.contains(&format!("\nExecStart={PROGRAM} run\n")), "{unit}");
    verify(&Directory::new(), &unit);
}

#[test]
fn the_unit_contains_the_path_of_the_program() {
    let directory = Directory::new();
    let place = directory.file("50% of $HOME");
    fs::create_dir(&place).unwrap();
    let program = place.join("officer");
    copy_program(&program);
    let unit = print_unit(&program);
    // It says so when the program of a unit does not exist.
    verify(&directory, &unit);
    assert!(unit.contains(r#"/50%% of $HOME/officer" run"#), "{unit}");
    // A path that a unit can't express.
    let quoted = directory.file("\"officer\"");
    fs::rename(&program, &quoted).unwrap();
    End::of(Command::new(quoted).args(["print", "systemd-unit"])).expect_failure(2, "move it");
}

#[test]
fn a_unit_that_hides_its_own_program_is_printed_with_a_warning() {
    let directory = Directory::new();
    let program = directory.file("officer");
    copy_program(&program);
    if !program.starts_with("/tmp") {
        eprintln!("skipped: temporary files are not in /tmp here");
        return;
    }
    let end = End::of(Command::new(&program).args(["print", "systemd-unit"]));
    let said =
        format!("officer: warning: the unit hides /tmp from the service, so it can't start {}; ", program.display());
    assert!(end.code == 0 && end.stderr.starts_with(&said) && end.stderr.lines().count() == 1, "{end:?}");
    assert!(end.stdout.contains("ExecStart="));
}

#[test]
fn the_unit_is_as_hard_as_the_operating_guide_says() {
    let directory = Directory::new();
    let file = directory.file("officer.service");
    fs::write(&file, print_unit(Path::new(PROGRAM))).unwrap();
    let security = ["security", "--offline=true", "--no-pager"];
    let Some(output) = run_if_there(Command::new("systemd-analyze").args(security).arg(&file)) else { return };
    let said = String::from_utf8(output.stdout).unwrap();
    let score = said.split("Overall exposure level for officer.service: ").nth(1).unwrap_or_else(|| panic!("{said}"));
    let score = score.split(' ').next().unwrap();
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs/operating.md")).unwrap();
    assert!(guide.contains(&format!("Overall exposure level for officer.service: {score} ")), "the score is {score}");
    assert!(score.parse::<f64>().unwrap() < 1.5, "{score}");
}

#[test]
fn every_command_has_a_manual_page_with_all_of_its_options() {
    let pages = "/run/start/stop/restart/reload/status/lock/locks/connections/top/watch/stats/kick/revoke/ping/secret/bench/bench pair/bench bundle/\
                 bench connect/bench handoff/bench hold/bench storm/bench table/bench floor/bench floor echo/bench floor ring/\
                 print/print systemd-unit/print man/print completions";
    for page in pages.split('/').map(|page| page.split_whitespace().collect::<Vec<_>>()) {
        let page = page.as_slice();
        let printed = print(&[&["man"], page].concat());
        let title = [&["officer"], page].concat().join("-");
        assert!(printed.contains(&format!(".TH {title} 1 ")), "{printed}");
        let help = End::of(officer(page).arg("--help")).expect_success();
        let options: Vec<&str> = help.split_whitespace().filter(|word| word.starts_with("--")).collect();
        assert!(!options.is_empty());
        for option in options {
            let option = option.split(['[', '=']).next().unwrap();
            let option = option.trim_end_matches([',', ')', '.', '\'']).replace('-', r"\-");
            assert!(printed.contains(&option), "{option} is not in {printed}");
        }
        for variable in help.split("[env: ").skip(1) {
            let (variable, _) = variable.split_once(']').unwrap();
            assert!(printed.contains(variable), "{variable} is not in {printed}");
        }
        for section in ["SYNOPSIS", "DESCRIPTION", "EXIT STATUS"] {
            assert!(printed.contains(section), "{section} is not in {printed}");
        }
        let has_variables = help.contains("[env: ");
        assert!(!has_variables || printed.contains(".SH ENVIRONMENT") || printed.contains(".SH \"ENVIRONMENT\""));
        let directory = Directory::new();
        let file = directory.file("page");
        fs::write(&file, &printed).unwrap();
        if let Some(output) = run_if_there(Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(&file)) {
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        }
    }
    End::of(&mut officer(&["print", "man", "rum"])).expect_failure(2, "\"rum\"");
}

#[test]
fn the_page_of_lock_says_how_it_is_called_and_what_counts_beside_its_options() {
    let page = print(&["man", "lock"]);
    let (_, synopsis) = page.split_once(".SH SYNOPSIS\n").unwrap();
    let (synopsis, _) = synopsis.split_once(".SH ").unwrap();
    assert!(synopsis.contains(r"<NAME>... \-\- <COMMAND> [ARG]..."), "{synopsis}");
    for part in [
        ".SH \"EXIT STATUS\"\nthat of the command, or 128 + N if signal N ended it; or\n",
        ".TP\n\\fB73\\fR\nthe lock was lost",
        ".SH \"ENVIRONMENT\"\n",
        ".TP\n\\fBOFFICER_LOCK\\fR\nSet for the command",
        ".TP\n\\fBOFFICER_TOKEN\\fR\nSet for the command with \\-\\-fence",
        ".TP\n\\fBOFFICER_PORT\\fR\nStands for \\-\\-port where",
        ".SH \"FILES\"\n.TP\n\\fB/tmp/officer.sock\\fR\n",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    // Every status on a line of its own, and none in what comes before the list.
    let (_, notes) = page.split_once(".SH \"NOTES\"\n").unwrap();
    assert!(!notes.split(".SH ").next().unwrap().contains("Exit status:"), "{notes}");
    assert!(print(&["man", "status"]).contains(".TP\n\\fB3\\fR\nit is not running\n"));
    assert!(print(&["man", "run"]).contains(".TP\n\\fBOFFICER_MAX_IDLE\\fR\n"));
}

#[test]
fn a_shell_completes_commands_and_options() {
    let directory = Directory::new();
    let file = directory.file("officer");
    fs::write(&file, print(&["completions", "bash"])).unwrap();
    let complete = |words: &str| {
        let script = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             registered=($(complete -p officer)); \
             ${{registered[-2]}} officer \"${{COMP_WORDS[COMP_CWORD]}}\" \"\"; echo ${{COMPREPLY[@]}}",
            file.display()
        );
        let output = run_if_there(Command::new("bash").args(["-c", &script]))?;
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    };
    let Some(commands) = complete("officer sta") else { return };
    assert_eq!(commands, "start status stats");
    assert_eq!(complete("officer lock --ses").as_deref(), Some("--session"));
    assert_eq!(complete("officer run --log-f").as_deref(), Some("--log-file"));
    assert_eq!(complete("officer restart --stop-t").as_deref(), Some("--stop-timeout"));
    assert_eq!(complete("officer da").as_deref(), Some(""));
    // A command that 'officer lock' runs, and none of our options after it.
    assert!(complete("officer lock x -- cat").is_some_and(|commands| commands.split(' ').any(|it| it == "cat")));
    assert_eq!(complete("officer lock x -- cat --time").as_deref(), Some(""));
    assert_eq!(complete("officer lock -v boss:17 -- ls \"\"").as_deref(), Some(""));
    assert_eq!(complete("officer lock -- -x -- ls --").as_deref(), Some(""));
    assert_eq!(complete("officer lock x --timeo").as_deref(), Some("--timeout"));
    assert_eq!(complete("officer print man sta").as_deref(), Some("start status stats"));
    assert_eq!(complete("officer print man bench sto").as_deref(), Some("storm"));
    assert_eq!(complete("officer print man bench floor \"\"").as_deref(), Some("echo ring"));
    assert_eq!(complete("officer print man run \"\"").as_deref(), Some(""));
    assert_eq!(complete("officer print man --he").as_deref(), Some("--help"));
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(print(&["completions", shell]).contains("pid-dir"), "{shell}");
    }
    End::of(&mut officer(&["print", "completions", "tcsh"])).expect_failure(2, "'tcsh'");
    End::of(&mut officer(&["print"])).expect_failure(2, "see 'officer print --help'");
}

#[test]
fn fish_completes_shells_and_the_command_that_runs_with_the_lock() {
    let directory = Directory::new();
    let file = directory.file("officer.fish");
    fs::write(&file, print(&["completions", "fish"])).unwrap();
    let complete = |line: &str| {
        let script = format!("source {}; complete -C '{line}'", file.display());
        let mut command = Command::new("fish");
        let output = run_if_there(command.args(["--no-config", "-c", &script]).current_dir(directory.file("")))?;
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        // Each with a description after a tab.
        Some(said.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>())
    };
    let Some(commands) = complete("officer sta") else { return };
    assert_eq!(commands, ["start", "stats", "status"]);
    assert_eq!(complete("officer print completions z").unwrap(), ["zsh"]);
    assert_eq!(complete("officer print man sta").unwrap(), ["start", "stats", "status"]);
    assert_eq!(complete("officer print man bench sto").unwrap(), ["storm"]);
    assert_eq!(complete("officer print man bench floor ").unwrap(), ["echo", "ring"]);
    assert_eq!(complete("officer print man run ").unwrap(), [""; 0]);
    assert!(complete("officer lock x -- cat").unwrap().contains(&"cat".to_owned()));
    assert_eq!(complete("officer lock x -- cat officer.f").unwrap(), ["officer.fish"]);
    assert_eq!(complete("officer lock x --timeo").unwrap(), ["--timeout"]);
}

#[test]
fn zsh_completes_the_command_that_runs_with_the_lock() {
    let directory = Directory::new();
    let file = directory.file("_officer");
    fs::write(&file, print(&["completions", "zsh"])).unwrap();
    // The functions that zsh has for commands and options print what they are asked for.
    let complete = |words: &str| {
        let script = format!(
            "compdef() {{}}; _normal() {{ print command $words, $CURRENT }}; _arguments() {{ print -l options $@ }}; \
             compadd() {{ print words $@ }}; \
             source {}; words=({words}); CURRENT=$#words; _officer",
            file.display()
        );
        let output = run_if_there(Command::new("zsh").args(["-f", "-c", &script]))?;
        assert!(output.stderr.is_empty(), "{output:?}");
        Some(String::from_utf8(output.stdout).unwrap())
    };
    let Some(said) = complete("officer lock x -- gre") else { return };
    assert_eq!(said, "command gre, 1\n");
    assert_eq!(complete("officer lock -v x -- ls -l f").unwrap(), "command ls -l f, 3\n");
    assert!(complete("officer print man sta").unwrap().starts_with("words -- run start stop "));
    assert_eq!(complete("officer print man bench floor e").unwrap(), "words -- echo ring\n");
    assert_eq!(complete("officer print man run e").unwrap(), "words --\n");
    for words in ["officer lock x --", "officer lock x --time", "officer run -- --lo", "officer print man --he"] {
        assert!(complete(words).unwrap().starts_with("options\n"), "{words}");
    }
    let printed = fs::read_to_string(&file).unwrap();
    assert!(printed.contains("'--timeout=[") && !printed.contains("What to run"), "options are taken behind the name");
}

#[test]
fn prometheus_takes_the_rules_and_the_dashboard_is_json() {
    let directory = Directory::new();
    let file = directory.file("officer.yml");
    fs::write(&file, print(&["prometheus-rules"])).unwrap();
    if let Some(output) = run_if_there(Command::new("promtool").args(["check", "rules"]).arg(&file)) {
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && said.contains("SUCCESS: 12 rules found"), "{said}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(&print(&["grafana-dashboard"])).unwrap();
    let panels = dashboard["panels"].as_array().expect("panels");
    assert!(panels.iter().all(|panel| panel["title"].is_string() && panel["targets"][0]["expr"].is_string()));
}
