//! Counts the instructions of an uncontended lock and unlock, and compares them with a budget. `benches/instructions/run`
//! starts it, and says how.
//!
//! What is counted runs under valgrind's callgrind: once with N pairs, once with 2 N. The difference is what N pairs cost;
//! start and end cancel out.

mod callgrind;
mod forms;
mod layers;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs, process};

use callgrind::Profile;
use forms::{FORMS, Form};

/// In the engine there are no turns: only the number of pairs counts.
const LAYERS: [(&str, usize); 5] =
    [("engine", 16), ("server", 1), ("server-16", 16), ("process", 1), ("process-16", 16)];

const PAIRS: usize = 8000;

const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/budget.txt");

/// How far a count may be from its budget, in per cent.
const TOLERANCE: f64 = 2.0;

/// How many times the plain form another may cost in [`RATIO_LAYER`], unless [`Form::may_be_dearer`].
const RATIO_MAX: f64 = 1.3;

/// Where forms are compared with the plain one: one pair at a time, as clients mostly send them.
const RATIO_LAYER: &str = "server";

/// How many functions are shown of each row.
const FUNCTIONS_SHOWN: usize = 25;

/// One count: a form of a pair in a layer.
struct Row {
    layer: &'static str,
    batch: usize,
    form: &'static Form,
}

impl Row {
    /// As the budget has it.
    fn name(&self) -> String {
        format!("{} {}", self.layer, self.form.name)
    }

    /// Instructions of [`PAIRS`] pairs.
    fn count(&self) -> Profile {
        let [once, twice] = [1, 2].map(|times| self.profile(times * PAIRS / self.batch));
        let mut difference = twice;
        for (function, instructions) in once {
            *difference.entry(function).or_default() -= instructions;
        }
        difference
    }

    fn profile(&self, batches: usize) -> Profile {
        let file = Scratch::new();
        if self.layer.starts_with("process") {
            layers::process(self.form, self.batch, batches, &file.0);
        } else {
            let program = env::current_exe().expect("a program has a path");
            let mut command = callgrind::command(&program, &file.0);
            command.args(["--within", self.layer, self.form.name, &self.batch.to_string(), &batches.to_string()]);
            let status = command.stdin(Stdio::null()).status().expect("valgrind starts");
            assert!(status.success(), "{}: {status}", self.name());
        }
        callgrind::read(&file.0)
    }
}

/// A file that is removed with this.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Scratch(env::temp_dir().join(format!("officer-instructions-{}", process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn per_pair(instructions: i64) -> f64 {
    instructions as f64 / PAIRS as f64
}

fn total(profile: &Profile) -> f64 {
    per_pair(profile.values().sum())
}

/// The rows that have all these words in their names.
fn rows(words: &[&str]) -> Vec<Row> {
    let all = LAYERS.into_iter().flat_map(|(layer, batch)| FORMS.iter().map(move |form| Row { layer, batch, form }));
    all.filter(|row| row.form.is_everywhere() || row.layer.starts_with("server"))
        .filter(|row| words.iter().all(|word| [row.layer, row.form.name].contains(word)))
        .collect()
}

/// The budget's lines: a row's name and its number.
fn budget() -> Vec<(String, f64)> {
    let text = fs::read_to_string(BUDGET).unwrap_or_else(|error| panic!("{BUDGET}: {error}"));
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let entry = |line: &str| {
        let (name, number) = line.rsplit_once(' ').expect("a row and its number");
        (name.trim_end().to_owned(), number.parse().expect("a number of instructions"))
    };
    lines.map(entry).collect()
}

/// Compares rows with their budget, and with the plain form's. True if none is over it.
fn check(rows: &[Row]) -> bool {
    let budget = budget();
    let allowed_for = |name: &str| budget.iter().find(|(budgeted, _)| budgeted == name).map(|(_, allowed)| *allowed);
    let mut passed = true;
    println!("{:<22}{:>12}{:>10}{:>10}{:>10}", "", "instructions", "budget", "change", "to plain");
    for row in rows {
        let name = row.name();
        let counted = total(&row.count());
        let (Some(allowed), Some(plain)) = (allowed_for(&name), allowed_for(&format!("{} plain", row.layer))) else {
            println!("{name:<22}{counted:>12.1}  has no budget: add it to {BUDGET}");
            passed = false;
            continue;
        };
        let (change, ratio) = ((counted / allowed - 1.0) * 100.0, counted / plain);
        let is_too_dear = row.layer == RATIO_LAYER && ratio > RATIO_MAX && !row.form.may_be_dearer();
        let verdict = if change > TOLERANCE {
            "  OVER BUDGET"
        } else if is_too_dear {
            "  TOO DEAR NEXT TO PLAIN"
        } else if change < -TOLERANCE {
            "  better: lower the budget"
        } else {
            ""
        };
        passed &= change <= TOLERANCE && !is_too_dear;
        println!("{name:<22}{counted:>12.1}{allowed:>10.0}{change:>+8.1} %{ratio:>10.2}{verdict}");
    }
    if !passed {
        println!("what costs is shown by 'benches/instructions/run --functions ROW'; counted with {}", rustc_version());
    }
    passed
}

fn rustc_version() -> String {
    let output = Command::new("rustc").arg("--version").output();
    output
        .map_or_else(|error| error.to_string(), |output| String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// Prints rows as they stand in the budget.
fn print_table(rows: &[Row]) {
    for row in rows {
        println!("{:<22}{:>6.0}", row.name(), total(&row.count()));
    }
}

/// Prints the functions of each row that cost most.
fn print_functions(rows: &[Row]) {
    for row in rows {
        let profile = row.count();
        println!("{}: {:.1} instructions per pair", row.name(), total(&profile));
        let mut functions: Vec<_> = profile.into_iter().collect();
        functions.sort_by_key(|(_, instructions)| -instructions.abs());
        for (function, instructions) in functions.iter().take(FUNCTIONS_SHOWN) {
            println!("{:>10.1}  {function}", per_pair(*instructions));
        }
        println!();
    }
}

/// The part that runs under callgrind.
fn run_within(arguments: &[&str]) {
    let [layer, form, batch, batches] = arguments else { panic!("--within LAYER FORM BATCH BATCHES") };
    let number = |text: &str| text.parse().expect("a number");
    let run = if *layer == "engine" { layers::engine } else { layers::server };
    run(Form::named(form), number(batch), number(batches));
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).filter(|argument| *argument != "--bench").collect();
    let (mode, words) = arguments.split_first().map_or(("", &[][..]), |(mode, words)| (*mode, words));
    match mode {
        "--within" => run_within(words),
        "--check" | "--table" | "--functions" => {
            let rows = rows(words);
            if rows.is_empty() {
                eprintln!("instructions: no row is called '{}'", words.join(" "));
                return ExitCode::FAILURE;
            }
            match mode {
                "--check" if !check(&rows) => return ExitCode::FAILURE,
                "--check" => {}
                "--table" => print_table(&rows),
                _ => print_functions(&rows),
            }
        }
        // `cargo bench` starts every benchmark; this one takes no part.
        _ => println!("instructions are counted by benches/instructions/run"),
    }
    ExitCode::SUCCESS
}
