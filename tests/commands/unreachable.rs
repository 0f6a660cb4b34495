//! Every command, where there is no server.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::thread;

use rustix::process::Signal;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::support::address::{free_port, own_host};
use crate::support::directory::Directory;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::program::{Program, run};
use crate::support::server::{PROGRAM, Server, forget_options, officer};
use crate::support::skip::skipped;

/// Each command, with these options.
#[track_caller]
fn every_command_fails(options: &[&str], said: &str) {
    for args in [
        &["lock", "x", "--", "echo", "ran"][..],
        &["locks"],
        &["locks", "--json"],
        &["connections"],
        &["kick", "127.0.0.1:1"],
        &["ping"],
        &["top", "--once"],
    ] {
        let args = [&args[..1], options, &args[1..]].concat();
        run(&mut officer(&args)).expect_failure(69, said);
    }
}

/// A server of another kind, on a port of its own, that says this and closes.
fn stranger(says: impl Into<String>) -> String {
    let says = says.into();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(says.as_bytes());
        }
    });
    port
}

#[test]
fn a_server_that_is_down_is_told() {
    let host = own_host();
    let (host, port) = (host.to_string(), free_port(host).to_string());
    every_command_fails(&["-h", &host, "-p", &port], "start a server there with 'officer run', or say where");
}

#[test]
fn a_socket_file_that_is_not_there_is_told() {
    let directory = Directory::new();
    let file = directory.file("none.sock");
    let file = file.to_str().unwrap();
    every_command_fails(&["-o", "UNIX", "-f", file], &format!("no connection to {file}: "));
}

#[test]
fn a_host_that_is_not_there_is_told() {
    every_command_fails(&["-h", "no such host", "-p", "1"], "no connection to no such host:1: ");
}

#[test]
fn a_server_of_another_kind_is_told() {
    let port = stranger("HTTP/1.1 400 Bad Request\r\n\r\n");
    every_command_fails(
        &["-p", &port],
        &format!("127.0.0.1:{port} is not an Officer server; check the address. It sent: HTTP"),
    );
    let port = stranger("{\"result\":\"pong\"}\n");
    every_command_fails(&["-p", &port], "is not an Officer server");
    // Nobody has asked for TLS.
    let port = stranger("a".repeat(65 << 20));
    run(&mut officer(&["ping", "-p", &port]))
        .expect_failure(69, "sent a line without an end; check that it is the address of an Officer server");
    let port = stranger("\x1b[2J\n");
    every_command_fails(&["-p", &port], r"\u{1b}[2J");
    let port = stranger("");
    every_command_fails(&["-p", &port], "no connection to");
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for_longer_than_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    every_command_fails(&["-p", &port, "--connect-timeout", "0.05"], "the server does not answer; check that");
}

#[test]
fn a_server_without_room_refuses() {
    let server = Server::tcp(&["--connections-max", "1"]);
    let _client = server.client();
    every_command_fails(&server.options(), "too_many_connections); try again later");
}

#[test]
fn a_server_that_stands_still_is_not_alive() {
    let server = Server::tcp(&[]);
    server.signal(Signal::STOP);
    let end = run(&mut server.officer("ping", &["--connect-timeout", "0.05"]));
    server.signal(Signal::CONT);
    end.expect_failure(69, "the server does not answer");
}

/// The program where other files are in place of the system's, or nothing where that can't be arranged.
fn officer_with_files(files: &[(&str, &str)], directory: &Directory, args: &[&str]) -> Option<Command> {
    let mut script = String::new();
    for (number, (path, text)) in files.iter().enumerate() {
        let file = directory.file(&number.to_string());
        fs::write(&file, text).unwrap();
        script += &format!("mount --bind {} {path} && ", file.display());
    }
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]);
        command
    };
    if !unshare(&format!("{script} true")).output().is_ok_and(|output| output.status.success()) {
        skipped(&format!("no files of our own in place of {files:?}, which takes root and unshare"));
        return None;
    }
    let mut command = unshare(&format!("{script} exec \"$0\" \"$@\""));
    forget_options(&mut command);
    command.arg(PROGRAM).args(args);
    Some(command)
}

#[test]
fn a_silent_name_server_is_not_waited_for_longer_than_asked() {
    let directory = Directory::new();
    let host = own_host();
    let Ok(name_server) = UdpSocket::bind((host, 53)) else {
        skipped("no permission to use the port of a name server");
        return;
    };
    name_server.set_read_timeout(Some(PATIENCE)).unwrap();
    // It would take two minutes.
    let resolv = format!("nameserver {host}\noptions timeout:30 attempts:4\n");
    let files = [("/etc/resolv.conf", resolv.as_str()), ("/etc/nsswitch.conf", "hosts: dns\n")];
    let options = ["-h", "db1.test", "--connect-timeout", "0.3"];
    for args in [
        &[&["ping"], &options[..]].concat(),
        &[&["lock"], &options[..], &["x", "--", "echo", "ran"]].concat(),
        &[&["bench", "pair"], &options[..2]].concat(),
    ] {
        let Some(mut command) = officer_with_files(&files, &directory, args) else { return };
        let end = run(&mut command);
        end.expect_failure(69, "timed out resolving the host name");
        name_server.recv(&mut [0; 512]).expect("it was asked");
    }
}

#[test]
fn of_several_addresses_the_one_that_works_is_found() {
    let [first, second] = [own_host(), own_host()];
    let server = Server::start(&mut officer(&["run", "-h", &second.to_string(), "-p", "0"]));
    let directory = Directory::new();
    let (hosts, port) = (format!("{first} db1.test\n{second} db1.test\n"), server.port());
    // On the first address, with the same port, nobody is ever accepted.
    let hole = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    hole.bind(&std::net::SocketAddr::from((first, port.parse().unwrap())).into()).unwrap();
    let _queue = full_queue(&hole);
    let files = [("/etc/hosts", hosts.as_str()), ("/etc/nsswitch.conf", "hosts: files\n")];
    for command in [&["ping"][..], &["locks", "--json"], &["top", "--once"]] {
        let args = [command, &["-h", "db1.test", "-p", &port, "--connect-timeout", "5"]].concat();
        let Some(mut command) = officer_with_files(&files, &directory, &args) else { return };
        run(&mut command).expect_success();
    }
}

/// Connections that fill the queue of a listener.
fn full_queue(listener: &Socket) -> Vec<Socket> {
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    loop {
        let socket = Socket::new(address.domain(), Type::STREAM, None).unwrap();
        if socket.connect_timeout(&address, std::time::Duration::from_millis(100)).is_err() {
            return queue;
        }
        queue.push(socket);
    }
}

/// The third field of /proc/PID/stat: `S` for a process that sleeps, `T` for one that is stopped.
fn state(program: &Program) -> char {
    let stat = fs::read_to_string(format!("/proc/{}/stat", program.id())).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

#[test]
fn a_client_that_is_stopped_and_continued_goes_on_waiting_for_a_unix_socket() {
    let directory = Directory::new();
    let file = directory.file("officer.sock");
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&SockAddr::unix(&file).unwrap()).unwrap();
    let queue = full_queue(&listener);
    let args = ["ping", "-o", "UNIX", "-f", file.to_str().unwrap(), "--connect-timeout", "600"];
    let client = Program::start(&mut officer(&args));
    let has_socket = || {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", client.id())).unwrap();
        let mut targets = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        targets.any(|target| target.to_string_lossy().starts_with("socket:"))
    };
    for _ in 0..3 {
        eventually("it waits", || has_socket() && state(&client) == 'S');
        client.signal(Signal::STOP);
        eventually("it is stopped", || state(&client) == 'T');
        client.signal(Signal::CONT);
    }
    let listener = UnixListener::from(std::os::fd::OwnedFd::from(listener));
    queue.iter().for_each(|_| drop(listener.accept().unwrap()));
    // A server of another kind; the connection is made all the same.
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(b"welcome\n").unwrap();
    client.end().expect_failure(69, "It sent: welcome");
}
