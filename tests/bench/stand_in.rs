//! A server of our own that counts, or misbehaves.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::lines::LineReader;

/// Every line received, on all connections.
pub(crate) type Heard = Arc<Mutex<Vec<String>>>;

/// Answers every line with the result of the function; on None it closes the connection.
pub(crate) fn start(answer: impl Fn(&str) -> Option<String> + Clone + Send + 'static) -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let heard = Heard::default();
    let all = Arc::clone(&heard);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (answer, heard) = (answer.clone(), Arc::clone(&all));
            thread::spawn(move || serve(socket.unwrap(), &answer, &heard));
        }
    });
    (port, heard)
}

fn serve(socket: TcpStream, answer: &impl Fn(&str) -> Option<String>, heard: &Heard) {
    let mut out = socket.try_clone().unwrap();
    let mut lines = LineReader::new(socket);
    while let Ok(Some(line)) = lines.next_line() {
        let Some(answer) = answer(&line) else { return };
        heard.lock().unwrap().push(line);
        // In two pieces, as can happen on a network.
        let (first, rest) = answer.as_bytes().split_at(answer.len() / 2);
        if out.write_all(first).and_then(|()| out.write_all(rest)).is_err() {
            return;
        }
    }
}

/// The answer of a lock server on which every lock is free.
pub(crate) fn grant(line: &str) -> Option<String> {
    let request: serde_json::Value = serde_json::from_str(line).unwrap();
    let result = if request["command"] == "lock" { "acquired" } else { "released" };
    Some(format!("{{\"name\":{},\"result\":\"{result}\"}}\n", request["name"]))
}
