//! The whole table in one command.

use crate::support::program::run;
use crate::support::server::officer;
use crate::{bench, number};

/// The same CPU for all, which every machine has.
const HERE: &[&str] = &["--server-cpu", "0", "--load-cpu", "0", "--seconds", "0.1", "--rounds", "2"];

#[test]
fn every_server_is_measured_in_every_round() {
    let figures = bench(&[&["table", "--only", "pair-1,handoff-8"], HERE].concat());
    let rows = figures["rows"].as_object().unwrap();
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["handoff-8", "pair-1"]);
    for (row, server) in [("pair-1", "officer"), ("pair-1", "floor"), ("handoff-8", "officer"), ("handoff-8", "floor")]
    {
        let runs = rows[row][server].as_array().unwrap();
        assert_eq!(runs.len(), 2, "{figures}");
        for run in runs {
            assert!(number(run, "/pairs") > 0.0 && run["wrong_answers"] == 0, "{run}");
        }
        // Each was started for this.
        assert_ne!(runs[0]["server"]["pid"], runs[1]["server"]["pid"]);
    }
}

#[test]
fn the_table_is_markdown() {
    let printed = run(&mut officer(&[&["bench", "table", "--only", "pair-50"], HERE].concat())).expect_success();
    let rows: Vec<_> = printed.iter().filter(|line| line.starts_with('|')).collect();
    let [head, rule, row] = rows.as_slice() else { panic!("{printed:?}") };
    let columns = |line: &str| line.matches('|').count();
    assert!(columns(head) == columns(rule) && columns(rule) == columns(row), "{printed:?}");
    assert!(row.starts_with("| pair-50 | "), "{printed:?}");
}
