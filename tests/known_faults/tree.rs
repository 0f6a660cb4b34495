//! A copy of the project for servers with faults.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::list::{Fault, Sources, sources};

/// How the simulation is built: in little time, with the server alone.
const BUILD: &str = "test --quiet --locked --profile mutants --no-default-features --features server --test simulation";
/// Ends a simulation whose server loops or grows forever: seconds of processor time (the longest series take about 60 on
/// a machine of 2026), and bytes.
const LIMITS: [&str; 2] = ["--cpu=300", "--as=4294967296"];
/// Seeds that must find nothing while there is no fault.
const SEEDS_WITHOUT: &str = "1000";

/// The tests of the simulation that look for a fault, and for none.
const SERIES: &str = "series::clients_see_in_each_series_that_the_server_is_broken";
const SEEDS: &str = "what_clients_see_is_what_the_model_says_for_all_seeds";

/// The copy, in which the server's own assertions are silent, so that only clients find a fault.
pub(crate) struct Tree {
    root: PathBuf,
    sources: Sources,
}

impl Tree {
    /// Makes the copy. All but the sources are links.
    pub(crate) fn new() -> Self {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("known_faults/tree");
        if root.exists() {
            fs::remove_dir_all(&root).expect("the copy is ours");
        }
        fs::create_dir_all(&root).expect("a folder for the copy");
        for name in ["Cargo.toml", "Cargo.lock", "benches", "tests"] {
            symlink(project.join(name), root.join(name)).expect("a link to the project");
        }
        let copied = Command::new("cp").arg("-R").arg(project.join("src")).arg(&root).status();
        assert!(copied.expect("cp is there").success(), "the sources are copied");
        silence_assertions(&root.join("src/lib.rs"));
        let tree = Tree { sources: sources(&project.join("src")), root };
        tree.write(&tree.sources);
        tree
    }

    fn write(&self, files: &Sources) {
        for (path, text) in files {
            fs::write(self.root.join("src").join(path), text).expect("the copy is ours");
        }
    }

    /// How soon clients see the fault, as the columns of a table.
    ///
    /// # Errors
    /// When the fault doesn't apply or doesn't build, or when clients miss it in a series.
    pub(crate) fn look_for(&self, fault: &Fault) -> Result<String, String> {
        let changed = fault.build_into(&self.sources)?;
        self.write(&changed);
        let result = self.simulate(&["--ignored", "--exact", SERIES], fault.world);
        for path in changed.keys() {
            fs::write(self.root.join("src").join(path), &self.sources[path]).expect("the copy is ours");
        }
        let output = result?;
        let text = String::from_utf8_lossy(&output.stdout);
        match text.lines().find(|line| line.starts_with("| ")) {
            Some(columns) if output.status.success() => Ok(columns.to_owned()),
            _ => Err(all_of(&output)),
        }
    }

    /// Looks for a fault while there is none.
    ///
    /// # Errors
    /// When something is found.
    pub(crate) fn look_for_none(&self) -> Result<(), String> {
        let output = self.simulate(&["--exact", SEEDS], None)?;
        let has_run = String::from_utf8_lossy(&output.stdout).contains("1 passed");
        if output.status.success() && has_run { Ok(()) } else { Err(all_of(&output)) }
    }

    /// Builds the simulation with what is in the copy, and runs one of its tests.
    fn simulate(&self, arguments: &[&str], world: Option<&str>) -> Result<Output, String> {
        let built = self.run(Command::new(env!("CARGO")).args(BUILD.split(' ')).arg("--no-run"));
        if !built.status.success() {
            return Err(all_of(&built));
        }
        let mut limited = Command::new("prlimit");
        limited.args(LIMITS).arg(env!("CARGO")).args(BUILD.split(' ')).arg("--").args(arguments);
        if let Some(world) = world {
            limited.env("OFFICER_WORLD", world);
        }
        Ok(self.run(limited.env("OFFICER_SEEDS", SEEDS_WITHOUT)))
    }

    fn run(&self, command: &mut Command) -> Output {
        let target = self.root.with_file_name("target");
        let output = command.current_dir(&self.root).env("CARGO_TARGET_DIR", target).output();
        output.unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }
}

/// What it has written. Cargo says on stderr by which signal a test has ended.
fn all_of(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Those with a message. The others are for sizes and for tests.
fn silence_assertions(library: &Path) {
    let text = fs::read_to_string(library).expect("the library has a root");
    let lines: Vec<&str> = text.lines().collect();
    // What the macros are to reach comes after them; attributes of the whole crate must come before.
    let begins_item = |line: &&str| ["#[", "mod ", "pub ", "use "].iter().any(|begin| line.starts_with(begin));
    let start = lines.iter().position(begins_item).expect("the library has modules");
    let silenced = [&lines[..start], &[include_str!("silent.rs")], &lines[start..]].concat().join("\n");
    fs::write(library, silenced).expect("the copy is ours");
}
