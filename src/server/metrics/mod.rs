//! The figures of the server as Prometheus reads them.

mod outside;
mod text;

pub use self::outside::{Outside, Process};

use self::text::{Kind, Text};
use super::{Server, Socket};
use crate::time::Span;

/// The buckets of waits and holds, in nanoseconds: some of those that are kept, each about five times the one before it.
const LOCK_BOUNDS: [Span; 11] = [
    Span::from_nanos(100_000),
    Span::from_nanos(1_000_000),
    Span::from_nanos(5_000_000),
    Span::from_nanos(25_000_000),
    Span::from_nanos(100_000_000),
    Span::from_nanos(500_000_000),
    Span::from_nanos(2_500_000_000),
    Span::from_nanos(10_000_000_000),
    Span::from_nanos(60_000_000_000),
    Span::from_nanos(300_000_000_000),
    Span::from_nanos(3_600_000_000_000),
];

/// Those of turns, which are short.
const TURN_BOUNDS: [Span; 10] = [
    Span::from_nanos(100_000),
    Span::from_nanos(250_000),
    Span::from_nanos(500_000),
    Span::from_nanos(1_000_000),
    Span::from_nanos(2_500_000),
    Span::from_nanos(5_000_000),
    Span::from_nanos(10_000_000),
    Span::from_nanos(50_000_000),
    Span::from_nanos(250_000_000),
    Span::from_nanos(1_000_000_000),
];

impl<S: Socket> Server<S> {
    /// Says what only the process knows. It is in the metrics from now on.
    pub fn set_outside(&mut self, outside: Outside) {
        self.outside = outside;
    }

    /// Keeps figures also for the locks whose names begin with each of these, of which there are few. To be set before the
    /// first connection.
    pub fn set_metrics_prefixes(&mut self, prefixes: impl IntoIterator<Item = Box<str>>) {
        self.engine.set_prefixes(prefixes);
    }

    /// Appends all metrics, in the text format of Prometheus.
    pub fn write_metrics(&self, out: &mut Vec<u8>) {
        let mut text = Text { out };
        let version = ("version", env!("CARGO_PKG_VERSION"));
        text.family("officer_build_info", Kind::Gauge, "Always 1; the label says which version it is.");
        text.sample("officer_build_info", &[version], 1);
        self.write_gauges(&mut text);
        self.write_counters(&mut text);
        self.write_labelled(&mut text);
        self.write_histograms(&mut text);
        self.write_prefixes(&mut text);
        self.outside.write(&mut text);
    }

    fn write_gauges(&self, text: &mut Text<'_>) {
        let (stats, connections) = (self.engine.stats(), &self.connections);
        for (name, value, help) in [
            ("officer_connections", connections.len() as u64, "Connections of which it is known who they are."),
            ("officer_connections_max", connections.limits.connections_max as u64, "How many of these there may be."),
            ("officer_strangers", connections.strangers.len() as u64, "Connections that have not said who they are."),
            ("officer_sessions", self.sessions.len() as u64, "Sessions that can be resumed."),
            ("officer_detached_sessions", self.engine.detached() as u64, "Sessions that have no connection."),
            ("officer_locks", self.engine.locks() as u64, "Locks that are held, waited for or closed."),
            ("officer_locks_held", stats.held, "Holds: a lock with several holders has several."),
            ("officer_locks_contended", self.engine.contended() as u64, "Locks that somebody waits for."),
            ("officer_locks_closed", stats.closed, "Locks that nobody gets for a while."),
            ("officer_waiters", stats.waiting, "Waits for a lock."),
            ("officer_watchers", self.engine.watchers() as u64, "Connections that watch locks."),
            ("officer_unsent_bytes", connections.unsent() as u64, "Bytes of replies that clients have not taken."),
        ] {
            text.family(name, Kind::Gauge, help);
            text.sample(name, &[], value);
        }
    }

    fn write_counters(&self, text: &mut Text<'_>) {
        let (stats, figures) = (self.engine.stats(), &self.connections.figures);
        let watchers = &self.connections.watchers;
        for (name, value, help) in [
            ("officer_grants_total", stats.acquires, "Grants, at once and after a wait."),
            ("officer_releases_total", stats.releases, "Holds that have ended, for whatever reason."),
            ("officer_timeouts_total", stats.timeouts, "Requests answered timed_out."),
            ("officer_queue_maxed_total", stats.queue_maxed, "Requests answered queue_maxed."),
            ("officer_deadlocks_total", stats.deadlocks, "Requests answered deadlock."),
            ("officer_expiries_total", stats.expiries, "Holds that were ended by their lease."),
            ("officer_revocations_total", stats.revocations, "Holds that were ended by revoke."),
            ("officer_transfers_total", stats.transfers, "Holds that were handed to a waiter."),
            (
                "officer_slow_holds_total",
                figures.slow_holds,
                "Holds of more than --slow-hold-seconds that others waited for.",
            ),
            ("officer_resumptions_total", figures.resumptions, "Sessions that were resumed."),
            ("officer_sessions_ended_total", self.sessions.ended(), "Sessions that have ended."),
            ("officer_received_bytes_total", figures.received_bytes, "Bytes that were received."),
            ("officer_sent_bytes_total", figures.sent_bytes, "Bytes that were sent."),
            ("officer_events_sent_total", watchers.sent(), "Events that watchers were sent."),
            ("officer_events_missed_total", self.events_missed(), "Events that watchers were too slow for."),
        ] {
            text.family(name, Kind::Counter, help);
            text.sample(name, &[], value);
        }
    }

    fn write_labelled(&self, text: &mut Text<'_>) {
        let figures = &self.connections.figures;
        let mut write = |name, label, help, values: &mut dyn Iterator<Item = (&'static str, u64)>| {
            text.family(name, Kind::Counter, help);
            values.for_each(|(value, count)| text.sample(name, &[(label, value)], count));
        };
        let help = "Requests that were executed, and lines that were none (unknown).";
        write("officer_requests_total", "command", help, &mut figures.requests());
        write("officer_errors_total", "reason", "Errors that were sent.", &mut figures.errors());
        let help = "Connections that the server or the peer has ended.";
        write("officer_disconnects_total", "reason", help, &mut figures.disconnects());
        write("officer_tls_handshakes_total", "result", "What became of handshakes.", &mut figures.handshakes());
        let name = "officer_http_requests_total";
        text.family(
            name,
            Kind::Counter,
            "Requests by HTTP that were answered, by path (other: no such path) and status.",
        );
        for (path, code, count) in self.http.figures.answered() {
            text.sample(name, &[("path", path), ("code", code)], count);
        }
    }

    fn write_histograms(&self, text: &mut Text<'_>) {
        for (name, histogram, bounds, help) in [
            (
                "officer_lock_wait_seconds",
                &self.engine.waits(),
                &LOCK_BOUNDS[..],
                "How long each grant was waited for; 0 if it was made at once.",
            ),
            (
                "officer_lock_hold_seconds",
                &self.engine.holds(),
                &LOCK_BOUNDS[..],
                "How long each hold that has ended lasted.",
            ),
            (
                "officer_turn_duration_seconds",
                &self.connections.figures.turn_durations,
                &TURN_BOUNDS[..],
                "How long each round of the server's loop took: everybody else waits meanwhile.",
            ),
        ] {
            text.family(name, Kind::Histogram, help);
            text.histogram(name, &[], bounds, histogram);
        }
    }

    /// Under names of their own: beside those of all locks they would be counted twice in every sum.
    fn write_prefixes(&self, text: &mut Text<'_>) {
        let all = self.engine.prefix_figures();
        if all.is_empty() {
            return;
        }
        let name = "officer_prefix_wait_seconds";
        text.family(name, Kind::Histogram, "How long each grant of a lock with this prefix was waited for.");
        for figures in all {
            text.histogram(name, &[("prefix", &figures.prefix)], &LOCK_BOUNDS, &figures.waits);
        }
        let name = "officer_prefix_hold_seconds";
        text.family(name, Kind::Histogram, "How long each hold of a lock with this prefix lasted.");
        for figures in all {
            text.histogram(name, &[("prefix", &figures.prefix)], &LOCK_BOUNDS, &figures.holds);
        }
        let name = "officer_prefix_timeouts_total";
        text.family(name, Kind::Counter, "Requests for locks with this prefix that were answered timed_out.");
        for figures in all {
            text.sample(name, &[("prefix", &figures.prefix)], figures.timeouts);
        }
    }
}

impl Outside {
    fn write(&self, text: &mut Text<'_>) {
        for (name, value, help) in [
            ("officer_open", self.is_open.into(), "1 if anybody on other machines can take locks, 0 if not."),
            (
                "officer_config_last_reload_successful",
                self.is_reloaded.into(),
                "1 if the last reload was successful, 0 if it was refused.",
            ),
        ] {
            text.family(name, Kind::Gauge, help);
            text.sample(name, &[], value);
        }
        if let Some(expires) = self.certificate_expires {
            let name = "officer_tls_certificate_expiry_timestamp_seconds";
            text.family(name, Kind::Gauge, "When the server's certificate expires, since 1970.");
            text.sample(name, &[], expires);
        }
        if let Some(process) = &self.process {
            process.write(text);
        }
    }
}

impl Process {
    fn write(&self, text: &mut Text<'_>) {
        let name = "process_cpu_seconds_total";
        text.family(name, Kind::Counter, "Time of the processors that the process has used.");
        text.seconds(name, &[], self.cpu);
        let name = "process_start_time_seconds";
        text.family(name, Kind::Gauge, "When the process was started, since 1970.");
        text.seconds(name, &[], self.started);
        for (name, value, help) in [
            ("process_resident_memory_bytes", Some(self.resident_bytes), "Memory that the process has."),
            ("process_virtual_memory_bytes", Some(self.virtual_bytes), "Addresses that the process has."),
            ("process_open_fds", self.open_descriptors, "Descriptors that are open."),
            ("process_max_fds", Some(self.descriptors_max), "Descriptors that may be open."),
        ] {
            if let Some(value) = value {
                text.family(name, Kind::Gauge, help);
                text.sample(name, &[], value);
            }
        }
    }
}
