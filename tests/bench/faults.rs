//! What can go wrong: it is reported in one line, and never counted.

use serde_json::Value;

use crate::stand_in;
use crate::support::program::{Program, run, shell};
use crate::support::server::officer;

#[test]
fn wrong_answers_are_reported_and_not_counted() {
    let refuse = |_: &str| Some("{\"name\":\"bench:00000000\",\"queue\":[],\"result\":\"timed_out\"}\n".to_owned());
    let error = |_: &str| Some("{\"result\":\"error\",\"reason\":\"too_many_locks\",\"message\":\"no\"}\n".to_owned());
    let twice = |line: &str| stand_in::grant(line).map(|answer| answer.repeat(2));
    let first_only = |line: &str| {
        if line.contains("unlock") {
            Some("{\"name\":\"bench:00000000\",\"result\":\"release_failed\"}\n".to_owned())
        } else {
            stand_in::grant(line)
        }
    };
    for (port, said) in [
        (stand_in::start(refuse).0, ["timed_out"; 2]),
        (stand_in::start(error).0, ["too_many_locks"; 2]),
        // When the second one arrives the next request may already have been sent, and then it is the answer to that.
        (stand_in::start(twice).0, ["an answer to nothing", r#""result":"acquired""#]),
        (stand_in::start(first_only).0, ["release_failed"; 2]),
    ] {
        for (workload, processes) in [("pair", "1"), ("pair", "2"), ("handoff", "1"), ("handoff", "2")] {
            let args =
                ["bench", workload, "-p", &port, "-c", "2", "--seconds", "1000", "--json", "--processes", processes];
            let end = run(&mut officer(&args));
            assert_eq!(end.code(), 1, "{end:?}");
            let figures: Value = serde_json::from_str(&end.stdout[0]).unwrap();
            assert_eq!(figures["wrong_answers"], 2, "{figures}");
            assert_eq!(figures["pairs"], 0, "{figures}");
            let [line] = end.stderr.as_slice() else { panic!("{end:?}") };
            assert!(line.contains("wrong answers") && said.iter().any(|said| line.contains(said)), "{line}");
        }
    }
}

#[test]
fn a_wrong_answer_among_many_right_ones_is_found() {
    let (port, heard) = stand_in::start(|line| {
        let is_wrong = line.contains("unlock") && line.contains("bench:00000002");
        stand_in::grant(line).map(|answer| if is_wrong { answer.replace("released", "Released") } else { answer })
    });
    let end = run(&mut officer(&["bench", "pair", "-p", &port, "-c", "4", "-i", "1", "--pairs", "40", "--json"]));
    assert_eq!(end.code(), 1, "{end:?}");
    let figures: Value = serde_json::from_str(&end.stdout[0]).unwrap();
    assert_eq!(figures["wrong_answers"], 1, "{figures}");
    assert_eq!(figures["pairs"], 30, "{figures}");
    assert_eq!(heard.lock().unwrap().len(), 62);
    assert!(end.stderr[0].contains(r#"{"name":"bench:00000002","result":"Released"}"#), "{end:?}");
}

#[test]
fn a_token_may_be_any_number_and_what_is_wrong_around_it_is_shown_with_it() {
    for (token, after, is_right) in
        [("7", "", true), ("9007199254740991", "", true), ("", "", false), ("-7", "", false), ("75", "0.5", false)]
    {
        let (port, _) = stand_in::start(move |line| {
            let answer = stand_in::grant(line)?;
            let token = if line.contains("unlock") { String::new() } else { format!(",\"token\":{token}{after}") };
            Some(answer.replace('}', &format!("{token}}}")))
        });
        let after = after.trim_start_matches(|byte: char| byte.is_ascii_digit());
        let end = run(&mut officer(&["bench", "pair", "-p", &port, "-c", "2", "--fence", "--pairs", "20", "--json"]));
        assert_eq!(end.code(), i32::from(!is_right), "{token}: {end:?}");
        if !is_right {
            let shown = format!("\"result\":\"acquired\",\"token\":{token}");
            assert!(end.stderr[0].contains(&shown) && end.stderr[0].contains(after), "{end:?}");
        }
    }
}

#[test]
fn lost_connections_are_reported() {
    let (port, _) = stand_in::start(|_| None);
    let end = run(&mut officer(&["bench", "pair", "-p", &port, "-c", "3", "--seconds", "1000", "--json"]));
    assert_eq!(end.code(), 1, "{end:?}");
    let figures: Value = serde_json::from_str(&end.stdout[0]).unwrap();
    assert_eq!(figures["lost_connections"], 3, "{figures}");
    for workload in ["hold", "storm"] {
        let end = run(&mut officer(&["bench", workload, "-p", &port, "-c", "3"]));
        end.expect_failure(1, "connections were lost (1)");
    }
}

#[test]
fn a_server_that_takes_connections_and_never_answers_is_reported() {
    let (port, _) = stand_in::start(|_| Some(String::new()));
    let time = ["--seconds", "0.2", "--warm-up", "0.1"];
    let programs: Vec<(Program, &str)> = [
        ("pair", &time[..], "5 s"),
        ("pair", &[&time[..], &["--processes", "2"]].concat(), "5 s"),
        ("pair", &["--in-flight", "2", "--seconds", "1000"], "30 s"),
        ("pair", &["--pairs", "9"], "30 s"),
        ("bundle", &time, "5 s"),
        ("connect", &time, "5 s"),
        ("handoff", &time, "5 s"),
    ]
    .iter()
    .map(|(workload, more, silent)| {
        let args = [&["bench", workload, "-p", &port, "-c", "3", "--json"], *more].concat();
        (Program::start(&mut officer(&args)), *silent)
    })
    .collect();
    for (program, silent) in programs {
        let end = program.end();
        assert_eq!(end.code(), 1, "{end:?}");
        let figures: Value = serde_json::from_str(&end.stdout[0]).unwrap();
        assert_eq!((&figures["lost_connections"], &figures["pairs"]), (&3.into(), &0.into()), "{figures}");
        let said = format!(
            "connections were lost (3), so the figures mean little; the first one: the server has not answered for {silent}"
        );
        assert_eq!(end.stderr, [format!("officer: {said}")]);
    }
}

#[test]
fn a_measurement_that_cannot_be_made_is_reported_in_one_line() {
    for (args, code, said) in [
        (&["pair", "-p", "1"][..], 69, "no connection to 127.0.0.1:1: "),
        (&["pair", "-p", "1", "--processes", "2"], 1, "no connection to 127.0.0.1:1: "),
        (&["handoff", "-p", "1"], 69, "no connection to 127.0.0.1:1: "),
        (&["hold", "-p", "1"], 1, "no connection to 127.0.0.1:1: "),
        (&["storm", "-p", "1"], 1, "no connection to 127.0.0.1:1: "),
        (&["pair", "-o", "UNIX", "-f", "/nowhere/officer.sock"], 69, "no connection to /nowhere/officer.sock: "),
        (&["pair", "--connections", "9000000"], 1, "9000000 connections are too many for one process"),
        (&["pair", "--server-pid", "4000000000"], 1, "process 4000000000 can't be inspected: "),
        (&["pair", "--pin", "1000"], 1, "can't run on CPU 1000: "),
        (&["floor", "echo", "-p", "0", "--pin", "5000"], 1, "can't run on CPU 5000: "),
        (&["pair", "-c", "0"], 2, "'0' for '--connections <COUNT>'"),
        (&["pair", "--pairs", "5", "--seconds", "5"], 2, "cannot be used with"),
        (&["handoff", "--protocol", "redis"], 2, "'redis' for '--protocol <PROTOCOL>'"),
        (&["bundle", "--protocol", "redis"], 2, "'redis' for '--protocol <PROTOCOL>'"),
        (&["bundle", "--names", "1"], 2, "'1' for '--names <COUNT>'"),
        (&["bundle", "--names", "3", "--locks", "2"], 2, "--locks must be at least as many as --names, which is 3"),
        (&["bundle", "--in-flight", "2", "--locks", "2"], 2, "cannot be used with"),
        (&["pair", "--protocol", "redis", "--id"], 2, "--protocol redis has none of them"),
        (&["juggle"], 2, "unrecognized subcommand 'juggle'"),
        (&[], 2, "requires a subcommand"),
        (&["table", "--only", "nothing"], 2, "there is no such row; the rows are pair-1, "),
    ] {
        run(&mut officer(&[&["bench"], args].concat())).expect_failure(code, said);
    }
    run(&mut shell("ulimit -n 100; officer bench pair -c 200")).expect_failure(1, "may have 100 here");
}
