//! What only the process knows, and its surroundings.

use crate::time::Span;

/// What the server can't see by itself. Whoever runs it says so at the start, and again when it may have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// Whether anybody on other machines can take locks.
    pub is_open: bool,
    /// Whether the last reload was successful. Until the first one, the start counts.
    pub is_reloaded: bool,
    /// When the certificate for TLS expires, in seconds since 1970. None: there is none, or it is not known.
    pub certificate_expires: Option<u64>,
    /// What the system says of the process. None: it can't be told.
    pub process: Option<Process>,
}

/// What the system says of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Time of the processors that it has used, its own and the kernel's for it.
    pub cpu: Span,
    /// Memory that it has, in bytes.
    pub resident_bytes: u64,
    /// Addresses that it has, in bytes.
    pub virtual_bytes: u64,
    /// When it was started, since 1970.
    pub started: Span,
    /// Descriptors that are open. None: the kernel does not tell (before Linux 6.2).
    pub open_descriptors: Option<u64>,
    /// Descriptors that it may have.
    pub descriptors_max: u64,
}
