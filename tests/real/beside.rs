//! Clients of 2010 on a UNIX socket, beside users over TLS on the same server.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, thread};

use rustls::ALL_VERSIONS;
use serde_json::{Value, json};

use crate::support::certificates::{Authority, Valid, client_config};
use crate::support::client::{Address, Client};
use crate::support::directory::Directory;
use crate::support::patience::Ending;
use crate::support::server::{Server, officer};
use crate::support::users::{hello, table, write};

/// What those who don't say who they are may see: the names of the recordings, and not those of the others.
const ANONYMOUS: &str = "[anonymous]\nfrom = [\"unix\"]\nlocks = [\"a\", \"b\", \"c\", \"é\"]\n";
const CONNECTIONS: usize = 4;

/// One of the connections of a recording.
struct Recorded {
    client: Client,
    name: String,
}

fn connect(file: &Address) -> Recorded {
    let mut client = Client::connect(file).unwrap();
    let name = client.ask(r#"{"command":"hello"}"#)["connection"].as_str().unwrap().to_owned();
    Recorded { client, name }
}

impl Recorded {
    /// Everything that has come until now. What it has sent is executed then.
    fn heard(&mut self) -> Vec<String> {
        self.client.send(r#"{"command":"ping"}"#);
        let pong = json!({"result": "pong"}).to_string();
        std::iter::from_fn(|| Some(self.client.receive_line()).filter(|line| *line != pong)).collect()
    }
}

/// The recordings have the names of each connection sorted.
fn normal(mut reply: Value) -> Value {
    if reply["result"] == "connections" {
        let rows = reply["value"].as_object_mut().unwrap().values_mut();
        rows.for_each(|names| names.as_array_mut().unwrap().sort_by(|a, b| a.as_str().cmp(&b.as_str())));
    }
    reply
}

fn replay(path: &Path, file: &Address) {
    let mut seats: [Recorded; CONNECTIONS] = std::array::from_fn(|_| connect(file));
    let text = fs::read_to_string(path).unwrap();
    let steps: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let on = |step: &Value| usize::try_from(step["on"].as_u64().unwrap()).unwrap();
    for (number, step) in steps.iter().enumerate().filter(|(_, step)| step["got"].is_null()) {
        let mut seat = on(step);
        if step["drop"] == true {
            seats[seat].client.close_write();
            seats[seat].client.expect_end();
            seats[seat] = connect(file);
            seat = usize::MAX;
        } else {
            seats[seat].client.send(&step["send"]);
        }
        let mut heard: HashMap<usize, Vec<String>> = HashMap::new();
        // The asker first: then what it asked for has been executed, and whatever follows from that.
        let order =
            (0..CONNECTIONS).filter(|other| *other == seat).chain((0..CONNECTIONS).filter(|other| *other != seat));
        for other in order {
            heard.insert(other, seats[other].heard());
        }
        let named = |line: &String| {
            let rename = |line: String, (on, seat): (usize, &Recorded)| {
                line.replace(&format!("\"{}\"", seat.name), &format!("\"conn{on}\""))
            };
            normal(serde_json::from_str(&seats.iter().enumerate().fold(line.clone(), rename)).unwrap())
        };
        for other in 0..CONNECTIONS {
            let ours: Vec<Value> = heard[&other].iter().map(named).collect();
            let got = steps[number + 1..].iter().take_while(|step| !step["got"].is_null());
            let theirs: Vec<Value> =
                got.filter(|step| on(step) == other).map(|step| normal(step["got"].clone())).collect();
            assert_eq!(ours, theirs, "{}, after line {}, on {other}", path.display(), number + 1);
        }
    }
    for seat in seats {
        seat.client.close_write();
        let mut client = seat.client;
        client.receive_until_end();
    }
}

#[test]
fn what_the_original_answered_is_answered_on_a_unix_socket_beside_users_over_tls() {
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    let identity = authority.issue("server", &["dns:localhost"], Valid::Now);
    let (file, users) = (directory.file("officer.sock"), directory.file("users.toml"));
    write(&users, &format!("{}{ANONYMOUS}", table("game", "secret", "locks = [\"game:\"]")));
    let unix = format!("unix:{}", file.display());
    let mut command = officer(&["run", "--listen", "tls://127.0.0.1:0", "--listen", &unix]);
    command.arg("--tls-cert").arg(&identity.cert).arg("--tls-key").arg(&identity.key).arg("--users").arg(&users);
    let mut server = Server::start(&mut command);
    assert_eq!(server.next_address(), Address::Unix(file.clone()));

    let config = client_config(&authority, None, ALL_VERSIONS);
    let is_over = AtomicBool::new(false);
    let paths: Vec<_> =
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/original")).unwrap().collect();
    assert_eq!(paths.len(), 40);
    thread::scope(|scope| {
        let ending = Ending(&is_over);
        let workers: Vec<_> = ["game:1", "game:2", "game:3"]
            .map(|name| {
                let (server, config, is_over) = (&server, &config, &is_over);
                scope.spawn(move || {
                    let mut pairs = 0;
                    while !is_over.load(Ordering::Relaxed) || pairs == 0 {
                        let mut client = Client::over_tls(server.address(), config).unwrap();
                        assert_eq!(client.ask(hello("game", "secret"))["user"], "game");
                        for _ in 0..20 {
                            client.acquire(name);
                            client.release(name);
                            pairs += 1;
                        }
                        // It leaves one behind, which is gone when the next one comes.
                        client.acquire(&format!("{name}: left behind"));
                        assert_eq!(
                            client.locks().as_object().map(|locks| locks.keys().all(|name| name.starts_with("game:"))),
                            Some(true)
                        );
                    }
                    pairs
                })
            })
            .into();
        let unix = Address::Unix(file);
        for path in paths {
            replay(&path.unwrap().path(), &unix);
        }
        drop(ending);
        let pairs: usize = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
        println!("{pairs} pairs over TLS meanwhile");
        assert!(pairs >= 60);
    });
}
