//! The metrics of a process, as Prometheus itself scrapes them; and the log about slow holds.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::address::{free_port, own_host};
use crate::support::directory::Directory;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::program::run;
use crate::support::server::{Server, officer};
use crate::support::skip::skipped;

fn serve(options: &[&str]) -> (Server, SocketAddr) {
    let list = "tcp://127.0.0.1:0,http://127.0.0.1:0";
    let mut server = Server::start(officer(&["run", "--listen", list]).args(options));
    let http = server.next_address().tcp();
    (server, http)
}

/// The body of what is answered to a GET, by HTTP/1.0: otherwise Prometheus sends it in chunks. Empty: nobody answers.
fn get(address: SocketAddr, path: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address) else { return String::new() };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let mut answer = String::new();
    if stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer)).is_err() {
        return String::new();
    }
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned()
}

fn sample(http: SocketAddr, name: &str) -> Option<f64> {
    let text = get(http, "/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(|value| value.parse().expect("a number"))
}

/// Ends with this.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A Prometheus that scrapes a server every second, and where it is asked. None: it is not installed.
fn scrape(directory: &Directory, http: SocketAddr) -> Option<(Prometheus, SocketAddr)> {
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nrule_files: [rules.yml]\nscrape_configs: \
         [{{job_name: officer, static_configs: [{{targets: ['{http}']}}]}}]\n"
    );
    fs::write(directory.file("prometheus.yml"), config).unwrap();
    fs::write(
        directory.file("rules.yml"),
        run(&mut officer(&["print", "prometheus-rules"])).expect_success().join("\n"),
    )
    .unwrap();
    let host = own_host();
    let free = SocketAddr::from((host, free_port(host)));
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", directory.file("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", directory.file("data").display()));
    command.arg(format!("--web.listen-address={free}"));
    match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skipped("prometheus is not installed");
            None
        }
        child => Some((Prometheus(child.unwrap()), free)),
    }
}

#[test]
fn prometheus_scrapes_what_has_happened_and_loads_the_rules() {
    let (server, http) = serve(&["--metrics-prefix", "boss:"]);
    let mut ann = server.connect();
    for name in ["boss:1", "boss:2", "door"] {
        ann.acquire(name);
    }
    let directory = Directory::new();
    let Some((_prometheus, api)) = scrape(&directory, http) else { return };
    let query = |query: &str| -> Option<f64> {
        let answer: Value = serde_json::from_str(&get(api, &format!("/api/v1/query?query={query}"))).ok()?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    };
    eventually("the grants are in Prometheus", || query("officer_grants_total") == Some(3.0));
    // A scrape that is late counts for a second as one that has failed.
    for (expression, value) in [
        ("up", 1.0),
        ("officer_locks_held", 3.0),
        ("officer_prefix_wait_seconds_count", 2.0),
        ("officer_lock_wait_seconds_bucket%7Ble=%220.0001%22%7D", 3.0),
        ("officer_requests_total%7Bcommand=%22lock%22%7D", 3.0),
        ("officer_errors_total%7Breason=%22invalid_json%22%7D", 0.0),
    ] {
        eventually(&format!("{expression} is {value}"), || query(expression) == Some(value));
    }
    eventually("a process has memory", || query("process_resident_memory_bytes").is_some_and(|bytes| bytes > 1e6));
    let rules: Value = serde_json::from_str(&get(api, "/api/v1/rules")).expect("JSON");
    assert_eq!(rules["data"]["groups"][0]["rules"].as_array().map(Vec::len), Some(12), "{rules}");
}

#[test]
fn a_reload_that_was_refused_is_in_the_metrics_until_one_is_not() {
    let directory = Directory::new();
    let users = directory.file("users.toml");
    let good = "[anonymous]\nfrom = [\"loopback\"]\nlocks = [\"\"]\nmetrics = true\n";
    fs::write(&users, good).unwrap();
    let (server, http) = serve(&["--users", users.to_str().unwrap()]);
    let successful = || sample(http, "officer_config_last_reload_successful");
    assert_eq!((successful(), sample(http, "officer_open")), (Some(1.0), Some(0.0)));
    fs::write(&users, "[anonymous").unwrap();
    server.signal(Signal::HUP);
    eventually("the reload is refused", || successful() == Some(0.0));
    fs::write(&users, good).unwrap();
    server.signal(Signal::HUP);
    eventually("the next one is not", || successful() == Some(1.0));
}

#[test]
fn prefixes_of_the_metrics_are_few_and_not_empty() {
    let many = (0..65).map(|number| format!("boss:{number}")).collect::<Vec<_>>().join(",");
    run(&mut officer(&["run", "--check", "-p", "0", "--metrics-prefix", &many]))
        .expect_failure(1, "has 65 prefixes; at most 64");
    let repeated = format!("{many},boss:1").replace("boss:64,", "");
    run(&mut officer(&["run", "--check", "-p", "0", "--metrics-prefix", &repeated])).expect_success();
    run(&mut officer(&["run", "--check", "-p", "0", "--metrics-prefix", ""])).expect_failure(2, "a prefix is empty");
}

#[test]
fn a_slow_hold_is_in_the_log_at_every_level() {
    let server = Server::tcp(&["--slow-hold-seconds", "0.3", "--log-level", "error"]);
    let (mut ann, mut bob) = (server.connect(), server.connect());
    ann.ask(r#"{"command":"hello","client":"raid.rb"}"#);
    ann.acquire("boss:17");
    bob.send(r#"{"command":"lock","name":"boss:17"}"#);
    let line = server.log().wait_for("slow hold");
    let (_, held) = line.split_once(r#"slow hold: "boss:17" has been held for "#).unwrap_or_else(|| panic!("{line}"));
    let (seconds, _) = held.split_once("s by ").unwrap_or_else(|| panic!("{line}"));
    assert!(seconds.parse::<f64>().unwrap() >= 0.3, "{line}");
    assert!(line.contains(r#", client "raid.rb"; 1 waits for it"#), "{line}");
}
