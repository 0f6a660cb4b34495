//! The server over TLS: the same conversations, whatever the pieces, and everything that can go wrong with a handshake.

mod conversation;
mod files;
mod handshake;
mod output;
mod pair;
