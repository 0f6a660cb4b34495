//! Running a program under callgrind, and reading what it has counted.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// Instructions by function, without those that it calls.
pub(crate) type Profile = BTreeMap<String, i64>;

/// The program under callgrind, which leaves its counts in the file when it exits. Variables that change what the server
/// does are kept from it.
pub(crate) fn command(program: &Path, profile: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind", "--compress-strings=no", "--compress-pos=no"]);
    command.arg(format!("--callgrind-out-file={}", profile.display())).arg(program);
    for (variable, _) in env::vars_os() {
        if variable.to_string_lossy().starts_with("OFFICER_") {
            command.env_remove(variable);
        }
    }
    command
}

/// Reads a file of callgrind's, in which a function's lines look so:
///
/// ```text
/// fn=name
/// LINE COST
/// cfn=another
/// calls=COUNT LINE
/// LINE COST_OF_THE_CALL
/// ```
pub(crate) fn read(file: &Path) -> Profile {
    let text = fs::read(file).expect("callgrind has written its counts");
    let mut profile = Profile::new();
    let (mut function, mut is_call) = (String::new(), false);
    for line in String::from_utf8_lossy(&text).lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            name.clone_into(&mut function);
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit()) && !std::mem::take(&mut is_call) {
            let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<i64>().ok()).expect("a line and its cost");
            *profile.entry(function.clone()).or_default() += cost;
        }
    }
    profile
}
