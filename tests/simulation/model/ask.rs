//! What clients ask.

use crate::sizes::{Id, Span, Whole};

/// A request. [`Request::line`] is what a client would send.
#[derive(Clone, Debug)]
pub struct Request {
    pub ask: Ask,
    pub owner: Option<Id>,
    pub id: Option<Id>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Ask {
    Lock(Box<Lock>),
    Unlock {
        target: Target,
        token: Option<u64>,
    },
    Renew {
        target: Target,
        token: Option<u64>,
        lease: Option<Span>,
    },
    /// Whether it is allowed is another's business.
    Revoke {
        name: String,
        token: Option<u64>,
        /// As listings show it.
        connection: Option<String>,
    },
    /// `to`: as listings show it. None: the asker's own connection.
    Transfer {
        name: String,
        to: Option<String>,
        to_owner: Option<Id>,
        token: Option<u64>,
    },
    Reset,
    Locks,
    /// A page that has room for all locks.
    Page {
        prefix: String,
        is_contended: bool,
        has_detail: bool,
    },
    /// One lock.
    One {
        name: String,
        has_detail: bool,
    },
    Connections,
    MyLocks,
    /// The same as a page that has room for all of them.
    MyLocksPage {
        has_detail: bool,
    },
    KeepAlive,
    Ping,
}

/// `name`, or `names`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    One(String),
    Several(Vec<String>),
}

/// The fields of `lock`. None: the field is absent.
#[derive(Clone, Debug)]
pub struct Lock {
    pub target: Target,
    pub timeout: Option<Span>,
    pub queue_max: Option<Whole>,
    pub extra: Extra,
}

/// Those of its fields that the original did not have.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    pub fence: Option<bool>,
    pub mode: Option<Mode>,
    pub slots: Option<Whole>,
    pub lease: Option<Span>,
    pub any: Option<bool>,
    pub priority: Option<Whole>,
    pub refuses_deadlock: bool,
    pub min_hold: Option<Span>,
    pub lost_delay: Option<Span>,
    pub label: Option<String>,
    pub progress: Option<bool>,
    pub hint: Option<bool>,
}

/// The values of `mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Exclusive,
    Shared,
}

impl Lock {
    /// With the fields of the original.
    pub fn plain(name: &str, timeout: Option<Span>, queue_max: Option<Whole>) -> Self {
        Lock { target: Target::One(name.to_owned()), timeout, queue_max, extra: Extra::default() }
    }
}

impl Target {
    pub fn names(&self) -> &[String] {
        match self {
            Target::One(name) => std::slice::from_ref(name),
            Target::Several(names) => names,
        }
    }
}

impl Extra {
    /// Whether it is for a hold that nobody shares.
    pub fn is_exclusive(&self) -> bool {
        self.mode != Some(Mode::Shared) && self.slots.is_none()
    }

    /// Whether it has none of them.
    pub fn is_empty(&self) -> bool {
        let Extra { fence, mode, slots, lease, any, priority, refuses_deadlock, .. } = self;
        let Extra { min_hold, lost_delay, label, progress, hint, .. } = self;
        let flags = [fence, any, progress, hint];
        let spans = [lease, min_hold, lost_delay];
        let wholes = [slots, priority];
        let has_none = flags.iter().all(|flag| flag.is_none())
            && spans.iter().all(|span| span.is_none())
            && wholes.iter().all(|whole| whole.is_none());
        has_none && mode.is_none() && !refuses_deadlock && label.is_none()
    }
}

impl Request {
    /// The owner, if the command knows that field.
    pub fn known_owner(&self) -> Option<&str> {
        let knows = match &self.ask {
            Ask::Lock(_) | Ask::Unlock { .. } | Ask::Renew { .. } | Ask::Revoke { .. } | Ask::Transfer { .. } => true,
            Ask::Reset | Ask::MyLocks | Ask::MyLocksPage { .. } => true,
            Ask::Locks | Ask::Page { .. } | Ask::One { .. } | Ask::Connections | Ask::KeepAlive | Ask::Ping => false,
        };
        self.owner.as_ref().filter(|_| knows).map(|owner| owner.returned.as_str())
    }

    /// The lock or locks that it names.
    pub fn target(&self) -> Option<Target> {
        match &self.ask {
            Ask::Lock(lock) => Some(lock.target.clone()),
            Ask::Unlock { target, .. } | Ask::Renew { target, .. } => Some(target.clone()),
            Ask::Revoke { name, .. } | Ask::One { name, .. } | Ask::Transfer { name, .. } => {
                Some(Target::One(name.clone()))
            }
            Ask::Reset | Ask::Locks | Ask::Page { .. } | Ask::Connections | Ask::MyLocks => None,
            Ask::MyLocksPage { .. } | Ask::KeepAlive | Ask::Ping => None,
        }
    }
}
