//! The table as Markdown.

use std::fmt::Write;
use std::fs;

use serde_json::Value;

use super::Cell;
use super::rows::Row;
use super::servers::Kind;

/// The table, or several: `hold` and `storm` have other figures than the repeated workloads.
pub(super) fn markdown(measured: &[(&Row, Vec<Cell>)], rounds: usize) -> String {
    let mut text = format!("{}; medians of {rounds} rounds.\n", machine());
    let of = |names: &[&str]| -> Vec<&(&Row, Vec<Cell>)> {
        measured.iter().filter(|(row, _)| names.iter().any(|name| row.name.starts_with(name))).collect()
    };
    let pairs = of(&["pair", "handoff"]);
    if !pairs.is_empty() {
        text.push_str(
            "\n| workload | officer | floor | redis | memcached | officer/redis | officer/floor | CPU/floor | p99/floor |\n\
             |---|---|---|---|---|---|---|---|---|\n",
        );
    }
    for (row, cells) in pairs {
        let _ = writeln!(text, "| {} | {} |", row.name, pair_cells(cells).join(" | "));
    }
    for (row, cells) in of(&["hold"]) {
        text.push_str("\n| workload | server | bytes per connection | connections made per second | idle CPU |\n");
        text.push_str("|---|---|---|---|---|\n");
        for cell in cells {
            let figure = |path: &str, digits: usize| shown(median(cell, path), digits);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} % |",
                row.name,
                cell.kind.name(),
                figure("/server/bytes_per_connection", 0),
                figure("/connections_per_second", 0),
                shown(median(cell, "/server/idle_cpu").map(|share| share * 100.0), 2),
            );
        }
    }
    for (row, cells) in of(&["storm"]) {
        text.push_str(
            "\n| workload | all ended after | server's CPU for each | p99 before | p99 meanwhile | max meanwhile |\n",
        );
        text.push_str("|---|---|---|---|---|---|\n");
        for cell in cells {
            let millis = |path: &str| shown(median(cell, path).map(|micros| micros / 1e3), 2);
            let _ = writeln!(
                text,
                "| {} | {} ms | {} µs | {} ms | {} ms | {} ms |",
                row.name,
                shown(median(cell, "/storm_ms"), 0),
                shown(median(cell, "/server/cpu_us_per_connection"), 1),
                millis("/before_us/p99"),
                millis("/meanwhile_us/p99"),
                millis("/meanwhile_us/max"),
            );
        }
    }
    text
}

fn pair_cells(cells: &[Cell]) -> Vec<String> {
    let rate = |cell: &Cell| median(cell, "/pairs_per_second");
    let cpu = |cell: &Cell| median(cell, "/server/cpu_us_per_pair");
    let p99 = |cell: &Cell| median(cell, "/hand_over_us/p99").or_else(|| median(cell, "/latency_us/p99"));
    let find = |name: &str| cells.iter().find(|cell| cell.kind.name() == name && !cell.runs.is_empty());
    let officer = find(Kind::Officer.name());
    let ratio = |figure: &dyn Fn(&Cell) -> Option<f64>, of: &str| {
        let ratio = officer.and_then(figure).zip(find(of).and_then(figure)).map(|(ours, theirs)| ours / theirs);
        shown(ratio, 2)
    };
    let mut texts = Vec::new();
    for name in ["officer", "floor", "redis", "memcached"] {
        texts.push(find(name).map_or("–".to_owned(), |cell| {
            let (rate, cpu, p99) = (shown(rate(cell), 0), shown(cpu(cell), 2), shown(p99(cell), 0));
            format!("{rate}/s ({cpu} µs, p99 {p99} µs)")
        }));
    }
    texts.extend([ratio(&rate, "redis"), ratio(&rate, "floor"), ratio(&cpu, "floor"), ratio(&p99, "floor")]);
    texts
}

fn shown(figure: Option<f64>, digits: usize) -> String {
    figure.map_or("–".to_owned(), |figure| format!("{figure:.digits$}"))
}

/// The median of the runs that have the figure; for an even number, the mean of the two in the middle.
fn median(cell: &Cell, path: &str) -> Option<f64> {
    let mut figures: Vec<f64> = cell.runs.iter().filter_map(|run| run.pointer(path).and_then(Value::as_f64)).collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => None,
        len if len % 2 == 1 => Some(figures[middle]),
        _ => Some((figures[middle - 1] + figures[middle]) / 2.0),
    }
}

/// The machine and the versions.
pub(super) fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown CPU");
    let cpus = info.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = rustix::system::uname();
    let mut text = format!(
        "{} x {}, {} {}",
        cpus,
        model.trim_start_matches([' ', '\t', ':']),
        kernel.sysname().to_string_lossy(),
        kernel.release().to_string_lossy()
    );
    for kind in [Kind::Officer, Kind::Redis, Kind::Memcached] {
        if let Some(version) = kind.version() {
            text.push_str(", ");
            text.push_str(&version);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_median_is_that_of_the_runs_that_have_the_figure() {
        let cell = |figures: &[f64]| Cell {
            kind: Kind::Officer,
            runs: figures.iter().map(|figure| json!({ "server": { "cpu": figure } })).collect(),
        };
        assert_eq!(median(&cell(&[3.0, 1.0, 2.0]), "/server/cpu"), Some(2.0));
        assert_eq!(median(&cell(&[4.0, 1.0, 2.0, 3.0]), "/server/cpu"), Some(2.5));
        assert_eq!(median(&cell(&[1.0]), "/server/other"), None);
        assert_eq!(median(&cell(&[]), "/server/cpu"), None);
    }
}
