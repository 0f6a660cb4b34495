//! Requests that may leave their lock closed: how many there are, in all and of each group that has a share of them.

use std::collections::HashMap;

/// Counts the requests with `min_hold` or `lost_delay` that wait or hold, or whose lock is still closed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Closings {
    all: usize,
    /// Those of groups, while there are any.
    of_groups: HashMap<u32, usize>,
}

impl Closings {
    pub(super) fn len(&self) -> usize {
        self.all
    }

    pub(super) fn of(&self, group: u32) -> usize {
        self.of_groups.get(&group).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, group: Option<u32>) {
        self.all += 1;
        group.into_iter().for_each(|group| *self.of_groups.entry(group).or_default() += 1);
    }

    pub(super) fn remove(&mut self, group: Option<u32>) {
        self.all -= 1;
        if let Some(group) = group {
            let count = self.of_groups.get_mut(&group).expect("what is counted once is taken out once");
            *count -= 1;
            if *count == 0 {
                self.of_groups.remove(&group);
            }
        }
    }
}
