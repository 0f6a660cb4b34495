//! What is written about the metrics: the alerts and the dashboard that `officer print` prints, and the document.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use serde_json::Value;

use super::{promtool, samples, world};
use crate::directory::Directory;

const RULES: &str = include_str!("../../../src/cli/print/prometheus-rules.yml");
const TESTS_OF_RULES: &str = "tests/data/prometheus-rules.test.yml";
const DASHBOARD: &str = include_str!("../../../src/cli/print/grafana-dashboard.json");
const GUIDE: &str = include_str!("../../../src/docs/operating.md");

/// The metrics that a server shows, with and without what a histogram adds to its name.
fn known() -> BTreeSet<String> {
    let keys = samples(&world()).into_keys();
    keys.map(|key| key.split_once('{').map_or(key.as_str(), |(name, _)| name).to_owned()).collect()
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = text.split(|character| !is_part(character));
    words.filter(|word| word.starts_with("officer_") || word.starts_with("process_")).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(DASHBOARD).expect("the dashboard is JSON")
}

fn array(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("an array, not {value}"))
}

#[test]
fn rules_and_dashboard_name_only_metrics_that_exist() {
    let known = known();
    for (file, least) in [(RULES, 10), (DASHBOARD, 20)] {
        let named = named(file);
        assert!(named.len() >= least, "{named:?}");
        for name in named {
            assert!(known.contains(name), "there is no {name}");
        }
    }
}

#[test]
fn the_document_names_exactly_the_metrics_that_exist() {
    let (_, section) = GUIDE.split_once("\n### Metrics\n").expect("a section");
    let (section, _) = section.split_once("\n## ").expect("an end");
    let of_histogram = |name: &str| {
        let name = name.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count");
        name.to_owned()
    };
    // Those of the process are well known: the document has them as one.
    let is_ours = |name: &str| name.starts_with("officer_");
    let known: BTreeSet<String> = known().iter().filter(|name| is_ours(name)).map(|name| of_histogram(name)).collect();
    let named = named(section).into_iter().filter(|name| is_ours(name)).map(str::to_owned).collect();
    assert_eq!(known, named);
}

#[test]
fn each_alert_fires_when_it_should_and_at_no_other_time() {
    let tests = fs::read_to_string(TESTS_OF_RULES).expect("the tests of the rules");
    for alert in RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let expected = tests.split("alertname: ").filter_map(|text| text.strip_prefix(alert)?.strip_prefix('\n'));
        let (fires, rests): (Vec<&str>, Vec<&str>) =
            expected.partition(|text| text.trim_start().starts_with("exp_alerts:\n"));
        assert!(!fires.is_empty() && !rests.is_empty(), "{alert} is tested for when it fires and when it does not");
    }
    let Some((is_content, said)) = promtool(&["test", "rules", TESTS_OF_RULES], "") else { return };
    assert!(is_content, "{said}");
}

#[test]
fn prometheus_understands_every_expression_of_the_dashboard() {
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    let dashboard = dashboard();
    let targets = array(&dashboard["panels"]).iter().flat_map(|panel| array(&panel["targets"]));
    let mut count = 0;
    for (number, target) in targets.enumerate() {
        // What Grafana puts there.
        let expression = target["expr"].as_str().expect("a text").replace("$__rate_interval", "5m");
        assert!(expression.contains("{instance=~\"$instance\""), "only of the servers that were chosen: {expression}");
        writeln!(rules, "      - record: dashboard:{number}\n        expr: {}", Value::from(expression)).unwrap();
        count += 1;
    }
    let directory = Directory::new();
    let file = directory.file("rules.yml");
    fs::write(&file, rules).unwrap();
    let Some((is_content, said)) = promtool(&["check", "rules", file.to_str().unwrap()], "") else { return };
    assert!(is_content && said.contains(&format!("SUCCESS: {count} rules found")), "{said}");
}

/// As Grafana documents its JSON model: <https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/>.
#[test]
fn the_dashboard_is_as_grafana_documents_it() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64().is_some_and(|version| version >= 36), "data sources are objects");
    for (field, value) in [("title", "Officer"), ("uid", "officer"), ("timezone", "browser"), ("refresh", "30s")] {
        assert_eq!(dashboard[field], value, "{field}");
    }
    // Grafana numbers it itself: the number of another one would replace that.
    assert_eq!(dashboard.get("id"), None);
    let variables = array(&dashboard["templating"]["list"]);
    let names: Vec<&str> = variables.iter().map(|variable| variable["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["datasource", "instance"]);
    assert_eq!(variables[0]["type"], "datasource");
    assert_eq!(variables[0]["query"], "prometheus");
    let source = serde_json::json!({"type": "prometheus", "uid": "${datasource}"});
    assert_eq!(variables[1]["datasource"], source);
    let panels = array(&dashboard["panels"]);
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64().expect("a number")), "{title}: another panel has its id");
        assert_eq!(panel["type"], "timeseries", "{title}");
        assert_eq!(panel["datasource"], source, "{title}");
        assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title} is explained");
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().expect("a unit");
        assert!(["short", "ops", "reqps", "s", "Bps", "bytes", "percentunit"].contains(&unit), "{title}: {unit}");
        assert!(panel["fieldConfig"]["overrides"].is_array(), "{title}");
        // The grid has 24 columns; no two panels are in one place.
        let position = |part: &str| panel["gridPos"][part].as_u64().expect("a number");
        let (left, top, width, height) = (position("x"), position("y"), position("w"), position("h"));
        assert!(left + width <= 24, "{title}");
        for cell in (left..left + width).flat_map(|x| (top..top + height).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{title} covers another panel");
        }
        let targets = array(&panel["targets"]);
        let ids: BTreeSet<&str> = targets.iter().filter_map(|target| target["refId"].as_str()).collect();
        assert_eq!(ids.len(), targets.len(), "{title}: each query has a letter of its own");
        for target in targets {
            assert_eq!(target["datasource"], source, "{title}");
            assert!(target["legendFormat"].as_str().is_some_and(|format| format.contains("{{")), "{title}");
        }
    }
}
