//! The users file: read at the start and at reloads.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::{fs, thread};

use rustix::process::{Signal, geteuid, kill_process};
use serde_json::json;

use crate::background::{Background, End, connect};
use crate::support::client::{Address, Client, lock};
use crate::support::patience::{Ending, eventually};
use crate::support::server::{Server, officer};
use crate::support::users::{hello, table};

/// A user that proves itself by this secret, `open sesame`, and may lock everything.
const ANN: &str = "[users.ann]
secret_sha256 = \"41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb\"
locks = [\"\"]
";
const HELLO: &str = r#"{"command":"hello","user":"ann","secret":"open sesame"}"#;

/// A server in the background with a socket file, and a file of users.
struct World {
    background: Background,
    users: PathBuf,
}

impl World {
    fn new(users: &str) -> World {
        let background = Background::new();
        let users_file = background.file("users.toml");
        let world = World { background, users: users_file };
        world.write(users);
        world
    }

    fn write(&self, users: &str) {
        fs::write(&self.users, users).unwrap();
        fs::set_permissions(&self.users, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    }

    fn options(&self) -> [String; 4] {
        let list = format!("unix:{},tcp://127.0.0.1:0", self.background.file("officer.sock").display());
        ["--listen".to_owned(), list, "--users".to_owned(), self.users.to_str().unwrap().to_owned()]
    }

    fn run(&self, command: &str) -> End {
        let options = self.options();
        self.background.run(command, &options.each_ref().map(String::as_str))
    }

    /// Connects by the socket file.
    fn connect(&self) -> Client {
        connect(&Address::Unix(self.background.file("officer.sock")))
    }
}

/// A user that the tests' own user is, on a UNIX socket.
fn us(locks: &str) -> String {
    format!("[users.us]\nuid = {}\nlocks = [{locks}]\n", geteuid().as_raw())
}

#[test]
fn the_user_of_a_unix_socket_s_peer_is_known_by_the_system() {
    let world = World::new(&us("\"boss:\""));
    let started = world.run("start").expect_success();
    let mut ann = world.connect();
    ann.acquire("boss:17");
    assert_eq!(ann.ask(lock("player:4"))["reason"], "not_allowed");
    // Over TCP nothing is known.
    let tcp = started.lines().find_map(|line| line.strip_prefix("officer: listening on tcp://")).unwrap();
    let mut stranger = connect(&Address::of(tcp));
    assert_eq!(stranger.ask(lock("boss:18"))["reason"], "not_authenticated");
    stranger.expect_end();
}

#[test]
fn a_reload_takes_over_what_the_file_says_and_a_bad_file_changes_nothing() {
    let world = World::new(&us("\"boss:\""));
    world.run("start").expect_success();
    let mut ann = world.connect();
    ann.acquire("boss:17");

    world.write(&us("\"player:\""));
    world.background.run("reload", &[]).expect_success();
    assert_eq!(ann.ask(lock("boss:18"))["reason"], "not_allowed");
    ann.acquire("player:4");
    // What it has, it keeps.
    ann.release("boss:17");
    eventually("the log says so, whatever its level", || world.background.log().contains("reloaded: 1 users"));

    world.write("[users.us]\nlocks = 7\n");
    for times in 1..3 {
        let said = "not reloaded, the server goes on as before: the users file ";
        let end = world.background.run("reload", &[]);
        end.expect_failure(1, said);
        assert!(end.stderr.contains("line 2"), "{end:?}");
        let count = || world.background.log().matches(said).count();
        eventually("the log says so, whatever its level", || count() == times);
    }
    ann.acquire("player:5");
    fs::remove_file(&world.users).unwrap();
    world.background.run("reload", &[]).expect_failure(1, "there is no users file");
    ann.acquire("player:6");
    // One that is gone meanwhile.
    world.write(ANN);
    world.background.run("reload", &[]).expect_success();
    ann.expect_end();
}

#[test]
fn a_bad_file_keeps_a_server_from_starting_and_from_being_replaced() {
    let world = World::new("[users.us]\nlocks = 7\n");
    let said = format!("the users file {:?} can't be used: line 2: ", world.users);
    world.run("start").expect_failure(1, &said);
    let options = world.options();
    let args: Vec<&str> = options.iter().map(String::as_str).collect();
    for run in [&["run"][..], &["run", "--check"]] {
        End::of(&mut officer(&[run, &args].concat())).expect_failure(1, &said);
    }
    let mut by_variable = officer(&["run", "-p", "0"]);
    End::of(by_variable.env("OFFICER_USERS", &world.users)).expect_failure(1, &said);
    assert!(!world.background.file("officer.sock").exists());

    world.background.start(&[]);
    let pid = world.background.pid();
    world.run("restart").expect_failure(1, &said);
    assert_eq!(world.background.pid(), pid);
    world.write(ANN);
    assert_eq!(End::of(&mut officer(&[&["run", "--check"], args.as_slice()].concat())).expect_success(), "");
    let both = [&["run", "--check", "--kick-from-anywhere"], args.as_slice()].concat();
    End::of(&mut officer(&both)).expect_failure(1, "leave the first out, and give users the right with admin = true");
}

#[test]
fn a_file_that_everybody_can_read_is_warned_about_each_time() {
    let world = World::new(ANN);
    fs::set_permissions(&world.users, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let end = world.run("start");
    let warning = format!("all users of this machine may use the users file {:?}", world.users);
    assert!(end.code == 0 && end.stderr.contains(&warning), "{end:?}");
    assert!(!world.background.log().contains(&warning));
    world.background.run("reload", &[]).expect_success();
    eventually("the log says so", || world.background.log().contains(&warning));
}

#[test]
fn secrets_and_people_without_names_are_kept_off_networks() {
    let world = World::new(ANN);
    let users = world.users.to_str().unwrap();
    let everywhere =
        |options: &[&str]| officer(&[&["run", "-h", "0.0.0.0", "-p", "0", "--users", users], options].concat());
    End::of(&mut everywhere(&["--open"])).expect_failure(1, "use tls:// there, or allow it with --plain-secrets");
    let by_http = ["run", "--listen", "http://0.0.0.0:0", "--users", users];
    End::of(&mut officer(&by_http)).expect_failure(1, "use https:// there, or allow it with --plain-secrets");
    drop(Server::start(officer(&by_http).arg("--plain-secrets")));
    // Without users it is for probes alone, and no lock is taken there.
    assert_eq!(Server::start(&mut officer(&by_http[..3])).end(), [""; 0]);
    let server = Server::start(&mut everywhere(&["--plain-secrets"]));
    let local = Address::Tcp(([127, 0, 0, 1], server.address().tcp().port()).into());
    let mut ann = connect(&local);
    assert_eq!(ann.ask(HELLO)["result"], "hello");
    ann.acquire("db");

    // A reload that would open it to everybody is refused.
    world.write(&format!("{ANN}[anonymous]\nfrom = [\"anywhere\"]\nlocks = [\"\"]\n"));
    server.signal(Signal::HUP);
    server.log().wait_for("change [anonymous] in the file of users, or allow it with --open");
    assert_eq!(connect(&local).ask(lock("other"))["reason"], "not_authenticated");
    drop(server);
    End::of(&mut everywhere(&["--plain-secrets"])).expect_failure(1, "change [anonymous] in the file of users");
    let server = Server::start(everywhere(&["--plain-secrets"]).env("OFFICER_OPEN", "1"));
    connect(&Address::Tcp(([127, 0, 0, 1], server.address().tcp().port()).into())).acquire("db");
}

#[test]
fn a_log_is_rotated_and_the_users_are_read_by_the_same_signal() {
    let world = World::new(&us("\"boss:\""));
    world.run("start").expect_success();
    let (log, moved) = (world.background.file("officer.log"), world.background.file("moved"));
    fs::rename(&log, &moved).unwrap();
    world.write(&us("\"player:\""));
    kill_process(world.background.pid(), Signal::HUP).unwrap();
    eventually("the new log says it", || fs::read_to_string(&log).is_ok_and(|log| log.contains("reloaded")));
    world.connect().acquire("player:4");
    assert_eq!(world.connect().ask(json!({"command": "ping"}))["result"], "pong");
}

/// What it is, how it comes to that, and what is said about it.
type BadFile = (&'static str, fn(&World), &'static str);

/// What is no file of users.
fn bad_files() -> [BadFile; 5] {
    [
        // In the middle of a string, as by an editor that is writing.
        ("torn", |world| world.write(&us("\"boss:\"").replace("\"]\n", "")), "can't be used: line 3: "),
        (
            "huge",
            |world| world.write(&format!("{}{}", us("\"\""), "#".repeat(1 << 20))),
            "is larger than 1048576 bytes",
        ),
        (
            "a directory",
            |world| {
                fs::remove_file(&world.users).unwrap();
                fs::create_dir(&world.users).unwrap();
            },
            "is not a regular file",
        ),
        ("removed", |world| fs::remove_dir(&world.users).unwrap(), "there is no users file"),
        ("empty", |world| world.write(""), "names nobody"),
    ]
}

#[test]
fn a_file_that_is_torn_huge_a_directory_gone_or_empty_starts_nothing_and_changes_no_rights() {
    let world = World::new(&us("\"boss:\""));
    world.run("start").expect_success();
    let mut ann = world.connect();
    ann.acquire("boss:17");
    let check = Background::new();
    let list = format!("unix:{}", check.file("officer.sock").display());
    for (number, (what, make, said)) in (1..).zip(bad_files()) {
        make(&world);
        println!("{what}");
        let started = check.run("start", &["--listen", &list, "--users", world.users.to_str().unwrap()]);
        started.expect_failure(1, said);
        let reload = world.background.run("reload", &[]);
        reload.expect_failure(1, "not reloaded, the server goes on as before: ");
        assert!(reload.stderr.contains(said), "{reload:?}");
        let lines = || world.background.log().matches("not reloaded, the server goes on as before: ").count();
        eventually("the log says so", || lines() == number);
        // Old rights stay, for who is here and for who comes.
        for client in [&mut ann, &mut world.connect()] {
            client.acquire("boss:18");
            client.release("boss:18");
            assert_eq!(client.ask(lock("player:4"))["reason"], "not_allowed");
        }
    }
}

#[test]
fn a_file_that_is_replaced_while_it_is_read_is_one_or_the_other_as_a_whole() {
    const RELOADS: usize = 50;
    const REPLACEMENTS: usize = 1_000;
    // Long, with something to tell them apart at either end.
    let text = |letter: char| {
        let table = |user| table(user, user, &format!("locks = [\"{letter}:\"]"));
        format!("{}{}{}", table("first"), "# nothing\n".repeat(90_000), table("last"))
    };
    let world = World::new(&text('a'));
    let started = world.run("start").expect_success();
    let tcp = started.lines().find_map(|line| line.strip_prefix("officer: listening on tcp://")).unwrap();
    let mut users = ["first", "last"].map(|user| {
        let mut client = connect(&Address::of(tcp));
        assert_eq!(client.ask(hello(user, user))["user"], user);
        client
    });
    let files = ['a', 'b'].map(|letter| (world.background.file(&letter.to_string()), text(letter)));
    let (is_over, replacements, mut reloads) = (AtomicBool::new(false), AtomicUsize::new(0), 0);
    let mut seen = [0, 0];
    thread::scope(|scope| {
        let _ending = Ending(&is_over);
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                for (file, text) in &files {
                    crate::support::users::write(file, text);
                    fs::rename(file, &world.users).unwrap();
                    replacements.fetch_add(1, Relaxed);
                }
            }
        });
        while reloads < RELOADS || replacements.load(Relaxed) < REPLACEMENTS {
            world.background.run("reload", &[]).expect_success();
            let may = users.each_mut().map(|user| {
                ["a:1", "b:1"].map(|name| {
                    let reply = user.ask(lock(name));
                    let has = reply["result"] == "acquired";
                    assert!(has || reply["reason"] == "not_allowed", "{reply}");
                    if has {
                        user.release(name);
                    }
                    has
                })
            });
            assert!(may[0] == may[1] && may[0][0] != may[0][1], "first and last may {may:?}");
            seen[usize::from(may[0][1])] += 1;
            reloads += 1;
        }
    });
    println!("{seen:?} of {reloads} reloads, {replacements:?} replacements");
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}
