//! The users file as it is on disk.

use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::regular;
use crate::server::{Access, BadUsers, FILE_BYTES_MAX, LOG_TARGET};

/// Why a users file can't be used. `Display` gives one line that names it and says what to do.
#[derive(Debug)]
pub struct UsersError {
    path: PathBuf,
    fault: Fault,
}

#[derive(Debug)]
enum Fault {
    /// It can't be read.
    Unreadable(io::Error),
    /// It is a directory, a FIFO or a device.
    NotAFile,
    TooLarge,
    NotUtf8 {
        line: usize,
    },
    /// It is in order, and has no tables.
    NamesNobody,
    Bad(BadUsers),
}

/// Reads a users file and compiles it. One that names nobody was cut short, by a full disk or somebody who still writes it: a
/// reload of it would end every connection. If others than its user and group can read it, that is logged.
pub(super) fn read(path: &Path) -> Result<Access, UsersError> {
    let failed = |fault| UsersError { path: path.to_owned(), fault };
    let text = text(path).map_err(failed)?;
    let access = Access::parse(&text).map_err(|error| failed(Fault::Bad(error)))?;
    if access.names_nobody() { Err(failed(Fault::NamesNobody)) } else { Ok(access) }
}

fn text(path: &Path) -> Result<String, Fault> {
    let (file, found) = regular::open(path).map_err(Fault::Unreadable)?.ok_or(Fault::NotAFile)?;
    if found.mode() & 0o007 != 0 {
        log::warn!(
            target: LOG_TARGET,
            "all users of this machine may use the users file {path:?}; keep them out with chmod o="
        );
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(Fault::Unreadable)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Fault::TooLarge);
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        Fault::NotUtf8 { line: 1 + before.iter().filter(|byte| **byte == b'\n').count() }
    })
}

impl fmt::Display for UsersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.fault {
            Fault::Unreadable(error) if error.kind() == ErrorKind::NotFound => {
                write!(f, "there is no users file {path:?}; create it, or choose another with --users")
            }
            Fault::Unreadable(error) => {
                write!(f, "the users file {path:?} can't be read ({error}); let the server's user or group read it")
            }
            Fault::NotAFile => write!(f, "{path:?} is not a regular file; choose another users file with --users"),
            Fault::TooLarge => {
                write!(f, "the users file {path:?} is larger than {FILE_BYTES_MAX} bytes; remove users from it")
            }
            Fault::NotUtf8 { line } => {
                write!(f, "the users file {path:?} is not UTF-8 in line {line}; correct it")
            }
            Fault::NamesNobody => {
                write!(
                    f,
                    "the users file {path:?} names nobody; add a table for each user, as 'officer secret' prints it"
                )
            }
            Fault::Bad(error) => write!(f, "the users file {path:?} can't be used: {error}"),
        }
    }
}

impl std::error::Error for UsersError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            Fault::Unreadable(error) => Some(error),
            Fault::Bad(error) => Some(error),
            Fault::NotAFile | Fault::TooLarge | Fault::NotUtf8 { .. } | Fault::NamesNobody => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::net::directory::Directory;

    #[track_caller]
    fn fault(path: &Path) -> String {
        let line = read(path).expect_err("an error").to_string();
        assert!(!line.contains('\n') && line.contains(&format!("{path:?}")), "{line}");
        line
    }

    #[test]
    fn what_is_no_users_file_is_one_line_that_names_it() {
        let directory = Directory::new();
        let file = directory.file("us\ners");
        assert!(fault(&file).starts_with("there is no users file "));
        assert!(fault(directory.path()).ends_with(" is not a regular file; choose another users file with --users"));
        assert!(
            fault(Path::new("/dev/null")).ends_with(" is not a regular file; choose another users file with --users")
        );
        // Opening it waits for nobody.
        let fifo = directory.file("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
        assert!(fault(&fifo).ends_with(" is not a regular file; choose another users file with --users"));

        fs::write(&file, b"# one\n# \xff\n").unwrap();
        assert!(fault(&file).ends_with(" is not UTF-8 in line 2; correct it"));
        fs::write(&file, "[users.ann]\nlocks = 7\n").unwrap();
        assert!(fault(&file).contains(" can't be used: line 2: "));
        fs::write(&file, "#".repeat(FILE_BYTES_MAX + 1)).unwrap();
        assert!(fault(&file).contains("is larger than 1048576 bytes"));
        fs::write(&file, "#".repeat(FILE_BYTES_MAX)).unwrap();
        assert!(fault(&file).contains(" names nobody; "));
        let anonymous = "[anonymous]\n";
        fs::write(&file, anonymous.to_owned() + &"#".repeat(FILE_BYTES_MAX - anonymous.len())).unwrap();
        assert!(read(&file).unwrap().has_users());
    }
}
