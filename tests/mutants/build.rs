//! Builds the tests with as many mutants as the compiler accepts.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::Result;
use crate::list::{Mutant, Outcome};
use crate::switches::{MODULE, Source, Switched};

/// The compiler names some errors only when there are no others: each round of these takes mutants out.
const ROUNDS_MAX: usize = 50;
const CRATE_ROOT: &str = "src/lib.rs";

/// The copy of the project that gets the switches.
pub(crate) struct Tree {
    root: PathBuf,
    sources: HashMap<String, Source>,
}

/// What was built: the tests' binaries by the names of their targets. Those of the units have that of the library.
pub(crate) type Binaries = HashMap<String, PathBuf>;

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

    /// Builds again and again, each time without the mutants that the compiler refused.
    ///
    /// # Errors
    /// When there is an error that no mutant has made.
    pub(crate) fn build(&self, mutants: &mut [Mutant], arguments: &[OsString]) -> Result<Binaries> {
        for _ in 0..ROUNDS_MAX {
            let switched = self.write(mutants)?;
            let mut cargo = Command::new("cargo");
            cargo.args(["test", "--no-run", "--message-format=json"]).args(arguments).current_dir(&self.root);
            let output = cargo.stderr(Stdio::inherit()).output().map_err(|error| format!("cargo: {error}"))?;
            let messages: Vec<Message> = output
                .stdout
                .split(|byte| *byte == b'\n')
                .filter_map(|line| serde_json::from_slice(line).ok())
                .collect();
            if output.status.success() {
                return Ok(messages.into_iter().filter_map(Message::binary).collect());
            }
            let mut refused = 0;
            for error in messages.into_iter().filter_map(Message::error) {
                refused += refuse(&error, &switched, mutants)?;
            }
            if refused == 0 {
                return Err("the build fails, but not for a mutant; see above".into());
            }
            println!("{refused} mutants do not compile");
        }
        Err(format!("the build fails after {ROUNDS_MAX} rounds"))
    }

    fn write(&self, mutants: &[Mutant]) -> Result<HashMap<&str, Switched>> {
        let mut all = HashMap::new();
        for (file, source) in &self.sources {
            let switched = source.switched(mutants, |number| mutants[number].outcome == Outcome::Missed);
            let path = self.root.join(file);
            fs::write(&path, &switched.text).map_err(|error| format!("{}: {error}", path.display()))?;
            all.insert(file.as_str(), switched);
        }
        Ok(all)
    }
}

/// Takes the mutants out that an error comes from. Returns how many these are.
///
/// # Errors
/// When it comes from none.
fn refuse(error: &CompilerMessage, switched: &HashMap<&str, Switched>, mutants: &mut [Mutant]) -> Result<usize> {
    let mutants_at =
        |span: &CompilerSpan| switched.get(span.file_name.as_str())?.mutants_at(&(span.byte_start..span.byte_end));
    // A position that points to one mutant tells more than one that several share, and the main one more than the others.
    let found = error.spans.iter().filter_map(|span| Some((mutants_at(span)?, !span.is_primary)));
    let found = found.min_by_key(|(numbers, is_other)| (numbers.len() > 1, *is_other));
    let Some((numbers, _)) = found else {
        return if error.spans.is_empty() { Ok(0) } else { Err(format!("not due to a mutant: {}", error.rendered)) };
    };
    let mut refused = 0;
    for &number in numbers {
        if mutants[number].outcome == Outcome::Missed {
            // Which of several it was shows when each is built alone.
            mutants[number].outcome = if numbers.len() == 1 { Outcome::Unviable } else { Outcome::Unswitchable };
            refused += 1;
        }
    }
    Ok(refused)
}

/// What cargo prints, a line each: of that, errors of the compiler, and what was built.
#[derive(Deserialize)]
struct Message {
    message: Option<CompilerMessage>,
    target: Option<Target>,
    executable: Option<PathBuf>,
}

impl Message {
    fn binary(self) -> Option<(String, PathBuf)> {
        Some((self.target?.name, self.executable?))
    }

    fn error(self) -> Option<CompilerMessage> {
        self.message.filter(|message| message.level == "error")
    }
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct CompilerMessage {
    level: String,
    rendered: String,
    spans: Vec<CompilerSpan>,
}

#[derive(Deserialize)]
struct CompilerSpan {
    file_name: String,
    byte_start: usize,
    byte_end: usize,
    is_primary: bool,
}
