//! Tokens that are reserved in a file: however the server ends, the next one continues above them.
//!
//! The file is never written in place. A new one is written beside it, made durable and renamed, so that a crash leaves
//! the old record or the new one. What is neither is therefore damage, and never the trace of a crash.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;

use rustix::fs::OFlags;
use rustix::process::{Pid, test_kill_process};

use super::clock::Clock;
use super::record::{self, RECORD_BYTES_MAX};
use super::{TokenSource, TokensError};
use crate::engine::TokenBlock;

/// The source of a server with a state directory, which no other server can use at the same time.
#[derive(Debug)]
pub(super) struct FileSource {
    directory: PathBuf,
    clock: Clock,
    block_len: u64,
    /// All tokens below are reserved; none before the first block of a new file.
    reserved: Option<u64>,
    is_new: bool,
    /// Locked while it is open. Not the file of tokens itself, whose place others take.
    _lock: File,
}

impl FileSource {
    /// Locks the directory, and reads what was reserved in it before.
    pub(super) fn open(directory: &Path, clock: Clock, block_len: u64) -> Result<Self, TokensError> {
        check_directory(directory)?;
        let lock = lock(directory)?;
        let reserved = read(&file_of(directory))?;
        let directory = directory.to_owned();
        Ok(FileSource { directory, clock, block_len, reserved, is_new: reserved.is_none(), _lock: lock })
    }

    /// Fails as [`FileSource::open`] would, as far as that can be told while a server that is to make way has the lock.
    #[cfg(feature = "cli")]
    pub(super) fn check(directory: &Path) -> Result<(), TokensError> {
        use rustix::fs::Access;

        check_directory(directory)?;
        let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        rustix::fs::access(directory, wanted).map_err(|error| failed(directory, "write to", error.into()))?;
        read(&file_of(directory)).map(|_| ())
    }

    fn write(&self, reserved: u64) -> Result<(), TokensError> {
        let (path, new) = (file_of(&self.directory), self.directory.join("tokens.new"));
        let written = replace(&path, &new, &self.directory, record::encode(reserved).as_bytes());
        written.map_err(|error| {
            let _ = fs::remove_file(&new);
            failed(&path, "write", error)
        })
    }
}

impl TokenSource for FileSource {
    fn reserve(&mut self) -> Result<TokenBlock, TokensError> {
        let block = self.clock.next_block(self.reserved, self.block_len)?;
        self.write(block.end())?;
        self.reserved = Some(block.end());
        Ok(block)
    }

    fn describe(&self) -> String {
        let path = file_of(&self.directory);
        if self.is_new {
            format!("from the new file {path:?}, which begins at the clock: they can repeat those of an older file")
        } else {
            format!("from the file {path:?}")
        }
    }
}

fn file_of(directory: &Path) -> PathBuf {
    directory.join("tokens")
}

fn failed(path: &Path, step: &'static str, error: io::Error) -> TokensError {
    TokensError::File { path: path.to_owned(), step, error }
}

fn check_directory(directory: &Path) -> Result<(), TokensError> {
    match fs::metadata(directory) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(failed(directory, "use", ErrorKind::NotADirectory.into())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(TokensError::DirectoryMissing { directory: directory.to_owned() })
        }
        Err(error) => Err(failed(directory, "use", error)),
    }
}

/// Never a link, which somebody may have put there, and nothing that opening waits for.
fn options() -> OpenOptions {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).expect("flags of open are an int");
    let mut options = OpenOptions::new();
    options.read(true).mode(0o600).custom_flags(flags);
    options
}

/// The lock on a directory, which the system frees however the process ends.
fn lock(directory: &Path) -> Result<File, TokensError> {
    let path = directory.join("tokens.lock");
    let opened = options().write(true).create(true).truncate(false).open(&path);
    let file = opened.map_err(|error| failed(&path, "create", error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(TokensError::InUse { directory: directory.to_owned(), pid: holder(&file) });
        }
        Err(TryLockError::Error(error)) => return Err(failed(&path, "lock", error)),
    }
    // For the error message of a second server. Nothing depends on it.
    let _ = file.set_len(0).and_then(|()| (&file).write_all(format!("{}\n", process::id()).as_bytes()));
    Ok(file)
}

/// The process that wrote its number into the lock file, unless it is gone: the holder of the lock may not have written yet.
fn holder(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    let pid = text.trim().parse().ok()?;
    match test_kill_process(Pid::from_raw(pid)?) {
        Err(rustix::io::Errno::SRCH) => None,
        _ => u32::try_from(pid).ok(),
    }
}

/// What was reserved. None: there is no file.
fn read(path: &Path) -> Result<Option<u64>, TokensError> {
    let file = match options().open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, "read", error)),
    };
    let mut bytes = Vec::new();
    file.take(RECORD_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| failed(path, "read", error))?;
    record::decode(&bytes).map(Some).ok_or_else(|| TokensError::Damaged { path: path.to_owned() })
}

/// Replaces a file by one with these bytes. Returns when no crash can bring the old one back.
fn replace(path: &Path, new: &Path, directory: &Path, bytes: &[u8]) -> io::Result<()> {
    // What a server that crashed meanwhile has left.
    match fs::remove_file(new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = options().write(true).create_new(true).open(new)?;
    file.write_all(bytes)?;
    // Before it gets the name: a name can reach the disk before what it names.
    file.sync_all()?;
    fs::rename(new, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::super::clock::tests::SetClock;
    use super::*;
    use crate::net::directory::Directory;

    const LEN: u64 = 100;

    /// A directory, and a clock that stands at 4,000,000.
    struct Place {
        directory: Directory,
        clock: SetClock,
    }

    impl Place {
        fn new() -> Place {
            let place = Place { directory: Directory::new(), clock: SetClock::default() };
            place.clock.set(Duration::from_secs(1));
            place
        }

        fn path(&self) -> &Path {
            self.directory.path()
        }

        fn file(&self) -> PathBuf {
            self.directory.file("tokens")
        }

        fn open(&self) -> Result<FileSource, TokensError> {
            FileSource::open(self.path(), self.clock.clock(), LEN)
        }

        /// The first token of a server that starts and is killed.
        #[track_caller]
        fn start(&self) -> u64 {
            let block = self.open().and_then(|mut source| source.reserve()).unwrap();
            assert_eq!(block.end(), block.first() + LEN);
            block.first()
        }

        /// The error's one line.
        #[track_caller]
        fn fault(&self) -> String {
            let line = self.open().and_then(|mut source| source.reserve()).expect_err("an error").to_string();
            assert!(!line.contains('\n'), "{line}");
            line
        }
    }

    #[test]
    fn each_start_goes_on_above_the_last_one() {
        let place = Place::new();
        assert_eq!([place.start(), place.start(), place.start()], [4_000_000, 4_000_100, 4_000_200]);
        let mut source = place.open().unwrap();
        let blocks = [source.reserve().unwrap(), source.reserve().unwrap()];
        assert_eq!(blocks, [TokenBlock::new(4_000_300, 4_000_400), TokenBlock::new(4_000_400, 4_000_500)]);
        drop(source);
        assert_eq!(place.start(), 4_000_500);
    }

    #[test]
    fn a_clock_that_is_set_back_changes_nothing_and_one_that_is_ahead_is_followed() {
        let place = Place::new();
        assert_eq!(place.start(), 4_000_000);
        place.clock.set(Duration::from_millis(1));
        assert_eq!(place.start(), 4_000_100);
        place.clock.set_since_1970(Duration::from_secs(1));
        assert_eq!(place.start(), 4_000_200);
        // As it is with an old copy of the file.
        place.clock.set(Duration::from_secs(2));
        assert_eq!(place.start(), 8_000_000);
    }

    #[test]
    fn a_new_file_needs_a_clock() {
        let place = Place::new();
        place.clock.set_since_1970(Duration::from_secs(1));
        assert_eq!(place.fault(), "the system's clock is before 2020 or after 2090; set it");
        assert!(!place.file().exists());
    }

    #[test]
    fn a_file_that_is_cut_or_changed_anywhere_is_an_error_and_stays_as_it_is() {
        let place = Place::new();
        place.start();
        let whole = fs::read(place.file()).unwrap();
        let damaged = format!("the file of tokens {:?} is damaged; ", place.file());
        let expect_error = |bytes: &[u8]| {
            fs::write(place.file(), bytes).unwrap();
            let line = place.fault();
            assert!(line.starts_with(&damaged), "{line}");
            assert_eq!(fs::read(place.file()).unwrap(), bytes);
        };
        for at in 0..whole.len() {
            expect_error(&whole[..at]);
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                expect_error(&bytes);
            }
        }
        expect_error(&[&whole[..], b"\n"].concat());
        expect_error(&vec![0; 1 << 20]);
        fs::write(place.file(), &whole).unwrap();
        assert_eq!(place.start(), 4_000_100);
    }

    #[test]
    fn a_crash_while_a_block_is_reserved_leaves_what_was_there_before() {
        let place = Place::new();
        let mut expected = place.start() + LEN;
        let record = record::encode(expected + LEN);
        for written in 0..=record.len() {
            fs::write(place.directory.file("tokens.new"), &record[..written]).unwrap();
            assert_eq!(place.start(), expected, "{written} bytes were written");
            expected += LEN;
        }
        assert!(!place.directory.file("tokens.new").exists());
    }

    #[test]
    fn only_the_server_can_read_and_write_its_files() {
        let place = Place::new();
        let _source = place.open().and_then(|mut source| source.reserve().map(|_| source)).unwrap();
        for file in ["tokens", "tokens.lock"] {
            let mode = fs::metadata(place.directory.file(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600, "{file}");
        }
    }

    #[test]
    fn a_second_source_is_refused_as_long_as_there_is_a_first() {
        let place = Place::new();
        let first = place.open().unwrap();
        let said =
            format!("the state directory {:?} is in use by another server, process {}; ", place.path(), process::id());
        assert!(place.fault().starts_with(&said), "{}", place.fault());
        // A number that is nobody's was left by a server that was killed.
        fs::write(place.directory.file("tokens.lock"), "2147483647\n").unwrap();
        let said = format!("the state directory {:?} is in use by another server; ", place.path());
        assert!(place.fault().starts_with(&said), "{}", place.fault());
        #[cfg(feature = "cli")]
        FileSource::check(place.path()).unwrap();
        drop(first);
        place.start();
    }

    #[test]
    fn what_can_not_be_used_is_an_error_that_names_it() {
        let place = Place::new();
        let fault = |directory: &Path| {
            let opened = FileSource::open(directory, place.clock.clock(), LEN);
            let line = opened.expect_err("an error").to_string();
            assert!(line.contains(directory.to_str().unwrap()) && line.contains("--state-dir"), "{line}");
            line
        };
        let missing = place.directory.file("missing");
        assert!(fault(&missing).starts_with(&format!("there is no directory {missing:?}; create it or ")));
        let flat = place.directory.file("flat");
        fs::write(&flat, "precious").unwrap();
        assert!(fault(&flat).contains("not a directory"));
        // Nobody can create files there.
        assert!(fault(Path::new("/proc")).starts_with("can't create \"/proc/tokens.lock\" ("));
        fs::create_dir(place.file()).unwrap();
        assert!(place.fault().starts_with(&format!("can't read {:?} (", place.file())), "{}", place.fault());
        #[cfg(feature = "cli")]
        for directory in [place.path(), &missing, &flat] {
            FileSource::check(directory).expect_err("an error");
        }
        assert_eq!(fs::read_to_string(&flat).unwrap(), "precious");
    }

    #[test]
    fn links_are_not_followed() {
        for name in ["tokens", "tokens.lock"] {
            let place = Place::new();
            let precious = place.directory.file("precious");
            fs::write(&precious, "precious").unwrap();
            std::os::unix::fs::symlink(&precious, place.directory.file(name)).unwrap();
            assert!(place.fault().contains("symbolic link"), "{}", place.fault());
            assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        }
    }

    #[test]
    fn what_could_not_be_reserved_is_reserved_by_the_next_attempt() {
        let place = Place::new();
        let mut source = place.open().unwrap();
        assert_eq!(source.reserve().unwrap(), TokenBlock::new(4_000_000, 4_000_100));
        let before = fs::read(place.file()).unwrap();
        // In the way of the new file, then of its new name.
        fs::create_dir(place.directory.file("tokens.new")).unwrap();
        source.reserve().expect_err("an error");
        assert_eq!(fs::read(place.file()).unwrap(), before);
        fs::remove_dir(place.directory.file("tokens.new")).unwrap();
        fs::remove_file(place.file()).unwrap();
        fs::create_dir(place.file()).unwrap();
        let line = source.reserve().expect_err("an error").to_string();
        assert!(line.starts_with(&format!("can't write {:?} (", place.file())), "{line}");
        assert!(!place.directory.file("tokens.new").exists());
        fs::remove_dir(place.file()).unwrap();
        assert_eq!(source.reserve().unwrap(), TokenBlock::new(4_000_100, 4_000_200));
        drop(source);
        assert_eq!(place.start(), 4_000_200);
    }
}
