//! 100,000 locks.

use std::fmt::Write;

use crate::page::{Page, serve};

const LOCKS: usize = 100_000;
/// How long the page may keep whoever types waiting. It took 616 ms on a machine with two cores that had much else to do.
const TASK_MILLISECONDS_MAX: f64 = 2_500.0;

#[test]
fn a_hundred_thousand_locks_keep_the_page_responsive() {
    let (server, http) = serve(&["--connection-locks-max", "200000"]);
    let mut ann = server.connect();
    // The server answers while it is sent more.
    for chunk in (0..LOCKS).collect::<Vec<_>>().chunks(1_000) {
        let lines = chunk.iter().fold(String::new(), |mut lines, n| {
            writeln!(lines, r#"{{"command":"lock","name":"player:{n:06}"}}"#).expect("memory takes all");
            lines
        });
        ann.write(lines.as_bytes());
        for _ in chunk {
            let reply = ann.receive();
            assert_eq!(reply["result"], "acquired", "{reply}");
        }
    }
    let mut bob = server.connect();
    bob.queue_for("player:077777");
    let Some(page) = Page::open(http) else { return };
    page.wait("rows().length > 100");
    page.wait_for_answers(9);
    let rows = page.value("all('tr').length").as_u64().unwrap();
    assert!(rows <= 1_010, "{rows} rows");
    // One of them is found, and so is what came since.
    page.filter("player:077777");
    page.wait("rows().map((row) => row.dataset.name).join() === 'player:077777'");
    ann.release("player:077777");
    bob.expect_acquired("player:077777");
    drop(bob);
    page.wait_for_no_row("player:077777");
    page.filter("player:0123");
    page.wait("rows().length === 100 && rows().every((row) => row.dataset.name.startsWith('player:0123'))");
    let longest = page.value("seen.longest").as_f64().unwrap();
    eprintln!("the longest task of the page took {longest} ms");
    assert!(longest < TASK_MILLISECONDS_MAX, "a task of {longest} ms");
}
