//! What a process has used: processor time and memory, from /proc of Linux.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

use super::target::Local;

/// The processor time of a process, all its threads together.
///
/// In nanoseconds where the kernel keeps them (`schedstat`), although a thread that is running is counted up to its
/// last tick, 1 to 10 ms ago; otherwise in the ticks of `stat`.
pub(super) fn cpu_time(pid: u32) -> io::Result<Duration> {
    match cpu_nanos(pid) {
        Ok(nanos) if nanos > 0 => Ok(Duration::from_nanos(nanos)),
        _ => cpu_ticks(pid),
    }
}

fn cpu_nanos(pid: u32) -> io::Result<u64> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += number(stat.split_whitespace().next())?;
    }
    Ok(nanos)
}

fn cpu_ticks(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in parentheses, and can contain anything. User and system time are the
    // 14th and 15th fields.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let mut fields = fields.split_whitespace().skip(11);
    let ticks = number(fields.next())? + number(fields.next())?;
    Ok(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100))
}

/// The resident memory of a process, in bytes.
pub(super) fn resident_bytes(pid: u32) -> io::Result<u64> {
    // The count in `status` lags by up to 64 pages per thread; for `smaps_rollup` the kernel computes it.
    let (text, label) = match fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
        Ok(text) => (text, "Rss:"),
        Err(_) => (fs::read_to_string(format!("/proc/{pid}/status"))?, "VmRSS:"),
    };
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    Ok(number(line.and_then(|line| line.split_whitespace().next()))? * 1024)
}

fn number(text: Option<&str>) -> io::Result<u64> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The processor time of this process.
pub(super) fn own_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Pins this process, and those that it starts, to one CPU.
pub(super) fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None::<Pid>, &set)?)
}

/// The process that listens there, if it can be found.
pub(super) fn listener(local: Local<'_>) -> Option<u32> {
    let inodes = match local {
        Local::Port(port) => ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
            .iter()
            .flat_map(|file| tcp_listeners(&fs::read_to_string(file).unwrap_or_default(), port))
            .collect(),
        Local::File(path) => unix_listeners(&fs::read_to_string("/proc/self/net/unix").ok()?, path),
    };
    let mut owners = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        owns(pid, &inodes).then_some(pid)
    });
    owners.next()
}

fn owns(pid: u32, inodes: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.flatten().any(|descriptor| {
        let target = fs::read_link(descriptor.path()).unwrap_or_default();
        let inode = target.to_str().and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']'));
        inode.is_some_and(|inode| inodes.iter().any(|wanted| wanted == inode))
    })
}

/// The inodes of the sockets that listen on a port, from a table of the kernel.
fn tcp_listeners(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let is_there =
        |address: &str| address.rsplit_once(':').is_some_and(|(_, digits)| u16::from_str_radix(digits, 16) == Ok(port));
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 9 && is_there(row[1]) && row[3] == LISTEN).map(|row| row[9].to_owned()).collect()
}

/// The same for a socket file.
fn unix_listeners(table: &str, path: &Path) -> Vec<String> {
    const ACCEPTS: &str = "00010000";
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 7 && row[3] == ACCEPTS && Path::new(row[7]) == path)
        .map(|row| row[6].to_owned())
        .collect()
}
