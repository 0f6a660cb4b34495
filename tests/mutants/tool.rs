//! Runs the tests against thousands of mutants of the server after a single build. Used by `.ci/mutants`, which says what
//! it is for.
//!
//! cargo-mutants builds the server once for each mutant, and that takes longer than the tests. Here all mutants are in the
//! sources at once, each behind a switch that is looked up when it is reached. So a mutant costs the tests alone, and these
//! stop at the first that fails.
//!
//! What is mutated, and how, is cargo-mutants' own list (`cargo mutants --list --json`). What can't be switched while the
//! program runs is left to cargo-mutants itself: code that the compiler evaluates (constants, `const fn`) and functions that
//! return an `impl Trait`, whose mutants have another type.
//!
//! ```sh
//! mutants TREE LIST OUT CARGO_ARGUMENTS...
//! ```
//!
//! TREE is a copy of the project, and is changed. LIST is what cargo-mutants has listed in it. The arguments are those of
//! `cargo test --no-run`. OUT gets a file for each outcome with the names of the mutants in it: `caught.txt`, `looped.txt`
//! (caught because the tests did not end), `missed.txt`, `unviable.txt` (did not compile) and `unswitchable.txt`.

mod build;
mod list;
mod run;
#[path = "../support/switched.rs"]
mod switched;
mod switches;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use build::Tree;
use list::{Mutant, Outcome};

/// What went wrong, as one line that says what to do about it where that is known.
type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    match mutate() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mutants: {error}");
            ExitCode::FAILURE
        }
    }
}

fn mutate() -> Result<()> {
    let mut arguments = env::args_os().skip(1);
    let mut path =
        |name| arguments.next().map(PathBuf::from).ok_or(format!("{name} is missing; see tests/mutants/tool.rs"));
    let (root, list, out) = (path("TREE")?, path("LIST")?, path("OUT")?);
    let mut mutants = list::read(&list)?;
    let tree = Tree::new(root, &mut mutants)?;
    let binaries = tree.build(&mut mutants, &arguments.collect::<Vec<_>>())?;
    let count = |outcome| mutants.iter().filter(|mutant| mutant.outcome == outcome).count();
    println!(
        "{} mutants built; {} do not compile, {} can't be switched",
        count(Outcome::Missed),
        count(Outcome::Unviable),
        count(Outcome::Unswitchable)
    );
    save(&mutants, &out)?;
    let times = run::STAGES.iter().map(|stage| stage.time(&binaries)).collect::<Result<Vec<_>>>()?;
    for (stage, time) in run::STAGES.iter().zip(times) {
        stage.run_all(time, &mut mutants, &binaries)?;
        save(&mutants, &out)?;
    }
    Ok(())
}

fn save(mutants: &[Mutant], out: &Path) -> Result<()> {
    let write = |name: &str, text: &str| {
        let path = out.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    for (outcome, file) in list::OUTCOMES {
        let of_outcome = mutants.iter().filter(|mutant| mutant.outcome == outcome);
        write(file, &of_outcome.map(|mutant| format!("{}\n", mutant.name)).collect::<String>())?;
    }
    let missed = mutants.iter().filter(|mutant| mutant.outcome == Outcome::Missed);
    write("missed.diff", &missed.map(|mutant| mutant.diff.as_str()).collect::<String>())
}
