//! The one error type: what went wrong, where, and what to try.
//!
//! Kinds are few because each maps to an exit code and to what a caller may do about it; details are text for a person.

use std::fmt;
use std::path::Path;

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an error. Each kind has its own exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The query failed while running (division by zero, overflow, an unsupported value).
    Query,
    /// The command line, the SQL text or a pipeline file is wrong.
    Usage,
    /// An input file holds something that cannot be read as declared or inferred.
    Data,
    /// The memory budget is too small for the query.
    Budget,
    /// A disk is full, a limit on spilling was reached, or a file call failed.
    Disk,
    /// The user interrupted the query.
    Cancelled,
}

impl ErrorKind {
    /// The exit code of the command for this kind (design: 1 query, 2 usage, 3 data, 4 budget, 5 disk, 130 interrupt).
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Query => 1,
            ErrorKind::Usage => 2,
            ErrorKind::Data => 3,
            ErrorKind::Budget => 4,
            ErrorKind::Disk => 5,
            ErrorKind::Cancelled => 130,
        }
    }
}

/// An error with its kind, a message that says what and where, and often a hint that says what to try.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    location: Option<String>,
    morsel: Option<u64>,
}

impl Error {
    /// An error of `kind`. Prefer the constructors named after the kinds.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Error { inner: Box::new(Inner { kind, message, hint: None, location: None, morsel: None }) }
    }

    /// The query failed while running.
    pub fn query(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Query, message)
    }

    /// The user's text or flags are wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// An input file is wrong.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, message)
    }

    /// The budget is too small.
    pub fn budget(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Budget, message)
    }

    /// A disk said no.
    pub fn disk(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Disk, message)
    }

    /// The user interrupted.
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "interrupted")
    }

    /// A file call that failed while *writing* or spilling: kind [`ErrorKind::Disk`].
    pub fn write_failed(path: &Path, error: &std::io::Error) -> Self {
        Self::disk(format!("cannot write {}: {error}", path.display()))
    }

    /// A file call that failed while *opening or reading* an input: [`ErrorKind::Data`], or [`ErrorKind::Disk`] for an
    /// I/O fault of the device.
    pub fn read_failed(path: &Path, error: &std::io::Error) -> Self {
        let kind = match error.raw_os_error() {
            Some(libc::EIO) => ErrorKind::Disk,
            _ => ErrorKind::Data,
        };
        Self::new(kind, format!("cannot read {}: {error}", path.display()))
    }

    /// Adds what to try; an earlier hint stays.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.inner.hint.get_or_insert(hint.into());
        self
    }

    /// Adds where in the user's text it went wrong (`sql:1:8`).
    pub fn with_location(mut self, location: impl Into<String>) -> Self {
        self.inner.location.get_or_insert(location.into());
        self
    }

    /// The same error at another place: who made the text knows where it came from.
    #[must_use]
    pub(crate) fn relocated(mut self, location: Option<String>) -> Self {
        self.inner.location = location;
        self
    }

    /// Says in which morsel of the input it happened, unless that is known: a LIMIT that is reached before that morsel
    /// does not want to hear of it. The query's end is nowhere in the input.
    pub(crate) fn in_morsel(mut self, morsel: u64) -> Self {
        if self.inner.kind != ErrorKind::Cancelled {
            self.inner.morsel.get_or_insert(morsel);
        }
        self
    }

    /// The same error when the morsels of its input are numbered from `first` on.
    pub(crate) fn renumbered_from(mut self, first: u64) -> Self {
        self.inner.morsel = self.inner.morsel.map(|morsel| morsel + first);
        self
    }

    /// The morsel it happened in, where that is known.
    pub(crate) fn morsel(&self) -> Option<u64> {
        self.inner.morsel
    }

    /// The same error once more, for whoever asks again.
    pub(crate) fn repeated(&self) -> Self {
        let inner = &*self.inner;
        let (message, hint, location) = (inner.message.clone(), inner.hint.clone(), inner.location.clone());
        Error { inner: Box::new(Inner { kind: inner.kind, message, hint, location, morsel: inner.morsel }) }
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The message without hint and location.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// Where in the user's text it went wrong, where that is known.
    pub fn location(&self) -> Option<&str> {
        self.inner.location.as_deref()
    }

    /// What to try, where something is known.
    pub fn hint(&self) -> Option<&str> {
        self.inner.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)?;
        match (&self.inner.location, &self.inner.hint) {
            (Some(location), Some(hint)) => write!(f, "\n  --> {location}   hint: {hint}"),
            (Some(location), None) => write!(f, "\n  --> {location}"),
            (None, Some(hint)) => write!(f, "\n  hint: {hint}"),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.inner.kind)
    }
}

impl std::error::Error for Error {}

/// Arrow kernels fail on values (overflow, bad casts): a query error.
impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Error::query(error.to_string())
    }
}
