//! The full screen, driven by keys.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::directory::Directory;
use crate::support::patience::eventually;
use crate::support::server::{PROGRAM, Server, officer};
use crate::terminal::Terminal;
use crate::{holder, waiter};

/// `officer top` for a server.
fn top(server: &Server, size: (u16, u16), args: &[&str]) -> Option<Terminal> {
    Terminal::start(size, "", &[server.options().as_slice(), args].concat())
}

/// The position of a lock's row on the screen.
fn row_of(screen: &[String], name: &str) -> Option<usize> {
    screen.iter().position(|line| line.split(' ').next() == Some(name))
}

/// The program itself: the child of the terminal's shell.
fn program(terminal: &Terminal) -> Pid {
    let shell = terminal.shell();
    let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
    Pid::from_raw(children.split_whitespace().next().expect("it runs").parse().unwrap()).unwrap()
}

#[test]
fn holders_and_waiters_are_shown_at_every_size() {
    let server = Server::tcp(&[]);
    let mut ann = holder(&server, "boss:17", "ann");
    let _others = [holder(&server, "mail", "bob"), waiter(&server, "boss:17"), waiter(&server, "boss:17")];
    let name = ann.name();
    for size in [(80, 24), (120, 40), (40, 10)] {
        let Some(terminal) = top(&server, size, &[]) else { return };
        let screen = terminal.wait_until("the locks are shown", |screen| row_of(screen, "mail").is_some());
        assert_eq!(screen.len(), usize::from(size.1), "{screen:?}");
        assert!(screen[0].starts_with("2 locks, 2 waiters for 1 of them"), "{screen:?}");
        assert!(screen[1].starts_with("live; by LONGEST, largest first"), "{screen:?}");
        // Somebody waits for it, so it comes first.
        assert_eq!((row_of(&screen, "boss:17"), row_of(&screen, "mail")), (Some(3), Some(4)));
        assert!(screen[3].contains(&name), "{screen:?}");
        let cells: Vec<&str> = screen[3].split_whitespace().collect();
        let waiters = if size.0 >= 80 { cells[cells.len() - 2] } else { cells[cells.len() - 1] };
        assert_eq!(waiters, "2", "{screen:?}");
        assert_eq!(screen[3].contains(" ann "), size.0 >= 80, "{screen:?}");
        assert!(screen.last().unwrap().ends_with("?: help"), "{screen:?}");
        terminal.press(&["q"]);
        terminal.expect_end(0);
    }
}

#[test]
fn the_screen_is_live_and_takes_any_size() {
    let server = Server::unix(&[]);
    let Some(terminal) = top(&server, (80, 24), &["--interval", "0.1"]) else { return };
    terminal.wait_for("Nobody holds a lock.");
    let mut ann = holder(&server, "boss:17", "ann");
    terminal.wait_for("boss:17");
    let bob = waiter(&server, "boss:17");
    terminal.wait_for("1 lock, 1 waiter for 1 of them");
    for (columns, lines) in [(200, 50), (20, 4), (3, 2), (1, 1), (40, 10), (80, 24)] {
        terminal.resize(columns, lines);
        eventually("the terminal has the size", || terminal.flag("pane_width") == columns.to_string());
    }
    terminal.wait_until("the screen is complete again", |screen| {
        row_of(screen, "boss:17") == Some(3) && screen[2].ends_with("LONGEST") && screen[23].ends_with("?: help")
    });
    terminal.press(&["C-l"]);
    // The next in the queue.
    ann.release("boss:17");
    terminal.wait_for("1 lock, nobody waits");
    drop(bob);
    terminal.wait_for("Nobody holds a lock.");
    terminal.press(&["C-c"]);
    terminal.expect_end(0);
}

#[test]
fn a_deadlock_is_named_until_it_is_resolved() {
    let server = Server::tcp(&[]);
    let [mut ann, mut bob] = ["a", "b"].map(|name| holder(&server, name, name));
    let Some(terminal) = top(&server, (120, 24), &["--interval", "0.1"]) else { return };
    terminal.wait_for("2 locks, nobody waits");
    ann.queue_for("b");
    bob.queue_for("a");
    terminal.wait_for("DEADLOCK: ");
    terminal.press(&["Enter"]);
    terminal.wait_until("holder and waiter are marked", |screen| {
        let marked = screen.iter().filter(|line| line.contains("  DEADLOCK")).count();
        marked == 2 && screen[1].starts_with("DEADLOCK: ")
    });
    terminal.press(&["Escape"]);
    ann.release("a");
    bob.expect_acquired("a");
    terminal.wait_for("2 locks, 1 waiter for 1 of them");
    terminal.wait_until("nothing is marked", |screen| !screen.concat().contains("DEADLOCK"));
}

#[test]
fn rows_are_sorted_and_filtered_by_keys() {
    let server = Server::tcp(&[]);
    let _holders = ["a", "b", "c"].map(|name| holder(&server, name, &format!("client of {name}")));
    let _waiters = [waiter(&server, "b"), waiter(&server, "c"), waiter(&server, "c")];
    let Some(terminal) = top(&server, (80, 24), &["--sort", "waiters"]) else { return };
    let is_order = |order: &'static str| {
        move |screen: &[String]| {
            let row = |line: &String| line.split(' ').next().filter(|name| name.len() == 1).map(str::to_owned);
            screen.iter().skip(3).filter_map(row).collect::<String>() == order
        }
    };
    terminal.wait_until("the lock with most waiters is first", is_order("cba"));
    terminal.press(&["r"]);
    terminal.wait_until("the lock with fewest waiters is first", is_order("abc"));
    terminal.press(&[">"]);
    terminal.wait_for("by LONGEST, largest first");
    terminal.wait_until("the longest wait is first", is_order("bca"));
    terminal.press(&["Left", "Left", "Left", "Left", "Left", "Left"]);
    terminal.wait_for("by LOCK, A to Z");
    terminal.wait_until("the names are in order", is_order("abc"));
    terminal.press(&["/"]);
    terminal.wait_for("Enter: keep it");
    terminal.press(&["O", "F", "Space", "B"]);
    terminal.wait_until("one is left", is_order("b"));
    terminal.press(&["Enter"]);
    terminal.wait_for("1 with 'OF B'");
    terminal.press(&["Escape"]);
    terminal.wait_until("all are back", is_order("abc"));
    terminal.press(&["?"]);
    terminal.wait_for("Any key goes back");
    terminal.press(&["x"]);
    terminal.wait_until("the locks are back", is_order("abc"));
    terminal.press(&["Escape"]);
    terminal.expect_end(0);
}

#[test]
fn enter_shows_the_waiters_in_a_queue() {
    let server = Server::tcp(&[]);
    // Its name starts like that of another.
    let mut ann = holder(&server, "boss:1", "ann");
    let _other = holder(&server, "boss:17", "bob");
    let mut waiters = [waiter(&server, "boss:1"), waiter(&server, "boss:1")];
    let Some(terminal) = top(&server, (80, 24), &[]) else { return };
    terminal.wait_for("boss:17");
    terminal.press(&["Enter"]);
    terminal.wait_for("'boss:1': 2 waiters");
    let names = [ann.name(), waiters[0].name(), waiters[1].name()];
    let screen = terminal.screen();
    for (line, (place, name)) in screen[3..].iter().zip(["holder", "1", "2"].iter().zip(&names)) {
        assert_eq!(line.split_whitespace().take(2).collect::<Vec<_>>(), [*place, name.as_str()], "{screen:?}");
    }
    // Whether each of them is alive: the time since it last sent anything, its unsent bytes and its age.
    let screen = terminal.wait_until("the connections are shown", |screen| {
        screen[3..6].iter().all(|line| line.split_whitespace().nth(4) == Some("0"))
    });
    assert!(screen[2].ends_with("FOR  SILENT  UNSENT     AGE  CLIENT"), "{screen:?}");
    let cells: Vec<&str> = screen[3].split_whitespace().collect();
    assert!(cells[3].ends_with('s') && cells[5].ends_with('s') && cells[6] == "ann", "{screen:?}");
    ann.release("boss:1");
    terminal.wait_for("'boss:1': 1 waiter");
    terminal.wait_until("the first of them holds it", |screen| screen[3].contains(&names[1]));
    drop(waiters);
    terminal.wait_for("'boss:1' is free");
    terminal.press(&["Escape"]);
    terminal.wait_for("1 lock, nobody waits");
}

#[test]
fn a_holder_is_kicked_after_a_confirmation() {
    for server in [Server::tcp(&[]), Server::unix(&[])] {
        let mut ann = holder(&server, "boss:17", "ann");
        let mut bob = waiter(&server, "boss:17");
        let name = ann.locks()["boss:17"][0].as_str().unwrap().to_owned();
        let Some(terminal) = top(&server, (80, 24), &[]) else { return };
        terminal.wait_for("boss:17");
        terminal.press(&["k"]);
        terminal.wait_for(&format!("Kick {name} (ann), which holds 'boss:17' for "));
        terminal.press(&["n"]);
        terminal.wait_for("?: help");
        bob.expect_nothing_before_now();
        terminal.press(&["k"]);
        terminal.wait_for("Kick ");
        terminal.press(&["y"]);
        terminal.wait_for(&format!("{name} was kicked: its locks have passed on"));
        bob.expect_acquired("boss:17");
        ann.expect_end();
        terminal.wait_for("1 lock, nobody waits");
    }
}

#[test]
fn a_session_without_a_connection_is_kicked_by_its_name() {
    let server = Server::tcp(&[]);
    let mut ann = holder(&server, "boss:17", "ann");
    assert_eq!(ann.ask(r#"{"command":"hello","session":{"grace":300}}"#)["result"], "hello");
    let mut bob = waiter(&server, "boss:17");
    drop(ann);
    let Some(terminal) = top(&server, (120, 24), &[]) else { return };
    terminal.wait_for("disconnected, 4m");
    terminal.press(&["Enter"]);
    terminal.wait_for("'boss:17': 1 waiter");
    terminal.wait_for("disconnected, 4m");
    terminal.press(&["k"]);
    terminal.wait_for("Kick session:1 (ann), which holds 'boss:17' for ");
    terminal.press(&["y"]);
    terminal.wait_for("session:1 was kicked: its locks have passed on");
    bob.expect_acquired("boss:17");
}

#[test]
fn the_selected_waiter_is_kicked_out_of_a_queue() {
    let server = Server::tcp(&[]);
    // Another lock's name starts with this one, and comes later when the queue is fetched.
    let mut ann = holder(&server, "boss:1", "ann");
    ann.acquire("boss:17");
    let mut waiters = [waiter(&server, "boss:1"), waiter(&server, "boss:1"), waiter(&server, "boss:1")];
    let names: Vec<String> = waiters.iter_mut().map(|waiter| waiter.name()).collect();
    let Some(terminal) = top(&server, (80, 24), &["--interval", "0.1"]) else { return };
    terminal.wait_for("boss:17");
    terminal.press(&["Enter"]);
    terminal.wait_for("'boss:1': 3 waiters");
    terminal.press(&["Down", "Down", "k"]);
    terminal.wait_for(&format!("Kick {}, which waits for 'boss:1' for ", names[1]));
    // The one ahead leaves: the question stays the same.
    let [first, mut second, third] = waiters;
    drop(first);
    terminal.wait_for("'boss:1': 2 waiters");
    terminal.press(&["y"]);
    terminal.wait_for(&format!("{} was kicked", names[1]));
    second.expect_end();
    terminal.wait_for("'boss:1': 1 waiter");
    assert_eq!(ann.ask(r#"{"command":"ping"}"#)["result"], "pong");
    drop(third);
    terminal.wait_for("'boss:1': 0 waiters");
}

#[test]
fn pasted_or_typed_ahead_input_kicks_nobody() {
    let server = Server::tcp(&[]);
    let mut ann = holder(&server, "boss:17", "ann");
    let Some(terminal) = top(&server, (80, 24), &[]) else { return };
    terminal.wait_for("boss:17");
    terminal.paste("sky\nk\ny\n");
    terminal.press(&["/"]);
    terminal.wait_for("Enter: keep it");
    terminal.paste("boss:\nky");
    terminal.wait_for("/boss:_ ");
    terminal.press(&["Enter"]);
    terminal.wait_for("1 with 'boss:'");
    // Both arrive before the question is shown.
    let program = program(&terminal);
    kill_process(program, Signal::STOP).unwrap();
    terminal.press(&["k", "y"]);
    kill_process(program, Signal::CONT).unwrap();
    terminal.wait_for("Kick ");
    assert_eq!(ann.ask(r#"{"command":"ping"}"#)["result"], "pong");
    terminal.press(&["y"]);
    terminal.wait_for("was kicked");
    ann.expect_end();
}

#[test]
fn a_holder_that_has_released_since_the_question_is_not_kicked() {
    let server = Server::tcp(&[]);
    let mut ann = holder(&server, "boss:17", "ann");
    let Some(terminal) = top(&server, (80, 24), &[]) else { return };
    terminal.wait_for("boss:17");
    // It releases the lock and takes it again: that is not the hold that looked stuck.
    for is_again in [false, true] {
        terminal.press(&["k"]);
        terminal.wait_for("Kick ");
        ann.release("boss:17");
        let bob = (!is_again).then(|| holder(&server, "boss:17", "bob"));
        if is_again {
            // Holds that began closer together than this can't be distinguished.
            std::thread::sleep(std::time::Duration::from_millis(60));
            ann.acquire("boss:17");
        }
        terminal.press(&["y"]);
        terminal.wait_for("Not kicked: ");
        assert_eq!(ann.ask(r#"{"command":"ping"}"#)["result"], "pong");
        if let Some(mut bob) = bob {
            assert_eq!(bob.ask(r#"{"command":"ping"}"#)["result"], "pong");
            bob.release("boss:17");
            ann.acquire("boss:17");
            // The row is that of the new hold before the next question.
            terminal.wait_for(" ann ");
        }
    }
}

#[test]
fn a_server_that_goes_away_and_comes_back_is_shown_as_such() {
    let directory = Directory::new();
    let file = directory.file("officer.sock");
    let start = || Server::start(officer(&["run", "-o", "UNIX", "-f"]).arg(&file));
    let server = start();
    let ann = holder(&server, "boss:17", "ann");
    let Some(terminal) = top(&server, (100, 24), &["--interval", "0.2"]) else { return };
    terminal.wait_for("boss:17");
    server.end();
    drop(ann);
    terminal.wait_for("NO SERVER for ");
    terminal.wait_for("next try in ");
    // The last screen stays, and keys work.
    terminal.wait_for("boss:17");
    terminal.press(&["?"]);
    terminal.wait_for("Any key goes back");
    terminal.press(&["x"]);
    let server = start();
    terminal.wait_for("Nobody holds a lock.");
    let _bob = holder(&server, "mail", "bob");
    terminal.wait_for("mail");
    assert!(terminal.screen()[1].starts_with("live; "), "{:?}", terminal.screen());
    terminal.press(&["q"]);
    terminal.expect_end(0);
}

#[test]
fn a_signal_ends_it_and_restores_the_terminal() {
    let server = Server::tcp(&[]);
    let _ann = holder(&server, "boss:17", "ann");
    for (signal, status) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let Some(terminal) = top(&server, (80, 24), &[]) else { return };
        terminal.wait_for("boss:17");
        assert_eq!((terminal.flag("alternate_on"), terminal.flag("cursor_flag")), ("1".to_owned(), "0".to_owned()));
        kill_process(program(&terminal), signal).unwrap();
        terminal.expect_end(status);
    }
}

#[test]
fn a_program_that_was_stopped_has_the_terminal_again_when_it_continues() {
    let server = Server::tcp(&[]);
    let _others = [holder(&server, "boss:17", "ann"), waiter(&server, "boss:17")];
    let command = format!("{PROGRAM} top {}", server.options().join(" "));
    let Some(terminal) = Terminal::of_shell((80, 24)) else { return };
    terminal.press(&[&command, "Enter"]);
    terminal.wait_for("LONGEST");
    // By the key, by the same signal from elsewhere, and by SIGSTOP.
    for signal in [None, Some(Signal::TSTP), Some(Signal::STOP)] {
        match signal {
            None => terminal.press(&["C-z"]),
            Some(signal) => kill_process(program(&terminal), signal).unwrap(),
        }
        terminal.wait_for("Stopped");
        if signal.is_none() {
            assert_eq!((terminal.flag("alternate_on"), terminal.flag("cursor_flag")), ("0".to_owned(), "1".to_owned()));
        }
        terminal.press(&["fg", "Enter"]);
        terminal.wait_until("the screen is complete again", |screen| {
            row_of(screen, "boss:17") == Some(3)
                && screen[0].starts_with("1 lock, ")
                && screen[4..23].concat().is_empty()
        });
        // A key alone, without Enter.
        terminal.press(&["?"]);
        terminal.wait_for("Any key goes back");
        terminal.press(&["x"]);
        terminal.wait_for("?: help");
    }
    terminal.press(&["q"]);
    terminal.wait_until("the shell has the terminal", |_| terminal.flag("alternate_on") == "0");
}

#[test]
fn it_does_not_stop_where_no_shell_could_continue_it() {
    let server = Server::tcp(&[]);
    let _ann = holder(&server, "boss:17", "ann");
    let Some(terminal) = top(&server, (80, 24), &[]) else { return };
    terminal.wait_for("boss:17");
    terminal.press(&["C-z", "?"]);
    terminal.wait_for("Any key goes back");
    terminal.press(&["x", "q"]);
    terminal.expect_end(0);
}

#[test]
fn no_color_is_respected() {
    let server = Server::tcp(&[]);
    let _others = [holder(&server, "boss:17", "ann"), waiter(&server, "boss:17")];
    // What sets a color: 30 to 37 and 90 to 97, alone or after other attributes.
    let has_color = |painted: &str| {
        painted.split("\x1b[").skip(1).filter_map(|escape| escape.split_once('m')).any(|(numbers, _)| {
            numbers.split(';').any(|number| matches!(number.parse(), Ok(30..=38 | 40..=48 | 90..=107)))
        })
    };
    for (environment, expected) in [("", true), ("NO_COLOR=1", false)] {
        let Some(terminal) = Terminal::start((80, 24), environment, &server.options()) else { return };
        terminal.wait_for("boss:17");
        let painted = terminal.painted();
        assert_eq!(has_color(&painted), expected, "{painted:?}");
        assert!(painted.contains("\x1b[7m") || painted.contains(";7m"), "the cursor is marked: {painted:?}");
    }
}

#[test]
fn thousands_of_locks_are_shown_page_by_page() {
    const COUNT: usize = 20_000;
    let server = Server::tcp(&["--connection-locks-max", "100000"]);
    let mut ann = holder(&server, "first", "ann");
    for number in 0..COUNT {
        ann.send(crate::support::client::lock(&format!("player:{number:05}:inventory")));
    }
    (0..COUNT).for_each(|_| drop(ann.receive_line()));
    let _waiter = waiter(&server, "player:17777:inventory");
    let Some(terminal) = top(&server, (80, 24), &["--interval", "0.1"]) else { return };
    terminal.wait_for("20,001 locks, 1 waiter for 1 of them");
    let screen = terminal.screen();
    assert!(screen[3].starts_with("player:17777:inventory "), "{screen:?}");
    // Not among the first thousand in the previous order: for a new order all locks are fetched again.
    terminal.press(&["Left", "Left", "Left", "Left", "Left", "Left", "r"]);
    terminal.wait_until("the last name is first", |screen| {
        screen[3].starts_with("player:19999:inventory ") && screen[1].contains("by LOCK, Z to A")
    });
    terminal.press(&["/", "1", "2", "3", "4", "5", "Enter"]);
    terminal.wait_for("1 with '12345'");
    terminal.press(&["Enter"]);
    terminal.wait_for("'player:12345:inventory': 0 waiters");
}
