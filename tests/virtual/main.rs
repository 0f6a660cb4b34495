//! The server over sockets made of memory and in virtual time: what `officer run` runs, without the system around it.

mod conversations;
mod limits;
mod original;
mod random;
mod world;
