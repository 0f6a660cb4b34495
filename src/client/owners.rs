//! Which owner each thread is to the server.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::thread::ThreadId;

use super::Owner;
use super::lock_options::THREAD_OWNERS;

/// Numbers for the threads that hold or ask for something, the smallest that are free. 0 is the connection itself: the
/// requests of a client that uses one thread say nothing of an owner.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// The number of each thread, and how many of its holds have it.
    threads: HashMap<ThreadId, (u64, u32)>,
    free: BinaryHeap<Reverse<u64>>,
    /// All numbers below are in use or free.
    next: u64,
}

/// Who asks, in this client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The connection, whose server knows no owners.
    Connection,
    /// A thread with its number.
    Thread(ThreadId, u64),
    /// A request with a number of its own: its thread already has the lock in a guard, which may have been sent elsewhere.
    Request(u64),
    /// An owner of the program.
    Program(Owner),
}

impl Who {
    /// The field of a request.
    pub(super) fn owner(&self) -> Option<Owner> {
        match self {
            Who::Connection | Who::Thread(_, 0) | Who::Request(0) => None,
            Who::Thread(_, number) | Who::Request(number) => Some(Owner::Number(THREAD_OWNERS + number)),
            Who::Program(owner) => Some(owner.clone()),
        }
    }
}

impl Numbers {
    /// The thread asks for one more lock.
    pub(super) fn of_thread(&mut self, thread: ThreadId) -> Who {
        let number = match self.threads.get_mut(&thread) {
            Some((number, count)) => {
                *count += 1;
                *number
            }
            None => {
                let number = self.take();
                self.threads.insert(thread, (number, 1));
                number
            }
        };
        Who::Thread(thread, number)
    }

    pub(super) fn of_request(&mut self) -> Who {
        Who::Request(self.take())
    }

    /// What was asked for is no longer held or waited for.
    pub(super) fn give_back(&mut self, who: &Who) {
        match who {
            Who::Connection | Who::Program(_) => {}
            Who::Request(number) => self.free.push(Reverse(*number)),
            Who::Thread(thread, number) => {
                let (_, count) = self.threads.get_mut(thread).expect("a thread keeps its number while it is in use");
                *count -= 1;
                if *count == 0 {
                    self.threads.remove(thread);
                    self.free.push(Reverse(*number));
                }
            }
        }
    }

    fn take(&mut self) -> u64 {
        self.free.pop().map_or_else(
            || {
                self.next += 1;
                self.next - 1
            },
            |Reverse(number)| number,
        )
    }
}
