//! Hosts: network namespaces with a link between each and the first, on which packets can be dropped.
//!
//! A namespace lives as long as a process in it, which ends with the test, however that ends: nothing is left behind,
//! and nothing has a name that another test could use.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::support::patience::eventually;
use crate::support::skip::skipped;

/// A place from which to connect: this machine as it is, or one of the hosts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    network: Option<PathBuf>,
}

impl Host {
    pub(crate) fn here() -> Host {
        Host::default()
    }

    /// A program to be run there.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match &self.network {
            None => Command::new(program),
            Some(network) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={}", network.display())).arg("--").arg(program);
                command
            }
        }
    }

    /// Runs a function there, in a thread: a socket stays in the namespace where it was made.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let Some(network) = self.network.clone() else { return work() };
        thread::scope(|scope| {
            let there = scope.spawn(move || {
                let network = File::open(network).expect("the host is there");
                move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).expect("we may go there");
                work()
            });
            there.join().expect("it went well there")
        })
    }
}

/// The first host and those that are connected to it.
pub(crate) struct Hosts {
    namespaces: Vec<Namespace>,
}

struct Namespace {
    /// Waits for the end of its input, which ends with this process.
    keeper: Child,
    host: Host,
}

impl Hosts {
    /// The first and this many others, if namespaces can be created here.
    pub(crate) fn new(others: u8) -> Option<Hosts> {
        for (what, program) in [("iproute2", "ip"), ("nftables", "nft"), ("util-linux", "nsenter")] {
            if Command::new(program).arg("--version").output().is_err() {
                skipped(&format!("no network namespaces without the program {program}, of {what}"));
                return None;
            }
        }
        let mut hosts = Hosts { namespaces: Vec::new() };
        for _ in 0..=others {
            match Namespace::new() {
                Ok(namespace) => hosts.namespaces.push(namespace),
                Err(why) => {
                    skipped(&format!("no network namespaces can be made here: {why}"));
                    return None;
                }
            }
        }
        hosts.first().must("ip", "link set lo up");
        for other in 1..=others {
            let keeper = hosts.namespaces[usize::from(other)].keeper.id();
            hosts.first().must("ip", &format!("link add wire{other} type veth peer name wire netns {keeper}"));
            hosts.first().must("ip", &format!("addr add 10.77.{other}.1/30 dev wire{other}"));
            hosts.first().must("ip", &format!("link set wire{other} up"));
            let host = hosts.host(other);
            host.must("ip", "link set lo up");
            host.must("ip", &format!("addr add 10.77.{other}.2/30 dev wire"));
            host.must("ip", "link set wire up");
            host.must("nft", "add table inet wire");
            host.must("nft", "add chain inet wire lost { type filter hook input priority 0 ; }");
        }
        hosts.first().must("nft", "add table inet wire");
        hosts.first().must("nft", "add chain inet wire lost { type filter hook input priority 0 ; }");
        Some(hosts)
    }

    /// The one that is connected to all others.
    pub(crate) fn first(&self) -> Host {
        self.namespaces[0].host.clone()
    }

    /// One of the others, from 1 on.
    pub(crate) fn host(&self, other: u8) -> Host {
        assert!(other > 0, "the first is none of the others");
        self.namespaces[usize::from(other)].host.clone()
    }

    /// The address of the first, for another host.
    pub(crate) fn address_for(&self, other: u8) -> IpAddr {
        Ipv4Addr::new(10, 77, other, 1).into()
    }

    /// From now on this percentage of packets is dropped between this host and the first, each way.
    pub(crate) fn lose(&self, other: u8, percent: u8) {
        self.replace_rule(other, &format!("numgen random mod 100 < {percent} drop"));
    }

    /// From now on everything is dropped silently.
    pub(crate) fn cut(&self, other: u8) {
        self.replace_rule(other, "drop");
    }

    fn replace_rule(&self, other: u8, rule: &str) {
        self.heal(other);
        self.host(other).must("nft", &format!("add rule inet wire lost iifname wire {rule}"));
        self.first().must("nft", &format!("add rule inet wire lost iifname wire{other} {rule} comment wire{other}"));
    }

    /// Everything gets through again.
    pub(crate) fn heal(&self, other: u8) {
        self.host(other).must("nft", "flush chain inet wire lost");
        let rules = self.first().must("nft", "-a list chain inet wire lost");
        for rule in rules.lines().filter(|rule| rule.contains(&format!("comment \"wire{other}\""))) {
            let handle = rule.rsplit_once("handle ").expect("a rule has a handle").1;
            self.first().must("nft", &format!("delete rule inet wire lost handle {handle}"));
        }
    }
}

impl Namespace {
    fn new() -> Result<Namespace, String> {
        let mut keeper = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let network = PathBuf::from(format!("/proc/{}/ns/net", keeper.id()));
        let own = fs::read_link("/proc/self/ns/net").map_err(|error| error.to_string())?;
        let mut is_over = false;
        eventually("there is a namespace, or none", || {
            is_over = keeper.try_wait().expect("our own process").is_some();
            is_over || fs::read_link(&network).is_ok_and(|network| network != own)
        });
        if is_over {
            let output = keeper.wait_with_output().map_err(|error| error.to_string())?;
            return Err(String::from_utf8_lossy(&output.stderr).trim_end().to_owned());
        }
        Ok(Namespace { keeper, host: Host { network: Some(network) } })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

impl Host {
    fn must(&self, program: &str, args: &str) -> String {
        let output = self.command(program).args(args.split(' ')).output().expect("the program is there");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {args}: {error}");
        String::from_utf8(output.stdout).expect("words")
    }
}
