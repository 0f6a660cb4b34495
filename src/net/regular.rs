//! Files that are read between two requests, while everybody waits.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a file without waiting for anybody, as opening a FIFO would. None: it is a directory, a FIFO or a device.
pub(super) fn open(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).expect("flags of open are an int");
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    Ok(found.is_file().then_some((file, found)))
}
