//! Only with the feature `faults` is anything of the known faults in the program.

use std::fs;

use memchr::memmem;

/// The name of what every switch is looked up in, as it stands in the program's table of symbols.
const SWITCHES: &str = "6faults8switches";
/// What is in every server. Without it the table of symbols is gone, and nothing was shown.
const TABLE: &str = "6engine5table";

#[test]
fn a_server_has_switches_of_known_faults_only_if_it_was_built_for_that() {
    let program = fs::read(env!("CARGO_BIN_EXE_officer")).expect("it was built for this test");
    let has = |name: &str| memmem::find(&program, name.as_bytes()).is_some();
    assert!(has(TABLE), "the program's symbols were stripped");
    assert_eq!(has(SWITCHES), cfg!(feature = "faults"), "the switches of known faults are in the program");
}
