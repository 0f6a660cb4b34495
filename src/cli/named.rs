//! The names that a file has. Whoever may write to a directory can have put a link there to somebody else's file.

use std::fs::{self, File, Metadata};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The metadata of the path, if it is this file.
pub(super) fn at(path: &Path, file: &File) -> Option<Metadata> {
    let (ours, there) = (file.metadata().ok()?, fs::symlink_metadata(path).ok()?);
    (ours.dev() == there.dev() && ours.ino() == there.ino()).then_some(there)
}

/// Whether a path leads to this file, possibly via links.
pub(super) fn leads_to(path: &Path, file: impl AsFd) -> bool {
    match (fs::metadata(path), rustix::fs::fstat(file)) {
        (Ok(there), Ok(ours)) => (there.dev(), there.ino()) == (ours.st_dev, ours.st_ino),
        _ => false,
    }
}

/// Whether the file at a path has no other name. This uses the same look at the path that identified the file: between two
/// looks, names could change.
pub(super) fn is_only_name(there: &Metadata) -> bool {
    there.nlink() == 1
}

/// Whether two paths lead to the same file, possibly via links.
pub(super) fn lead_to_one(path: &Path, other: &Path) -> bool {
    match (fs::metadata(path), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}
