//! What happens to locks.

/// What happened to a lock, for those who watch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "unstable"), non_exhaustive)]
pub enum Happening {
    /// Somebody holds it now.
    Granted,
    /// A holder gave it up, or is gone.
    Released,
    /// A request began to wait for it.
    Queued,
    /// A request stopped waiting for it without getting it.
    Left,
    /// The lease of a holder ran out.
    Expired,
    /// A hold was revoked.
    Revoked,
    /// Nobody holds it, and nobody gets it for a while.
    Closed,
    /// That is over.
    Opened,
}

impl Happening {
    #[cfg(feature = "client")]
    const ALL: [Self; 8] = [
        Happening::Granted,
        Happening::Released,
        Happening::Queued,
        Happening::Left,
        Happening::Expired,
        Happening::Revoked,
        Happening::Closed,
        Happening::Opened,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Happening::Granted => "granted",
            Happening::Released => "released",
            Happening::Queued => "queued",
            Happening::Left => "left",
            Happening::Expired => "expired",
            Happening::Revoked => "revoked",
            Happening::Closed => "closed",
            Happening::Opened => "opened",
        }
    }

    /// Reads the word on the wire. None: it is of a newer server.
    #[cfg(feature = "client")]
    pub(crate) fn read(word: &str) -> Option<Self> {
        Happening::ALL.into_iter().find(|happening| happening.as_str() == word)
    }
}

#[cfg(all(test, feature = "client"))]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_read_back_and_a_newer_one_is_not_taken_for_another() {
        for happening in Happening::ALL {
            assert_eq!(Happening::read(happening.as_str()), Some(happening));
        }
        assert_eq!(Happening::read("transferred"), None);
    }
}
