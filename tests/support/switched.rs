//! Sources with many changes in them at once, each behind a switch that is looked up when it is reached:
//! `crate::switch::is(17)` is true in a process that was started with this number. So one build does for all of them.
//! Shared by `tests/mutants` and `tests/known_faults`, which both number their changes by an index.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Deserialize;

/// What belongs at the end of the crate's root: what a switch asks. It does so often, so the environment is read once, and
/// the rest is inlined.
pub(crate) const MODULE: &str = r#"
mod switch {
    use std::sync::atomic::{AtomicU32, Ordering};

    const UNKNOWN: u32 = u32::MAX;
    static ACTIVE: AtomicU32 = AtomicU32::new(UNKNOWN);

    #[inline(always)]
    pub(crate) fn is(number: u32) -> bool {
        let active = ACTIVE.load(Ordering::Relaxed);
        if active == UNKNOWN { read() == number } else { active == number }
    }

    #[cold]
    #[inline(never)]
    fn read() -> u32 {
        let number = std::env::var("OFFICER_SWITCH").map_or(0, |number| number.parse().expect("the number of a change"));
        ACTIVE.store(number, Ordering::Relaxed);
        number
    }
}
"#;

/// Whether a change is active. 0 is none, so they count from 1.
pub(crate) fn is(change: usize) -> String {
    format!("crate::switch::is({})", change + 1)
}

/// The environment of a process in which this change is active, or none.
pub(crate) fn environment(change: Option<usize>) -> (&'static str, String) {
    ("OFFICER_SWITCH", change.map_or(0, |change| change + 1).to_string())
}

/// A source file with switches, and which part of it is due to which changes.
#[derive(Default)]
pub(crate) struct Switched {
    pub(crate) text: String,
    /// Of one change: what is there for it alone. Of several: the whole of a place that they share.
    parts: Vec<(Range<usize>, Vec<usize>)>,
}

impl Switched {
    /// Adds what is there for one change alone.
    pub(crate) fn push_part(&mut self, change: usize, text: &str) {
        let start = self.text.len();
        self.text.push_str(text);
        self.end_place(start, vec![change]);
    }

    /// Ends a place that these changes share.
    pub(crate) fn end_place(&mut self, start: usize, changes: Vec<usize>) {
        self.parts.push((start..self.text.len(), changes));
    }

    /// The changes that are responsible for these bytes: of the smallest part that contains them.
    pub(crate) fn changes_at(&self, bytes: &Range<usize>) -> Option<&[usize]> {
        let parts = self.parts.iter().filter(|(part, _)| part.start <= bytes.start && bytes.end <= part.end);
        parts.min_by_key(|(part, _)| part.len()).map(|(_, changes)| changes.as_slice())
    }
}

/// Switched files by the names that the compiler has for them.
pub(crate) type Files = HashMap<String, Switched>;

/// What was built: the tests' binaries by the names of their targets. Those of the units have that of the library.
pub(crate) type Binaries = HashMap<String, PathBuf>;

/// The changes that the compiler refused, and how sure that is.
pub(crate) type Refused = BTreeMap<usize, Blame>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Blame {
    Alone,
    /// It is this one or another. Which one shows when each is built alone.
    Shared,
}

/// The compiler names some errors only when there are no others: each round of these takes changes out.
const ROUNDS_MAX: usize = 50;

/// Builds again and again, each time without the changes that the compiler refused. `write` writes the sources without
/// those; `cargo` is a command that builds tests.
///
/// # Errors
/// When there is an error that no change has made.
pub(crate) fn build(
    cargo: &mut Command,
    write: impl Fn(&Refused) -> Result<Files, String>,
) -> Result<(Binaries, Refused), String> {
    cargo.args(["--no-run", "--message-format=json"]).stderr(Stdio::inherit());
    let mut refused = Refused::new();
    for _ in 0..ROUNDS_MAX {
        let files = write(&refused)?;
        let output = cargo.output().map_err(|error| format!("cargo: {error}"))?;
        let lines = output.stdout.split(|byte| *byte == b'\n');
        let messages: Vec<Message> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        if output.status.success() {
            return Ok((messages.into_iter().filter_map(Message::binary).collect(), refused));
        }
        let errors: Vec<_> = messages.into_iter().filter_map(Message::error).collect();
        let before = refused.len();
        for error in &errors {
            error.blame(&files, &mut refused)?;
        }
        if refused.len() == before {
            let errors: String = errors.into_iter().map(|error| error.rendered).collect();
            return Err(format!("the build fails\n{errors}"));
        }
        println!("{} changes do not compile", refused.len() - before);
    }
    Err(format!("the build fails after {ROUNDS_MAX} rounds"))
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

impl CompilerMessage {
    /// Adds the changes that this error comes from to those that are refused.
    ///
    /// # Errors
    /// When it comes from none.
    fn blame(&self, files: &Files, refused: &mut Refused) -> Result<(), String> {
        let changes_at =
            |span: &CompilerSpan| files.get(span.file_name.as_str())?.changes_at(&(span.byte_start..span.byte_end));
        // A position that points to one change tells more than one that several share, and the main one more than the others.
        let found = self.spans.iter().filter_map(|span| Some((changes_at(span)?, !span.is_primary)));
        let found = found.min_by_key(|(changes, is_other)| (changes.len() > 1, *is_other));
        let Some((changes, _)) = found else {
            return if self.spans.is_empty() { Ok(()) } else { Err(format!("the build fails\n{}", self.rendered)) };
        };
        let blame = if changes.len() == 1 { Blame::Alone } else { Blame::Shared };
        for &change in changes {
            refused.entry(change).or_insert(blame);
        }
        Ok(())
    }
}
