//! A terminal for a test, made by tmux, whose own server is ended with the test.

use std::cell::RefCell;
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crate::support::directory::Directory;
use crate::support::patience::PATIENCE;
use crate::support::server::PROGRAM;
use crate::support::skip::skipped;

/// A terminal in which `officer top` was started.
pub(crate) struct Terminal {
    /// The name of tmux's socket.
    tmux: String,
    /// The screen as the test last saw it, to be printed if the test fails.
    last: RefCell<Vec<String>>,
    _home: Directory,
}

impl Terminal {
    /// Runs `officer top` with these options in a terminal of this size. When it exits, the shell that started it
    /// prints its exit status, and whether the terminal is as before. None: there is no tmux on this machine.
    pub(crate) fn start(size: (u16, u16), environment: &str, options: &[&str]) -> Option<Terminal> {
        let options: Vec<String> = options.iter().map(|option| format!("'{option}'")).collect();
        let line = format!(
            "env {environment} {PROGRAM} top {}; echo \"ended with $?\"; \
             stty -a | tr ' ;' '\\n\\n' | grep -x -e icanon -e echo | tr '\\n' ' '; echo; exec sleep 600",
            options.join(" ")
        );
        Terminal::running(size, &line)
    }

    /// An interactive shell, which can continue what was stopped. It restores the terminal's modes when a program was
    /// stopped that could not do so itself.
    pub(crate) fn of_shell(size: (u16, u16)) -> Option<Terminal> {
        let bash = Command::new("bash").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !bash.is_ok_and(|status| status.success()) {
            skipped("this machine has no bash");
            return None;
        }
        Terminal::running(size, "exec bash --norc --noprofile -i")
    }

    fn running(size: (u16, u16), line: &str) -> Option<Terminal> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let version = Command::new("tmux").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !version.is_ok_and(|status| status.success()) {
            skipped("this machine has no tmux");
            return None;
        }
        let tmux = format!("officer-top-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // The socket is in this directory, not where others of the same user have theirs.
        let home = Directory::new();
        let terminal = Terminal { tmux, last: RefCell::default(), _home: home };
        let (columns, lines) = (size.0.to_string(), size.1.to_string());
        terminal.tmux(&["-u", "-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &lines, line]);
        Some(terminal)
    }

    #[track_caller]
    fn tmux(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-S", self._home.file(&self.tmux).to_str().unwrap()]).args(args);
        // A test must not depend on the user's environment: neither their tmux, nor the variables that this program
        // reads.
        for variable in ["TMUX", "NO_COLOR", "COLUMNS", "LINES", "OFFICER_HOST", "OFFICER_PORT", "OFFICER_SOCKET_TYPE"]
        {
            command.env_remove(variable);
        }
        let output = command.env("SHELL", "/bin/sh").stdin(Stdio::null()).output().expect("tmux runs");
        assert!(output.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Presses keys, by the names that tmux has for them.
    pub(crate) fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Pastes a text, like terminals that mark pasted text.
    pub(crate) fn paste(&self, text: &str) {
        self.tmux(&["set-buffer", text]);
        self.tmux(&["paste-buffer", "-p"]);
    }

    pub(crate) fn resize(&self, columns: u16, lines: u16) {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &lines.to_string()]);
    }

    /// The lines of the screen.
    #[track_caller]
    pub(crate) fn screen(&self) -> Vec<String> {
        let lines: Vec<String> = self.tmux(&["capture-pane", "-p"]).lines().map(str::to_owned).collect();
        self.last.replace(lines.clone());
        lines
    }

    /// The screen with its colors and other escapes.
    pub(crate) fn painted(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// A flag of the terminal, from tmux.
    pub(crate) fn flag(&self, name: &str) -> String {
        self.tmux(&["display-message", "-p", &format!("#{{{name}}}")]).trim().to_owned()
    }

    /// The process that was started in the terminal.
    pub(crate) fn shell(&self) -> String {
        self.flag("pane_pid")
    }

    /// Waits until the screen meets the condition. Returns it.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn(&[String]) -> bool) -> Vec<String> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            assert!(Instant::now() < give_up, "still not so after {PATIENCE:?}: {what}");
            thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Waits until some line contains this. Returns the line.
    #[track_caller]
    pub(crate) fn wait_for(&self, part: &str) -> String {
        let screen =
            self.wait_until(&format!("{part:?} is shown"), |screen| screen.iter().any(|line| line.contains(part)));
        screen.into_iter().find(|line| line.contains(part)).unwrap()
    }

    /// Waits until the program has exited with this status, and checks that the terminal is as before.
    #[track_caller]
    pub(crate) fn expect_end(&self, status: u8) {
        self.wait_for(&format!("ended with {status}"));
        self.wait_until("the terminal is in line mode and echoes input", |screen| {
            screen.iter().any(|line| line.trim() == "icanon echo" || line.trim() == "echo icanon")
        });
        assert_eq!((self.flag("alternate_on"), self.flag("cursor_flag")), ("0".to_owned(), "1".to_owned()));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the screen:");
            self.last.borrow().iter().for_each(|line| eprintln!("  |{line}"));
        }
        let socket = self._home.file(&self.tmux);
        let _ = Command::new("tmux").arg("-S").arg(socket).arg("kill-server").stderr(Stdio::null()).status();
    }
}
