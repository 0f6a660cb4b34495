//! What kind of lock `officer lock` asks for.

use std::collections::HashSet;
use std::time::Duration;

use clap::Args;

use crate::client::{LockOptions, Mode};
use crate::console::shown::Shown;
use crate::console::values::{Seconds, seconds_above_zero};
use crate::wire::request::{CLOSING_SECONDS_MAX, LABEL_BYTES_MAX, NAMES_MAX, PRIORITY_MAX, SLOTS_MAX};

/// The options that change what a lock is. With none of them, and one name, it is an exclusive lock that lasts until it is
/// released.
#[derive(Args, Debug)]
#[command(next_help_heading = "Kind of lock")]
pub(super) struct KindOptions {
    /// Of several names take one, the first that is free, instead of all
    #[arg(long = "any", conflicts_with = "slots")]
    pub(super) is_any: bool,

    /// Hold the lock together with others that say --shared; those that don't wait for all of them
    #[arg(long = "shared", conflicts_with = "slots")]
    is_shared: bool,

    /// Hold one of COUNT units of the lock; all who use it at a time give the same COUNT
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=i64::from(SLOTS_MAX)))]
    slots: Option<u32>,

    /// Go ahead of all who wait with a lower priority, 0 to 7
    #[arg(
        long,
        value_name = "NUMBER",
        default_value = "0",
        value_parser = clap::value_parser!(u8).range(..=i64::from(PRIORITY_MAX))
    )]
    priority: u8,

    /// Let the server take the lock back if officer has not renewed it for this long, as when officer is stuck or stopped;
    /// it renews the lock in time while it runs
    #[arg(long, value_name = "SECONDS", value_parser = seconds_above_zero)]
    lease: Option<Seconds>,

    /// Keep the lock closed to everybody until this long after it was acquired, even if it is released sooner; at most 86400
    #[arg(long, value_name = "SECONDS", value_parser = closing, conflicts_with_all = ["is_shared", "slots"])]
    min_hold: Option<Seconds>,

    /// If the lock is lost, keep it closed to everybody for this long; at most 86400
    #[arg(long, value_name = "SECONDS", value_parser = closing, conflicts_with_all = ["is_shared", "slots"])]
    lost_delay: Option<Seconds>,

    /// Give the command a number as OFFICER_TOKEN that is higher with every grant; what the lock protects can refuse lower ones
    #[arg(long = "fence")]
    has_fence: bool,

    /// What listings show that the lock is for, at most 128 bytes
    #[arg(long, value_name = "TEXT", value_parser = label)]
    label: Option<String>,
}

impl KindOptions {
    /// What the options that clap sees one by one have against the names.
    pub(super) fn check(&self, names: &[String]) -> Result<(), String> {
        if names.len() > NAMES_MAX {
            return Err(format!("at most {NAMES_MAX} locks can be taken together, these are {}", names.len()));
        }
        let mut seen = HashSet::new();
        if let Some(name) = names.iter().find(|name| !seen.insert(*name)) {
            return Err(format!("the lock '{}' is named twice", Shown(name)));
        }
        let of_one_lock = [
            ("--slots", self.slots.is_some()),
            ("--priority", self.priority > 0),
            ("--min-hold", self.min_hold.is_some()),
            ("--lost-delay", self.lost_delay.is_some()),
        ];
        match of_one_lock.into_iter().find(|(_, is_given)| *is_given && names.len() > 1) {
            Some((option, _)) => Err(format!("{option} can't be used with several names")),
            None => Ok(()),
        }
    }

    pub(super) fn lease(&self) -> Option<Duration> {
        self.lease.map(|lease| lease.0)
    }

    /// How to ask for the lock, but for how long to wait for it.
    pub(super) fn wanted(&self) -> LockOptions {
        let mode = match self.slots {
            _ if self.is_shared => Mode::Shared,
            Some(units) => Mode::Semaphore(units),
            None => Mode::Exclusive,
        };
        LockOptions {
            mode,
            priority: self.priority,
            lease: self.lease(),
            has_fence: self.has_fence,
            min_hold: self.min_hold.map(|time| time.0),
            lost_delay: self.lost_delay.map(|time| time.0),
            label: self.label.clone(),
            ..LockOptions::default()
        }
    }
}

fn closing(text: &str) -> Result<Seconds, String> {
    let seconds: Seconds = text.parse()?;
    match seconds.0 <= Duration::from_secs(CLOSING_SECONDS_MAX.into()) {
        true => Ok(seconds),
        false => Err(format!("must be at most {CLOSING_SECONDS_MAX} seconds, which is a day")),
    }
}

fn label(text: &str) -> Result<String, String> {
    match text.len() {
        0..=LABEL_BYTES_MAX => Ok(text.to_owned()),
        bytes => Err(format!("a label has at most {LABEL_BYTES_MAX} bytes, this has {bytes}")),
    }
}
