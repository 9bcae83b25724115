//! Standard input as a file to read: `stdin`, `-` or `/dev/stdin` in place of a path.
//!
//! A file that is redirected here is opened as any file. A pipe can be read once only, but looking for the format and the
//! types comes before reading: what is read while looking is kept and given again to whoever opens it next. Who reads on
//! behind that has the rest of the stream for itself, and nobody can open it again. Arrow and Parquet are read at several
//! places at once, so a pipe of them is first copied to a file without a name where spilling goes.
//!
//! Memory: what is kept, at most an eighth of the governed memory and 32 MiB, reserved, until somebody reads on; one buffer
//! while copying.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::error::{Error, Result};
use crate::memory::{Memory, Reservation};
use crate::spill::{Disk, SpillConfig};

/// The path of standard input.
pub(crate) const STDIN: &str = "/dev/stdin";

/// Bytes that are copied at once.
const SPOOL_BYTES: usize = 256 << 10;

/// The most that is kept.
const MOST_KEPT: u64 = 32 << 20;

/// Whether a user means standard input by this.
pub(super) fn names_stdin(path: &str) -> bool {
    matches!(path, "stdin" | "-" | STDIN)
}

/// The path to read standard input by.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] when it is a terminal: nobody wants to type a table.
pub(super) fn stdin_path() -> Result<&'static Path> {
    if io::stdin().is_terminal() {
        return Err(Error::usage("there is no data on standard input, it is the terminal")
            .with_hint("for example: cat trips.csv | brimful sql \"SELECT * FROM stdin\""));
    }
    Ok(Path::new(STDIN))
}

/// Whether `path` is a standard input that can only be read from front to back.
pub(super) fn is_stream(path: &Path) -> bool {
    path == Path::new(STDIN) && !path.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// The standard input of this process from its start.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] when somebody has read on behind what is kept.
pub(super) fn open(memory: &Memory) -> Result<ReplayReader<File>> {
    static KEPT: OnceLock<Replay<File>> = OnceLock::new();
    let fd = io::stdin().as_fd().try_clone_to_owned().map_err(|error| Error::read_failed(Path::new(STDIN), &error))?;
    KEPT.get_or_init(|| Replay::new(File::from(fd), memory)).open()
}

/// Standard input of a format that is read at several places at once: copied to a file without a name, once, and the path
/// of that file.
///
/// # Errors
/// [`crate::ErrorKind::Disk`] when there is no room for it, or less than the spill limit allows.
pub(super) fn spooled(config: &SpillConfig, memory: &Memory) -> Result<PathBuf> {
    static SPOOLED: Mutex<Option<File>> = Mutex::new(None);
    let mut spooled = SPOOLED.lock().unwrap_or_else(PoisonError::into_inner);
    if spooled.is_none() {
        *spooled = Some(spool(open(memory)?, config)?);
    }
    let fd = spooled.as_ref().map_or(0, AsRawFd::as_raw_fd);
    Ok(PathBuf::from(format!("/proc/self/fd/{fd}")))
}

/// Copies `from` to a file without a name.
fn spool(mut from: impl Read, config: &SpillConfig) -> Result<File> {
    let dir = config.first_dir();
    let disk = Disk::from_environment()?;
    let failed = |error: io::Error| Error::write_failed(&dir, &error);
    let file = disk.create_unlinked(&dir).map_err(failed)?;
    let mut buffer = vec![0; SPOOL_BYTES];
    let mut n_bytes = 0;
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => return Ok(file),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::read_failed(Path::new(STDIN), &error)),
        };
        if config.limit_bytes.is_some_and(|limit| n_bytes + n as u64 > limit) {
            return Err(Error::disk(
                "standard input is longer than --spill-limit; Arrow and Parquet from a pipe go to a file",
            )
            .with_hint("raise the limit, or write a file first and name it"));
        }
        disk.write_all_at(&file, &buffer[..n], n_bytes).map_err(failed)?;
        n_bytes += n as u64;
    }
}

/// A stream whose beginning can be read again.
struct Replay<R>(Arc<Mutex<Kept<R>>>);

struct Kept<R> {
    /// `None` when a reader has it for itself.
    stream: Option<R>,
    head: Vec<u8>,
    most: usize,
    is_end: bool,
    reservation: Reservation,
}

/// One reader of a [`Replay`].
pub(super) struct ReplayReader<R> {
    kept: Arc<Mutex<Kept<R>>>,
    at: usize,
    /// The stream, once this reader is behind what is kept.
    own: Option<R>,
}

impl<R: Read> Replay<R> {
    fn new(stream: R, memory: &Memory) -> Self {
        let most = (memory.governed_bytes() / 8).min(MOST_KEPT) as usize;
        let reservation = memory.reserve("Scan");
        Replay(Arc::new(Mutex::new(Kept { stream: Some(stream), head: Vec::new(), most, is_end: false, reservation })))
    }

    fn open(&self) -> Result<ReplayReader<R>> {
        match lock(&self.0).stream {
            Some(_) => Ok(ReplayReader { kept: self.0.clone(), at: 0, own: None }),
            None => Err(Error::usage("standard input was read already, and it cannot be read twice").with_hint(
                "keep its rows first: CREATE TEMP TABLE t AS SELECT * FROM stdin; then use t as often as you like",
            )),
        }
    }
}

impl<R: Read> Read for ReplayReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(own) = &mut self.own {
            return own.read(buffer);
        }
        let mut kept = lock(&self.kept);
        if self.at == kept.head.len() && !kept.is_end {
            if kept.head.len() >= kept.most {
                self.own = kept.take_stream();
                return self.own.as_mut().map_or_else(|| Err(overtaken()), |own| own.read(buffer));
            }
            kept.read_more(buffer.len())?;
        }
        if kept.stream.is_none() {
            return Err(overtaken());
        }
        let n = buffer.len().min(kept.head.len() - self.at);
        buffer[..n].copy_from_slice(&kept.head[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

impl<R: Read> Kept<R> {
    /// Reads up to `want` bytes behind what is kept, and keeps them.
    fn read_more(&mut self, want: usize) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Err(overtaken()) };
        let (len, want) = (self.head.len(), want.clamp(1, 1 << 20).min(self.most - self.head.len()));
        // The list doubles, and while it does it is there twice.
        let need = 3 * (len + want) as u64;
        if self.reservation.try_resize(need).is_err() {
            self.most = len;
            return Err(io::Error::other("the memory budget has no room for the beginning of standard input"));
        }
        self.head.resize(len + want, 0);
        let read = stream.read(&mut self.head[len..]);
        self.head.truncate(len + *read.as_ref().unwrap_or(&0));
        self.is_end = read? == 0;
        if self.is_end {
            self.head.shrink_to_fit();
            self.reservation.shrink(need - need.min(self.head.capacity() as u64));
        }
        Ok(())
    }

    /// Nobody reads the beginning again.
    fn take_stream(&mut self) -> Option<R> {
        self.head = Vec::new();
        self.reservation.shrink(self.reservation.bytes());
        self.stream.take()
    }
}

fn overtaken() -> io::Error {
    io::Error::other("another part of the query reads it already, and it cannot be read twice")
}

fn lock<R>(kept: &Mutex<Kept<R>>) -> MutexGuard<'_, Kept<R>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out a few bytes at a time, as a pipe does.
    struct Drops(Vec<u8>, usize);

    impl Read for Drops {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = buffer.len().min(7).min(self.0.len() - self.1);
            buffer[..n].copy_from_slice(&self.0[self.1..self.1 + n]);
            self.1 += n;
            Ok(n)
        }
    }

    fn replay(n_bytes: usize, governed: u64) -> (Replay<Drops>, Vec<u8>, Memory) {
        let bytes: Vec<u8> = (0..n_bytes).map(|n| (n % 251) as u8).collect();
        let memory = Memory::with_governed(governed, 1);
        (Replay::new(Drops(bytes.clone(), 0), &memory), bytes, memory)
    }

    fn read(reader: &mut impl Read, n: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        reader.take(n as u64).read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_was_looked_at_comes_again_and_then_the_rest() {
        let (replay, bytes, memory) = replay(100_000, 64 << 10);
        assert_eq!(read(&mut replay.open().unwrap(), 300), bytes[..300]);
        assert_eq!(read(&mut replay.open().unwrap(), 5000), bytes[..5000]);
        assert_eq!(read(&mut replay.open().unwrap(), 10), bytes[..10]);
        assert!(memory.reserved_bytes() > 0);
        assert_eq!(read(&mut replay.open().unwrap(), usize::MAX), bytes);
        assert_eq!(memory.reserved_bytes(), 0, "nothing is kept when the stream is read on");
        assert_eq!(replay.open().err().unwrap().kind(), crate::ErrorKind::Usage);
    }

    #[test]
    fn a_short_stream_is_read_any_number_of_times() {
        let (replay, bytes, memory) = replay(100_000, 1 << 20);
        (0..3).for_each(|_| assert_eq!(read(&mut replay.open().unwrap(), usize::MAX), bytes));
        assert!((100_000..150_000).contains(&memory.reserved_bytes()), "{}", memory.reserved_bytes());
    }

    #[test]
    fn what_is_copied_is_whole_or_an_error() {
        let (replay, bytes, _memory) = replay(100_000, 64 << 10);
        let spooled = spool(replay.open().unwrap(), &SpillConfig::default()).unwrap();
        let path = format!("/proc/self/fd/{}", spooled.as_raw_fd());
        assert!(std::fs::read(path).unwrap() == bytes);
        let few = SpillConfig { limit_bytes: Some(99_999), ..SpillConfig::default() };
        let error = spool(Drops(bytes, 0), &few).err().unwrap();
        assert_eq!(error.kind(), crate::ErrorKind::Disk);
    }

    #[test]
    fn a_reader_that_is_overtaken_fails() {
        let (replay, bytes, _memory) = replay(100_000, 64 << 10);
        let mut slow = replay.open().unwrap();
        assert_eq!(read(&mut slow, 100), bytes[..100]);
        assert_eq!(read(&mut replay.open().unwrap(), usize::MAX), bytes);
        assert!(slow.read(&mut [0; 10]).is_err());
    }
}
