//! Which of the things that a server did in one turn belong to which part of the turn.

use super::connection::Phase;
use super::{Asked, Event, Expected, Number};
use crate::memory::Call;

impl Expected {
    /// Whether the server did this while it took input.
    pub(super) fn is_of_input(&self, event: &Event) -> bool {
        match event {
            Event::Call(_, call) => {
                matches!(call, Call::Read { .. } | Call::ReadNothing | Call::ReadEnd | Call::ReadFailed)
            }
            Event::Received(..) => true,
            Event::Refused(number, _) => self.is_too_long(*number),
            Event::Listed(..) | Event::Timely(..) | Event::Deadlocked(..) | Event::Ended(..) => false,
            Event::Counted(..) | Event::Happened(..) => false,
        }
    }

    /// Whether the next line of a connection is over the limit, and it is its turn.
    pub(super) fn is_too_long(&self, number: Number) -> bool {
        let line_bytes_max = self.limits.line_bytes_max;
        let connection = &self.connections[number];
        let is_served = connection.phase == Phase::Open && connection.unsent < self.limits.outbox_pause_bytes;
        is_served && connection.next_line(line_bytes_max).is_some_and(|line| line.is_over(line_bytes_max))
    }

    /// Whether a connection begins with another protocol, as far as it has been read. `new` bytes were read just now.
    pub(super) fn is_foreign(&mut self, number: Number, new: usize) -> bool {
        let connection = &self.connections[number];
        let Some(line) = connection.lines.iter().find(|line| !line.is_blank()) else { return false };
        let Asked::Foreign { known_after } = line.asked else { return false };
        if connection.phase != Phase::Open || connection.read < line.start + known_after as u64 {
            return false;
        }
        let kinds = [
            (connection.read - new as u64 > line.start, "another protocol in pieces"),
            (line.start > 0, "another protocol after blank lines"),
            (line.end < connection.read, "another protocol with more in the same read"),
        ];
        kinds.into_iter().filter(|(is_so, _)| *is_so).for_each(|(_, kind)| self.coverage.count(kind));
        true
    }

    /// How many of a turn's events, after those of input, come of looking at connections that were silent or took
    /// nothing. Who took nothing for so long is tried once more before it is closed, and if the poll says just then that
    /// it takes something again, the same write may also be an ordinary one. So there may be several answers.
    pub(super) fn looks(&self, events: &[Event]) -> Vec<usize> {
        let mut tried: Vec<Number> = Vec::new();
        let mut looks = vec![0];
        for (index, event) in events.iter().enumerate() {
            let (Event::Ended(number, _)
            | Event::Refused(number, _)
            | Event::Listed(number, _)
            | Event::Deadlocked(number, _)
            | Event::Timely(number, _)
            | Event::Counted(number, _)
            | Event::Happened(number, _)
            | Event::Received(number, _)
            | Event::Call(number, _)) = event;
            let connection = &self.connections[*number];
            let is_stalled = connection.unsent > 0 && self.is_stalled(connection);
            let is_looked_at = matches!(connection.phase, Phase::Open | Phase::Draining(_));
            match event {
                // Or else it is what the timeouts or the ends of others have brought about.
                Event::Ended(..) if !self.ends.contains(number) && self.why(*number).is_some() => looks.push(index + 1),
                Event::Call(_, Call::Dropped) => match connection.phase {
                    Phase::Draining(_) if is_stalled => looks.push(index + 1),
                    Phase::Lingering { .. } | Phase::Closing => {}
                    // Sessions have ended: that comes later.
                    _ => break,
                },
                Event::Call(_, call) if is_write(*call) && !tried.contains(number) => {
                    tried.push(*number);
                    if is_looked_at && connection.is_blocked {
                        looks = vec![index + 1];
                    } else if is_looked_at && is_stalled {
                        looks.push(index + 1);
                    } else {
                        break;
                    }
                }
                _ => {}
            }
        }
        looks
    }
}

fn is_write(call: Call) -> bool {
    matches!(call, Call::Wrote(_) | Call::WriteBlocked | Call::WriteInterrupted | Call::WriteFailed)
}
