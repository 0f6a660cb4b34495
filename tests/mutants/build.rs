//! Builds the tests with as many mutants as the compiler accepts.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::Result;
use crate::list::{Mutant, Outcome};
use crate::switched::{self, Binaries, Blame, Files, MODULE, Refused};
use crate::switches::Source;

const CRATE_ROOT: &str = "src/lib.rs";

/// The copy of the project that gets the switches.
pub(crate) struct Tree {
    root: PathBuf,
    sources: HashMap<String, Source>,
}

impl Tree {
    /// Reads the files with mutants.
    ///
    /// # Errors
    /// When one is not there or is not Rust.
    pub(crate) fn new(root: PathBuf, mutants: &mut [Mutant]) -> Result<Self> {
        let mut sources = HashMap::new();
        for mutant in mutants.iter() {
            if !sources.contains_key(&mutant.file) {
                let path = root.join(&mutant.file);
                let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                sources.insert(mutant.file.clone(), Source::new(text, &mutant.file, mutants)?);
            }
        }
        for mutant in mutants.iter_mut() {
            mutant.outcome = Outcome::Unswitchable;
        }
        for number in sources.values().flat_map(Source::mutants) {
            mutants[number].outcome = Outcome::Missed;
        }
        let crate_root = root.join(CRATE_ROOT);
        let text = fs::read_to_string(&crate_root).map_err(|error| format!("{}: {error}", crate_root.display()))?;
        // What is unused or superfluous with a mutant is no error.
        let text = format!("#![allow(warnings)]\n{text}{MODULE}");
        fs::write(&crate_root, text).map_err(|error| format!("{}: {error}", crate_root.display()))?;
        Ok(Self { root, sources })
    }

    /// Builds without the mutants that the compiler refuses.
    ///
    /// # Errors
    /// When there is an error that no mutant has made.
    pub(crate) fn build(&self, mutants: &mut [Mutant], arguments: &[OsString]) -> Result<Binaries> {
        let mut cargo = Command::new("cargo");
        cargo.arg("test").args(arguments).current_dir(&self.root);
        let (binaries, refused) = switched::build(&mut cargo, |refused| self.write(mutants, refused))?;
        for (number, blame) in refused {
            mutants[number].outcome = match blame {
                Blame::Alone => Outcome::Unviable,
                Blame::Shared => Outcome::Unswitchable,
            };
        }
        Ok(binaries)
    }

    fn write(&self, mutants: &[Mutant], refused: &Refused) -> Result<Files> {
        let mut all = Files::new();
        for (file, source) in &self.sources {
            let switched = source.switched(mutants, |number| !refused.contains_key(&number));
            let path = self.root.join(file);
            fs::write(&path, &switched.text).map_err(|error| format!("{}: {error}", path.display()))?;
            all.insert(file.clone(), switched);
        }
        Ok(all)
    }
}
