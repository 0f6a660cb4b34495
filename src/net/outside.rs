//! What the system says of this process, for the metrics. Never by listing a directory, which takes longer the more
//! connections there are.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::server::Process;
use crate::time::Span;

/// The time since 1970; 0 if the clock is before that.
pub(super) fn wall_clock() -> Span {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(Span::ZERO, Span::from)
}

/// What the system says of this process, which was started at this time since 1970. None: it does not tell, as on systems other
/// than Linux.
pub(super) fn process(started: Span) -> Option<Process> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = text.split_ascii_whitespace().map_while(|number| number.parse::<u64>().ok());
    let mut next_bytes = || Some(pages.next()?.saturating_mul(page_size() as u64));
    let (virtual_bytes, resident_bytes) = (next_bytes()?, next_bytes()?);
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let nanos =
        u64::try_from(cpu.tv_sec).ok()?.checked_mul(1_000_000_000)?.checked_add(u64::try_from(cpu.tv_nsec).ok()?)?;
    Some(Process {
        cpu: Span::from_nanos(nanos),
        resident_bytes,
        virtual_bytes,
        started,
        // Since Linux 6.2 the size of this directory is the number of its entries; before, it was 0.
        open_descriptors: fs::metadata("/proc/self/fd").ok().map(|fds| fds.len()).filter(|count| *count > 0),
        descriptors_max: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_what_it_shows_elsewhere() {
        let before = process(Span::ZERO).expect("Linux tells");
        let files: Vec<_> = (0..10).map(|_| fs::File::open("/proc/self/statm").expect("it is there")).collect();
        let memory = vec![1_u8; 64 << 20];
        let after = process(Span::from_nanos(7)).expect("Linux tells");
        assert_eq!(after.started, Span::from_nanos(7));
        assert!(after.cpu > before.cpu && after.cpu < Span::from_nanos(3_600_000_000_000), "{before:?} {after:?}");
        // Other tests of this process use memory as well.
        assert!(after.virtual_bytes >= after.resident_bytes && after.resident_bytes > 32 << 20, "{after:?}");
        if let Some(open) = after.open_descriptors {
            assert!(open >= files.len() as u64 && open <= after.descriptors_max, "{after:?}");
        }
        assert_eq!(memory.iter().map(|byte| u64::from(*byte)).sum::<u64>(), 64 << 20);
    }
}
