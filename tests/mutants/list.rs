//! The list of cargo-mutants, and what became of each.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::Result;

/// A change to the sources, as cargo-mutants describes it.
#[derive(Deserialize)]
pub(crate) struct Mutant {
    /// With file, line and column.
    pub(crate) name: String,
    /// Relative to the project.
    pub(crate) file: String,
    pub(crate) genre: Genre,
    /// What is replaced.
    pub(crate) span: Span,
    pub(crate) replacement: String,
    function: Option<Function>,
    pub(crate) diff: String,
    #[serde(skip)]
    pub(crate) outcome: Outcome,
}

impl Mutant {
    /// Whether it is the value of a function whose type the compiler takes from its body.
    pub(crate) fn is_of_hidden_type(&self) -> bool {
        let type_of = |function: &Function| function.return_type.contains("impl ");
        self.genre == Genre::FnValue && self.function.as_ref().is_some_and(type_of)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub(crate) enum Genre {
    FnValue,
    BinaryOperator,
    UnaryOperator,
    MatchArm,
    MatchArmGuard,
    StructField,
}

#[derive(Clone, Copy, Deserialize)]
pub(crate) struct Span {
    pub(crate) start: Position,
    pub(crate) end: Position,
}

/// Lines and columns count from 1; columns count characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

#[derive(Deserialize)]
struct Function {
    return_type: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Outcome {
    /// Or not tested yet.
    #[default]
    Missed,
    Caught,
    Looped,
    Unviable,
    Unswitchable,
}

/// The files that name the mutants of each outcome.
pub(crate) const OUTCOMES: [(Outcome, &str); 5] = [
    (Outcome::Caught, "caught.txt"),
    (Outcome::Looped, "looped.txt"),
    (Outcome::Missed, "missed.txt"),
    (Outcome::Unviable, "unviable.txt"),
    (Outcome::Unswitchable, "unswitchable.txt"),
];

/// # Errors
/// When the file can't be read, or is not such a list.
pub(crate) fn read(path: &Path) -> Result<Vec<Mutant>> {
    let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: not a list of cargo-mutants: {error}", path.display()))
}
