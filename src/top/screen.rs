//! The terminal: taken over, and restored whatever happens.

use std::io::{self, IsTerminal, Stdout};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Once};
use std::thread;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, DisableBracketedPaste, EnableBracketedPaste};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    self, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use rustix::process::Signal;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::Event;
use super::poller::Clock;
use crate::console::signals;

/// The whole terminal, until this is dropped.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal over.
    pub(super) fn take() -> io::Result<Self> {
        restore_at_panics();
        let taken = enter().and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match taken {
            Ok(terminal) => Ok(Screen { terminal }),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    /// Restores the terminal and stops, until the shell continues the program.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        restore();
        // To the whole job, as the terminal would, and not as SIGSTOP: where no shell could continue it, the system
        // ignores this signal.
        rustix::process::kill_current_process_group(Signal::TSTP)?;
        self.take_again()
    }

    /// Takes over the terminal again after the program was stopped: the shell has changed its modes and written to it.
    pub(super) fn take_again(&mut self) -> io::Result<()> {
        disable_raw_mode()?;
        enter()?;
        self.wipe()
    }

    /// Makes the next drawing draw everything.
    pub(super) fn wipe(&mut self) -> io::Result<()> {
        // Not `clear`, which asks the terminal for its cursor position: the thread that reads the keys would get the
        // answer.
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Switches the terminal to raw mode and to the alternate screen.
fn enter() -> io::Result<()> {
    // First: a program in the background is stopped here, before it has written anything to the screen.
    enable_raw_mode()?;
    IS_TAKEN.store(true, Ordering::SeqCst);
    // Pasted text must not act as keys: it may contain a "k" and a "y".
    execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste)
}

/// The terminal is ours.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Restores the terminal, unless that has been done: leaving the alternate screen twice moves the cursor, and would
/// overwrite a panic's message.
fn restore() {
    if !IS_TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // If the terminal is gone, there is nothing to restore.
    let _ = execute!(io::stdout(), DisableBracketedPaste, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// A panic's message belongs on the restored screen.
fn restore_at_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = Arc::new(panic::take_hook());
        panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
    });
}

/// Whether there is a terminal to draw on.
pub(super) fn is_there() -> bool {
    io::stdout().is_terminal()
}

/// The columns and lines of the terminal, if it reports them.
pub(super) fn size() -> Option<(u16, u16)> {
    let size = is_there().then(|| terminal::size().ok()).flatten();
    // Serial lines, and containers without a size, report 0.
    size.filter(|(columns, lines)| *columns > 0 && *lines > 0)
}

/// From now on keys and new sizes are events.
pub(super) fn listen_to_keys(clock: Clock, events: Sender<Event>) -> io::Result<()> {
    thread::Builder::new().name("officer-keys".to_owned()).spawn(move || {
        // When everything was read that was there to be read.
        let mut read_at = None;
        loop {
            // The thread that draws may be faster than this one. What was typed together must not become an answer to what
            // the first of it leads to.
            let next = event::poll(Duration::ZERO).and_then(|is_more| {
                read_at = read_at.filter(|_| is_more);
                event::read()
            });
            let (event, is_over) = match next {
                Ok(event) => (Event::Input(event, *read_at.get_or_insert_with(|| clock.now())), false),
                Err(error) => (Event::InputFailed(error), true),
            };
            if events.send(event).is_err() || is_over {
                return;
            }
        }
    })?;
    Ok(())
}

/// From now on signals that end the program, or report that it continues after a stop, are events.
pub(super) fn listen_to_signals(events: Sender<Event>) -> io::Result<()> {
    signals::listen([SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM], events, Event::Signal)
}
