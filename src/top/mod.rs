//! `officer top`: the locks of a running server, live.
//!
//! Three threads: one queries the server, one reads the keys, and this one keeps the state and draws. They share one
//! channel of events.

mod circles;
mod help;
mod keys;
mod life;
mod model;
mod picture;
mod poller;
mod row;
mod screen;
mod text;
mod view;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use clap::Args;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::Event as Input;
use ratatui::layout::Rect;
use signal_hook::consts::SIGCONT;

use self::keys::Action;
use self::model::Model;
use self::poller::{Clock, News, Order, Poller};
use self::row::{Column, Filter, Moment, Sort};
use self::screen::Screen;
use self::view::Theme;
use crate::client::Client;
use crate::console::Failure;
use crate::console::address::ServerOptions;
use crate::console::exit;
use crate::console::shown::Count;
use crate::console::values::{Seconds, interval};

/// Times on the screen advance, with or without news.
const DRAW_EVERY: Duration = Duration::from_millis(500);
/// A loss of the server is noticed within this time.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// The screen that `--once` prints if its size is unknown.
const ONCE_COLUMNS: u16 = 80;
const ONCE_LINES: u16 = 24;

const AFTER: &str = "\
The locks whose first waiter has waited longest come first. SILENT is how long the holder had been silent when it was last \
seen. All connections and locks are fetched page by page, at most a tenth of the time, so that neither the server nor this \
program works hard when there are many. The screen shows the period that a scan covered, and the first 1,000 rows. '?' \
explains the keys. DEADLOCK names clients that wait for each other in a circle, among the locks that are shown; one of them has to \
be ended, kicked, or have a lock revoked. A server accepts a kick only from its own machine, unless it runs with \
--kick-from-anywhere; a server with users only from a user with admin = true.

With --once the size of the screen is COLUMNS x LINES, or that of the terminal, or 80 x 24. NO_COLOR is respected.

Exit status:
  0   left by a key, or the screen was printed
  1   the terminal can't be used, or the output can't be written
  2   the command line is wrong, or there is no terminal for a full screen
  69  there is no connection to a server at the start";

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true, after_help = AFTER)]
pub(super) struct Options {
    /// Only locks whose names start with this
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,

    /// Only what contains this text in the lock's name, its holder's address or its client's name
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    filter: String,

    /// Column to sort by; numbers come largest first
    #[arg(long, value_name = "COLUMN", default_value = "longest")]
    sort: Column,

    /// Reverse the order
    #[arg(long)]
    reverse: bool,

    /// Time between two queries to the server, at least 0.1
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    interval: Seconds,

    /// Print one screen as text, and exit
    #[arg(long)]
    once: bool,

    #[command(flatten)]
    server: ServerOptions,
}

/// Everything that can happen.
#[derive(Debug)]
enum Event {
    /// A key, a new size, or pasted text, and when it was read. What could be read together has the same time.
    Input(Input, Moment),
    /// No more keys can be read.
    InputFailed(io::Error),
    News(News),
    Signal(i32),
    /// The thread that queries the server has ended, which happens only by a panic.
    PollerEnded,
}

impl Options {
    fn sort(&self) -> Sort {
        let sort = Sort::by(self.sort);
        Sort { is_descending: sort.is_descending != self.reverse, ..sort }
    }

    fn model(&self) -> Model {
        Model::new(self.server.shown(), self.prefix.clone(), self.sort(), self.filter.clone(), self.interval.0)
    }
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    if options.once {
        return once(options).map(|()| ExitCode::SUCCESS);
    }
    if !screen::is_there() {
        return Err(Failure::Usage(
            "stdout is not a terminal; 'officer top --once' prints one screen as text, 'officer locks' all locks"
                .to_owned(),
        ));
    }
    // Any other terminal is assumed to support what current terminals support.
    if env::var_os("TERM").is_some_and(|terminal| terminal == "dumb") {
        return Err(Failure::Usage(
            "TERM is 'dumb', which has no full screen; 'officer top --once' prints one screen as text".to_owned(),
        ));
    }
    let client = options.server.client_options()?.keep_alive(KEEP_ALIVE).connect();
    let client = client.map_err(|error| options.server.failure(error))?;
    let (sender, events) = channel();
    screen::listen_to_signals(sender.clone()).map_err(Failure::System)?;
    let (orders, inbox) = channel();
    let clock = Clock::start();
    poll(options, client, clock, inbox, sender.clone()).map_err(Failure::System)?;
    let mut screen = Screen::take().map_err(Failure::Terminal)?;
    screen::listen_to_keys(clock, sender).map_err(Failure::System)?;
    let live = Live { model: options.model(), clock, orders, theme: Theme { has_color: has_color(), is_live: true } };
    let left = live.run(&mut screen, &events);
    drop(screen);
    match left? {
        // As if it had not been caught: its sender sees that it worked.
        Some(signal) => Ok(exit::die_of(signal)),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn has_color() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Starts the thread that queries the server.
fn poll(
    options: &Options,
    client: Client,
    clock: Clock,
    orders: Receiver<Order>,
    events: Sender<Event>,
) -> io::Result<()> {
    /// Reports the end of the thread, also by a panic.
    struct End(Sender<Event>);
    impl Drop for End {
        fn drop(&mut self) {
            let _ = self.0.send(Event::PollerEnded);
        }
    }
    let (prefix, interval) = (options.prefix.clone(), options.interval.0);
    thread::Builder::new().name("officer-poller".to_owned()).spawn(move || {
        let end = End(events);
        let tell = |news| end.0.send(Event::News(news)).is_ok();
        Poller { client, clock, prefix, interval, orders, tell }.run();
    })?;
    Ok(())
}

/// The full screen.
struct Live {
    model: Model,
    clock: Clock,
    orders: Sender<Order>,
    theme: Theme,
}

impl Live {
    /// Runs until the user leaves or a signal arrives. Returns the signal.
    fn run(mut self, screen: &mut Screen, events: &Receiver<Event>) -> Result<Option<i32>, Failure> {
        let order = self.model.order();
        self.order(order);
        loop {
            let size = screen.terminal.size().map_err(Failure::Terminal)?;
            let (now, area) = (self.clock.now(), Rect::from(size));
            self.model.keep_within(view::table_height(&self.model, area, now));
            let draw = |frame: &mut ratatui::Frame<'_>| view::draw(frame.buffer_mut(), &self.model, self.theme, now);
            screen.terminal.draw(draw).map_err(Failure::Terminal)?;
            if view::has_room_for_question(area) {
                self.model.question_is_seen(self.clock.now());
            }
            let first = events.recv_timeout(DRAW_EVERY).ok();
            // All pending events are handled before drawing: repeating keys are faster than some terminals.
            for event in first.into_iter().chain(events.try_iter()) {
                match self.take(event, area) {
                    Ok(Action::Nothing) => {}
                    Ok(Action::Order(order)) => self.order(order),
                    Ok(Action::Redraw) => screen.wipe().map_err(Failure::Terminal)?,
                    Ok(Action::Suspend) => screen.suspend().map_err(Failure::Terminal)?,
                    Ok(Action::GoOn) => screen.take_again().map_err(Failure::Terminal)?,
                    Ok(Action::Leave) => return Ok(None),
                    Err(Left::Signal(signal)) => return Ok(Some(signal)),
                    Err(Left::Failure(failure)) => return Err(failure),
                }
            }
        }
    }

    fn order(&self, order: Order) {
        // The end of the poller has its own event.
        let _ = self.orders.send(order);
    }

    fn take(&mut self, event: Event, area: Rect) -> Result<Action, Left> {
        let now = self.clock.now();
        match event {
            Event::Input(Input::Key(key), read_at) => {
                let height = view::table_height(&self.model, area, now);
                Ok(keys::press(&mut self.model, key, height, read_at))
            }
            Event::Input(Input::Paste(text), _) => Ok(keys::paste(&mut self.model, &text)),
            // The terminal may have rearranged the old screen.
            Event::Input(Input::Resize(..), _) => Ok(Action::Redraw),
            Event::Input(..) => Ok(Action::Nothing),
            Event::News(news) => {
                self.model.learn(news, now);
                Ok(Action::Nothing)
            }
            Event::Signal(SIGCONT) => Ok(Action::GoOn),
            Event::Signal(signal) => Err(Left::Signal(signal)),
            Event::InputFailed(error) => Err(Left::Failure(Failure::Terminal(error))),
            Event::PollerEnded => Err(Left::Failure(Failure::System(io::Error::other(
                "internal error: the thread that queries the server has ended",
            )))),
        }
    }
}

/// Why the full screen ends, other than by a key.
enum Left {
    Signal(i32),
    Failure(Failure),
}

/// One screen, as text.
fn once(options: &Options) -> Result<(), Failure> {
    let client = options.server.connect()?;
    let clock = Clock::start();
    let mut model = options.model();
    let picture = picture::look_once(&client, clock, &options.prefix, &Filter::new(&options.filter), options.sort())
        .map_err(|error| options.server.failure(error))?;
    let taken = picture.counts.taken;
    model.take(picture);
    let (columns, lines) = once_size();
    let mut buffer = Buffer::empty(Rect::new(0, 0, columns, lines));
    view::draw(&mut buffer, &model, Theme { has_color: false, is_live: false }, clock.now());
    let mut text = view::text(&buffer);
    while text.last().is_some_and(String::is_empty) {
        text.pop();
    }
    // Without the two lines at the top and the column heads.
    let shown = text.len().saturating_sub(3) as u64;
    if taken > shown {
        let is_full = text.len() == usize::from(lines);
        if is_full {
            text.pop();
        }
        text.push(format!("and {} more", Count(taken - shown + u64::from(is_full))));
    }
    let mut out = io::stdout().lock();
    text.iter().try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush()).map_err(Failure::Output)
}

/// The number of columns and lines of the screen.
fn once_size() -> (u16, u16) {
    let variable = |name: &str| env::var(name).ok()?.parse().ok().filter(|size| *size > 0);
    let terminal = screen::size();
    let columns = variable("COLUMNS").or(terminal.map(|(columns, _)| columns)).unwrap_or(ONCE_COLUMNS);
    let lines = variable("LINES").or(terminal.map(|(_, lines)| lines)).unwrap_or(ONCE_LINES);
    // With less nothing can be shown.
    (columns.clamp(20, 1000), lines.clamp(5, 10_000))
}
