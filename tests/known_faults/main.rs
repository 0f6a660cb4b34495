//! Does the simulation find anything? It is built with a server in which known faults can be switched on, and has to find
//! each of them while it is the only one. `README.md` says how to add one.
//!
//! ```sh
//! cargo test --test known_faults                                                    # does each still apply?
//! cargo test --test known_faults -- --ignored --nocapture                           # is each found?
//! OFFICER_FAULT=queue_max cargo test --test known_faults -- --ignored --nocapture   # those that mention this
//! ```

mod list;
#[path = "../support/switched.rs"]
mod switched;
mod switches;
mod tree;

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use crate::list::{Fault, faults, sources};
use crate::tree::Tree;

/// Not by `println!`, which is swallowed when a test passes: these figures are what was done.
fn say(text: &str) {
    writeln!(std::io::stdout(), "{text}").expect("somebody reads the figures");
}

fn assert_none_failed(failures: &[(String, String)]) {
    let texts: Vec<String> = failures.iter().map(|(fault, why)| format!("\n## {fault}\n{why}")).collect();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), texts.join("\n"));
}

#[test]
fn each_fault_applies_and_has_its_row_in_the_table() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let faults = faults();
    let failures: Vec<(String, String)> =
        faults.iter().filter_map(|fault| Some((fault.text.clone(), fault.build_into(&sources).err()?))).collect();
    assert_none_failed(&failures);
    let table =
        include_str!("README.md").lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).skip(1);
    assert!(table.eq(faults.iter().map(|fault| &fault.text)), "the table has other faults, or in another order");
}

#[test]
#[ignore = "builds the simulation with the faults, and looks for each: a few minutes"]
fn each_fault_is_found_by_what_clients_see() {
    let start = Instant::now();
    let wanted = std::env::var("OFFICER_FAULT").unwrap_or_default();
    let faults: Vec<Fault> = faults().into_iter().filter(|fault| fault.text.contains(&wanted)).collect();
    assert!(!faults.is_empty(), "no fault mentions {wanted:?}");
    let tree = Tree::new(faults).unwrap_or_else(|error| panic!("{error}"));
    let faults = tree.faults();
    let seconds = start.elapsed().as_secs_f64();
    say(&format!("built in {seconds:.0} s; {} faults can't be switched, and are built alone", tree.alone_count()));
    let mut failures = Vec::new();
    if let Err(why) = tree.look_for_none() {
        failures.push(("no fault at all".to_owned(), why));
    }
    say("| known fault | found in series | median seeds | at most |\n|---|---|---|---|");
    for (number, fault) in faults.iter().enumerate() {
        match tree.look_for(number) {
            Ok(columns) => say(&format!("| {} {columns}", fault.text)),
            Err(why) => {
                say(&format!("| {} | failed, see below |", fault.text));
                failures.push((fault.text.clone(), why));
            }
        }
    }
    say(&format!("{} faults in {:.0} s", faults.len(), start.elapsed().as_secs_f64()));
    assert_none_failed(&failures);
}
