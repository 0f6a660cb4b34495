//! A copy of the project for servers with faults.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::list::{Fault, Sources, sources};
use crate::switched::{self, Files, MODULE, Refused, environment};
use crate::switches::Switches;

/// How the simulation is built: in little time, with the server alone.
const BUILD: &str = "test --quiet --locked --profile mutants --no-default-features --features server --test simulation";
const SIMULATION: &str = "simulation";
/// In one build for so many faults a better optimisation pays: with it, the simulation takes a fraction of the time. Of
/// the package alone, so that what it depends on is built once for this and for the faults that are built alone.
const OPTIMISED: [&str; 4] = [
    "--config",
    "profile.mutants.package.officer.opt-level=2",
    "--config",
    "profile.mutants.package.officer.codegen-units=1",
];
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
    faults: Vec<Fault>,
    /// The simulation with faults that can be switched on.
    switched: PathBuf,
    /// The numbers of the others. Each of them is built alone.
    alone: BTreeSet<usize>,
}

impl Tree {
    /// Makes the copy, and builds all faults into it that can be switched on. All but the sources are links.
    ///
    /// # Errors
    /// When it does not build, for another reason than a fault.
    pub(crate) fn new(faults: Vec<Fault>) -> Result<Self, String> {
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
        prepare(&root.join("src/lib.rs"));
        let switched = root.with_file_name("switched");
        let mut tree = Tree { sources: sources(&project.join("src")), root, faults, switched, alone: BTreeSet::new() };
        tree.write(&tree.sources);
        tree.build_switched()?;
        Ok(tree)
    }

    fn build_switched(&mut self) -> Result<(), String> {
        let mut switches = Switches::default();
        for (number, fault) in self.faults.iter().enumerate() {
            let changed = fault.build_into(&self.sources);
            if !changed.is_ok_and(|changed| switches.add(number, &self.sources, &changed)) {
                self.alone.insert(number);
            }
        }
        let write = |refused: &Refused| {
            let files = switches.switched(&self.sources, |number| !refused.contains_key(&number));
            let named = files.map(|(path, switched)| {
                fs::write(self.root.join("src").join(path), &switched.text).expect("the copy is ours");
                (format!("src/{}", path.display()), switched)
            });
            Ok(named.collect())
        };
        let (binary, refused) = self.build(self.cargo().args(OPTIMISED).env("CARGO_INCREMENTAL", "0"), write)?;
        // What is built for a fault alone may get the same name.
        fs::copy(binary, &self.switched).expect("the copy is ours");
        self.alone.extend(refused.into_keys());
        self.write(&self.sources);
        Ok(())
    }

    fn cargo(&self) -> Command {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(BUILD.split(' ')).current_dir(&self.root);
        cargo.env("CARGO_TARGET_DIR", self.root.with_file_name("target"));
        cargo
    }

    fn build(
        &self,
        cargo: &mut Command,
        write: impl Fn(&Refused) -> Result<Files, String>,
    ) -> Result<(PathBuf, Refused), String> {
        let (mut binaries, refused) = switched::build(cargo, write)?;
        Ok((binaries.remove(SIMULATION).expect("cargo says what it has built"), refused))
    }

    fn write(&self, files: &Sources) {
        for (path, text) in files {
            fs::write(self.root.join("src").join(path), text).expect("the copy is ours");
        }
    }

    pub(crate) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// How many faults are built alone.
    pub(crate) fn alone_count(&self) -> usize {
        self.alone.len()
    }

    /// How soon clients see the fault with this number, as the columns of a table.
    ///
    /// # Errors
    /// When the fault doesn't apply or doesn't build, or when clients miss it in a series.
    pub(crate) fn look_for(&self, number: usize) -> Result<String, String> {
        let fault = &self.faults[number];
        let arguments = ["--ignored", "--exact", SERIES];
        let output = if self.alone.contains(&number) {
            self.simulate(&self.build_alone(fault)?, None, &arguments, fault.world)
        } else {
            self.simulate(&self.switched, Some(number), &arguments, fault.world)
        };
        let text = String::from_utf8_lossy(&output.stdout);
        match text.lines().find(|line| line.starts_with("| ")) {
            Some(columns) if output.status.success() => Ok(columns.to_owned()),
            _ => Err(all_of(&output)),
        }
    }

    fn build_alone(&self, fault: &Fault) -> Result<PathBuf, String> {
        let changed = fault.build_into(&self.sources)?;
        self.write(&changed);
        let built = self.build(&mut self.cargo(), |_| Ok(Files::new()));
        for path in changed.keys() {
            fs::write(self.root.join("src").join(path), &self.sources[path]).expect("the copy is ours");
        }
        Ok(built?.0)
    }

    /// Looks for a fault while there is none, or while all that are built in are switched off.
    ///
    /// # Errors
    /// When something is found.
    pub(crate) fn look_for_none(&self) -> Result<(), String> {
        let output = self.simulate(&self.switched, None, &["--exact", SEEDS], None);
        let has_run = String::from_utf8_lossy(&output.stdout).contains("1 passed");
        if output.status.success() && has_run { Ok(()) } else { Err(all_of(&output)) }
    }

    /// Runs one test of a simulation, with one of the faults that are built into it switched on.
    fn simulate(&self, binary: &Path, fault: Option<usize>, arguments: &[&str], world: Option<&str>) -> Output {
        let mut limited = Command::new("prlimit");
        limited.args(LIMITS).arg(binary).args(arguments).current_dir(&self.root);
        limited.envs([environment(fault), ("OFFICER_SEEDS", SEEDS_WITHOUT.to_owned())]);
        if let Some(world) = world {
            limited.env("OFFICER_WORLD", world);
        }
        limited.output().expect("prlimit is there")
    }
}

/// What it has written, and how it has ended.
fn all_of(output: &Output) -> String {
    let written = [&output.stdout[..], &output.stderr].concat();
    format!("{}{}", String::from_utf8_lossy(&written), output.status)
}

/// Silences the assertions with a message (the others are for sizes and for tests), and adds what switches ask.
fn prepare(library: &Path) {
    let text = fs::read_to_string(library).expect("the library has a root");
    let lines: Vec<&str> = text.lines().collect();
    // What the macros are to reach comes after them; attributes of the whole crate must come before.
    let begins_item = |line: &&str| ["#[", "mod ", "pub ", "use "].iter().any(|begin| line.starts_with(begin));
    let start = lines.iter().position(begins_item).expect("the library has modules");
    let prepared = [&lines[..start], &[include_str!("silent.rs")], &lines[start..], &[MODULE]].concat().join("\n");
    fs::write(library, prepared).expect("the copy is ours");
}
