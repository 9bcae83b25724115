//! Ctrl-C, SIGTERM and SIGHUP (the terminal was closed): the query is cancelled and the process ends within half a second.
//!
//! At a prompt Ctrl-C ends only the query that runs.
//!
//! A query that does not look at its cancel token in time is not waited for. That loses nothing: temporary files have no
//! name, and an output gets its name only when it is complete.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator;

use crate::error::{Error, Result};
use crate::exec::CancelToken;

/// How long a cancelled query may take to end by itself.
const PATIENCE: Duration = Duration::from_millis(400);

/// What came in, and whom to tell.
pub(super) struct Signals {
    cancel: CancelToken,
    /// The first signal; 0 when there was none.
    received: Arc<AtomicI32>,
    /// The query at a prompt, which Ctrl-C ends instead of the process.
    query: Arc<Mutex<Option<CancelToken>>>,
}

impl Signals {
    /// Starts the thread that waits for signals.
    pub(super) fn watch() -> Result<Self> {
        let failed = |error: std::io::Error| Error::query(format!("cannot watch for signals: {error}"));
        let mut incoming = iterator::Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(failed)?;
        let signals = Signals { cancel: CancelToken::default(), received: Arc::default(), query: Arc::default() };
        let (cancel, received, query) = (signals.cancel.clone(), signals.received.clone(), signals.query.clone());
        let wait = move || {
            for signal in incoming.forever() {
                let running = query.lock().unwrap_or_else(PoisonError::into_inner).take();
                running.iter().for_each(CancelToken::cancel);
                if signal == SIGINT && running.is_some() {
                    continue;
                }
                received.store(signal, Ordering::Relaxed);
                cancel.cancel();
                std::thread::sleep(PATIENCE);
                signal_hook::low_level::exit(128 + signal);
            }
        };
        std::thread::Builder::new().name("brimful-signals".into()).spawn(wait).map_err(failed)?;
        Ok(signals)
    }

    /// Pulled when a signal comes.
    pub(super) fn cancel_token(&self) -> CancelToken {
        self.cancel.clone()
    }

    /// Runs a query of a prompt: Ctrl-C pulls its token and does nothing else meanwhile.
    pub(super) fn while_query<T>(&self, query: impl FnOnce(&CancelToken) -> T) -> T {
        let set = |token| *self.query.lock().unwrap_or_else(PoisonError::into_inner) = token;
        let token = CancelToken::default();
        set(Some(token.clone()));
        let done = query(&token);
        set(None);
        done
    }

    /// 129, 130 or 143 when a signal came.
    pub(super) fn exit_code(&self) -> Option<u8> {
        match self.received.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(128 + signal as u8),
        }
    }
}
