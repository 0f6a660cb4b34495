//! Options that contradict each other: each can be met, but not together, so one of them means nothing.

use std::time::Duration;

use log::LevelFilter;

use crate::net::{ADMIN_PLACES, Config, HTTP_CONNECTIONS_MAX, Limits, Listen, TcpOptions, descriptors};

/// A line for each option that another one overrules. `descriptors` is the limit on them that is in force.
pub(super) fn contradictions(config: &Config, log_level: LevelFilter, descriptors: u64) -> Vec<String> {
    let mut lines = of_bytes(&config.limits);
    if config.stats && log_level < LevelFilter::Info {
        let level = log_level.as_str().to_ascii_lowercase();
        lines.push(format!(
            "--stats logs at level info, which --log-level {level} leaves out: no statistics are logged"
        ));
    }
    lines.extend(of_connections(config, descriptors));
    if config.listen.iter().any(|listen| !matches!(listen, Listen::Unix { .. })) {
        lines.extend(of_times(&config.limits, &config.tcp));
    }
    lines
}

fn of_bytes(limits: &Limits) -> Vec<String> {
    let pause = ("--outbox-pause-bytes", limits.outbox_pause_bytes);
    let outbox = ("--outbox-bytes-max", limits.outbox_bytes_max);
    let outboxes = ("--outboxes-bytes-max", limits.outboxes_bytes_max);
    let reply = ("--reply-bytes-max", limits.reply_bytes_max);
    let line = ("--line-bytes-max", limits.line_bytes_max);
    let inboxes = ("--inboxes-bytes-max", limits.inboxes_bytes_max);
    let pairs = [
        (pause, outbox, "a connection is closed before its requests pause"),
        (outbox, outboxes, "one connection can exhaust what all have together"),
        (reply, outbox, "a client that asks for a listing of that size is closed"),
        (line, inboxes, "a client that sends a line of that size is closed"),
    ];
    let above = pairs.iter().filter(|((_, value), (_, other), _)| value > other);
    above
        .map(|((name, value), (other_name, other), effect)| {
            format!("{name} {value} is above {other_name} {other}: {effect}")
        })
        .collect()
}

fn of_connections(config: &Config, descriptors: u64) -> Option<String> {
    let possible = descriptors::connections_max_possible(descriptors);
    let Limits { connections_max, strangers_max, .. } = config.limits;
    let (beside, named) = match config.users.is_some() || config.tls.is_some() {
        true => (strangers_max + ADMIN_PLACES, format!(" with --strangers-max {strangers_max}")),
        false => (0, String::new()),
    };
    let beside = beside + if config.listen.iter().any(Listen::is_http) { HTTP_CONNECTIONS_MAX } else { 0 };
    (connections_max + beside > possible).then(|| {
        format!(
            "--connections-max {connections_max}{named} is more than {descriptors} descriptors have room for: clients above \
             {} wait without an answer; raise the limit on descriptors (ulimit -n, LimitNOFILE=) or lower --connections-max",
            possible.saturating_sub(beside)
        )
    })
}

/// A user timeout that was set. One that was not follows from the other options.
fn of_times(limits: &Limits, tcp: &TcpOptions) -> Vec<String> {
    let mut lines = Vec::new();
    let Some(timeout) = tcp.user_timeout.filter(|timeout| *timeout > Duration::ZERO) else { return lines };
    let stall = limits.outbox_stall;
    if timeout <= stall {
        lines.push(format!(
            "--user-timeout-seconds {} is not above --outbox-stall-seconds {}: clients that read nothing are closed by the \
             first",
            timeout.as_secs_f64(),
            stall.as_secs_f64()
        ));
    }
    let (found, expected) = (tcp.silent_after(), tcp.keepalive_total());
    if found != expected {
        lines.push(format!(
            "--user-timeout-seconds {} replaces --keepalive-probes {} on Linux: a silent client is found after {found:?}, \
             not after {expected:?}",
            timeout.as_secs_f64(),
            tcp.keepalive_probes
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let listen = Listen::Tcp { host: "127.0.0.1".to_owned(), port: 0 };
        Config { limits: Limits { connections_max: 896, ..Limits::default() }, ..Config::new(listen) }
    }

    #[track_caller]
    fn expect(change: impl FnOnce(&mut Config), parts: &[&str]) {
        let mut config = config();
        change(&mut config);
        let lines = contradictions(&config, LevelFilter::Error, 1024);
        assert_eq!(lines.len(), parts.len(), "{lines:?}");
        lines.iter().zip(parts).for_each(|(line, part)| assert!(line.starts_with(part), "{line}"));
    }

    #[test]
    fn the_defaults_agree_with_each_other() {
        expect(|_| {}, &[]);
        // Where there are few descriptors, the default follows them.
        for descriptors in [16, 64, 1 << 20] {
            let mut config = config();
            config.limits.connections_max = descriptors::connections_max_default(descriptors, 0);
            assert_eq!(contradictions(&config, LevelFilter::Error, descriptors), [""; 0]);
        }
    }

    #[test]
    fn a_limit_that_another_overrules_is_named_with_it() {
        expect(|config| config.limits.outbox_pause_bytes = 16 << 20, &[]);
        expect(
            |config| config.limits.outbox_pause_bytes = (16 << 20) + 1,
            &["--outbox-pause-bytes 16777217 is above --outbox-bytes-max 16777216: "],
        );
        expect(
            |config| config.limits.outboxes_bytes_max = 4 << 20,
            &["--outbox-bytes-max 16777216 is above --outboxes-bytes-max 4194304: "],
        );
        expect(
            |config| config.limits.outbox_bytes_max = 1 << 20,
            &["--reply-bytes-max 4194304 is above --outbox-bytes-max 1048576: "],
        );
        expect(
            |config| config.limits.inboxes_bytes_max = 1000,
            &["--line-bytes-max 65536 is above --inboxes-bytes-max 1000: "],
        );
        expect(|config| config.limits.connections_max = 1008, &[]);
        expect(
            |config| config.limits.connections_max = 1009,
            &["--connections-max 1009 is more than 1024 descriptors have room for: "],
        );
        let with_users = |connections_max| {
            move |config: &mut Config| {
                config.users = Some("users.toml".into());
                (config.limits.connections_max, config.limits.strangers_max) = (connections_max, 256);
            }
        };
        expect(with_users(742), &[]);
        let said = "--connections-max 743 with --strangers-max 256 is more than 1024 descriptors have room for: ";
        expect(with_users(743), &[said]);
    }

    #[test]
    fn statistics_that_the_log_level_leaves_out_are_named_with_it() {
        let config = Config { stats: true, ..config() };
        let said = "--stats logs at level info, which --log-level warn leaves out: no statistics are logged";
        assert_eq!(contradictions(&config, LevelFilter::Warn, 1024), [said]);
        assert_eq!(contradictions(&config, LevelFilter::Info, 1024), [""; 0]);
    }

    #[test]
    fn a_user_timeout_that_makes_other_times_mean_nothing_is_named_with_them() {
        let set =
            |seconds: f64| move |config: &mut Config| config.tcp.user_timeout = Some(Duration::from_secs_f64(seconds));
        expect(set(0.0), &[]);
        expect(set(30.0), &["--user-timeout-seconds 30 is not above --outbox-stall-seconds 30: "]);
        if cfg!(target_os = "linux") {
            let replaces = "--user-timeout-seconds 6 replaces --keepalive-probes 3 on Linux: a silent client is found after 20s, not after 30s";
            expect(set(6.0), &["--user-timeout-seconds 6 is not above --outbox-stall-seconds 30: ", replaces]);
            expect(set(60.0), &["--user-timeout-seconds 60 replaces --keepalive-probes 3 on Linux: "]);
        }
        expect(
            |config| {
                set(6.0)(config);
                config.listen = vec![Listen::Unix { path: "officer.sock".into(), mode: 0o600 }];
            },
            &[],
        );
    }
}
