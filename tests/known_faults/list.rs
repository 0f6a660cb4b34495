//! The list of faults, and how one is built into the sources.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The files that have the list, and the world of the simulation where their faults show, if it is a small one: the others
/// are left out then, which would take most of the time.
const LISTS: [(&str, Option<&str>); 6] = [
    ("engine.md", None),
    ("server.md", None),
    ("kinds.md", None),
    ("sessions.md", None),
    ("users.md", Some("users")),
    ("seen.md", Some("http")),
];
/// Where in `src` the text to be replaced may stand.
const SEARCHED: [&str; 4] = ["engine", "server", "slots", "wire"];

/// One fault.
#[derive(Debug, PartialEq)]
pub(crate) struct Fault {
    /// What is wrong.
    pub(crate) text: String,
    /// The only world of the simulation in which it is looked for.
    pub(crate) world: Option<&'static str>,
    changes: Vec<Change>,
}

#[derive(Debug, Default, PartialEq)]
struct Change {
    sought: String,
    replacement: String,
}

/// The sources in which faults are built, by their path in `src`. Lines have no indentation, in here and in a change, so
/// that code may move.
pub(crate) type Sources = BTreeMap<PathBuf, String>;

/// All faults of the list.
pub(crate) fn faults() -> Vec<Fault> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/known_faults");
    let read = |list| fs::read_to_string(folder.join(list)).unwrap_or_else(|error| panic!("{list}: {error}"));
    LISTS.iter().flat_map(|(list, world)| parse(&read(list), *world)).collect()
}

/// Reads one file of the list. A heading of the second level begins a fault, each block of `diff` is one of its changes.
fn parse(list: &str, world: Option<&'static str>) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    let mut is_in_change = false;
    for line in list.lines() {
        if is_in_change {
            let change = faults.last_mut().and_then(|fault| fault.changes.last_mut()).expect("a change was begun");
            match line.split_at_checked(1) {
                _ if line == "```" => is_in_change = false,
                Some(("-", text)) => add_line(&mut change.sought, text),
                Some(("+", text)) => add_line(&mut change.replacement, text),
                Some((" ", text)) => {
                    add_line(&mut change.sought, text);
                    add_line(&mut change.replacement, text);
                }
                _ => panic!("a line of a change begins with -, + or a space, unlike {line:?}"),
            }
        } else if let Some(text) = line.strip_prefix("## ") {
            faults.push(Fault { text: text.to_owned(), world, changes: Vec::new() });
        } else if line == "```diff" {
            let fault = faults.last_mut().expect("a heading stands before the first change");
            fault.changes.push(Change::default());
            is_in_change = true;
        }
    }
    assert!(!is_in_change, "the last change has no end");
    faults
}

fn add_line(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(line.trim());
}

/// Reads the sources in which faults are built.
pub(crate) fn sources(src: &Path) -> Sources {
    let mut sources = Sources::new();
    let mut left: Vec<PathBuf> =
        SEARCHED.iter().flat_map(|name| [src.join(name), src.join(format!("{name}.rs"))]).collect();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") && path.exists() {
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let mut flat = String::new();
            text.lines().for_each(|line| add_line(&mut flat, line));
            sources.insert(path.strip_prefix(src).expect("it is below").to_owned(), flat);
        }
    }
    sources
}

impl Fault {
    /// The files that it changes, with the fault in them.
    ///
    /// # Errors
    /// When the text of a change doesn't stand exactly once in all of the sources.
    pub(crate) fn build_into(&self, sources: &Sources) -> Result<Sources, String> {
        let mut changed = Sources::new();
        if self.changes.is_empty() {
            return Err("it has no change".to_owned());
        }
        for Change { sought, replacement } in &self.changes {
            let text_of = |path| changed.get(path).unwrap_or(&sources[path]);
            let count = |path| if sought.is_empty() { 0 } else { text_of(path).matches(sought).count() };
            let found: Vec<(&PathBuf, usize)> =
                sources.keys().map(|path| (path, count(path))).filter(|(_, count)| *count > 0).collect();
            let [(path, 1)] = found[..] else {
                let times: usize = found.iter().map(|(_, count)| count).sum();
                return Err(format!(
                    "this text stands {times} times in src/{{{}}}, not once:\n{sought}",
                    SEARCHED.join(",")
                ));
            };
            let text = text_of(path).replacen(sought, replacement, 1);
            changed.insert(path.clone(), text);
        }
        Ok(changed)
    }
}

#[test]
fn a_fault_is_built_in_where_its_text_stands_once_however_it_is_indented() {
    let list = "# A list\n\n## one\n\nwhy\n```diff\n a {\n-  b\n+c\n+d\n```\n```diff\n-x\n```\n\n## two\n```diff\n-b\n+c\n```\n";
    let faults = parse(list, None);
    let file = |text: &str| {
        Sources::from([(PathBuf::from("engine/mod.rs"), text.to_owned()), (PathBuf::from("wire.rs"), "x".to_owned())])
    };
    let sources = file("b\na {\nb\n}");
    let mut changed = file("b\na {\nc\nd\n}");
    *changed.get_mut(Path::new("wire.rs")).expect("it is there") = String::new();
    assert_eq!(faults[0].build_into(&sources), Ok(changed));
    let error = faults[1].build_into(&sources).expect_err("the text stands there twice");
    assert!(error.starts_with("this text stands 2 times in src/{engine,"), "{error}");
    let error = faults[0].build_into(&file("b")).expect_err("the text is not there");
    assert!(error.starts_with("this text stands 0 times in src/{engine,"), "{error}");
}
