//! Who asked: what the gate knows and a request in HTTP cannot say.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

/// The client at the other end of a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its address; none on a unix socket, behind which a proxy stands (or a person with the right to open it).
    pub address: Option<IpAddr>,
    /// Whether it is still there.
    pub gone: Gone,
    /// The body, where it passes by.
    pub body: Option<Passing>,
}

/// A body that comes while it is read; nobody keeps it.
#[derive(Debug, Clone)]
pub struct Passing {
    /// Bytes that were announced. Fewer may come: then the client has gone.
    pub length: u64,
    /// Where they come from.
    pub bytes: Arc<UnixStream>,
}

/// Whether a client has gone. A stream asks, or is told: tiny_http's writer would notice at the next event only.
#[derive(Clone, Default)]
pub struct Gone(Arc<Mutex<State>>);

#[derive(Default)]
enum State {
    #[default]
    Here,
    /// To be told when it goes.
    Told(Vec<Box<dyn FnOnce() + Send>>),
    Gone,
}

impl Gone {
    /// Whether it has gone, or its answer is complete.
    pub fn is(&self) -> bool {
        matches!(*self.lock(), State::Gone)
    }
    /// Calls this when it goes; at once, if it has. It is the gate that calls: what is called must be quick.
    pub fn then(&self, tell: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        match &mut *state {
            State::Here => *state = State::Told(vec![Box::new(tell)]),
            State::Told(all) => all.push(Box::new(tell)),
            State::Gone => {
                drop(state);
                tell();
            }
        }
    }
    pub(super) fn set(&self) {
        // called outside the lock: who is told may ask
        let before = std::mem::replace(&mut *self.lock(), State::Gone);
        if let State::Told(all) = before {
            all.into_iter().for_each(|tell| tell());
        }
    }
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Gone").field(&self.is()).finish()
    }
}

/// Callers whose requests are on their way through the private socket, by the number that travels with the request.
#[derive(Debug, Default)]
pub(super) struct Callers(Mutex<HashMap<u64, Caller>>);

/// The header with the number.
pub(super) const ID: &str = "X-Gate-Id";

impl Callers {
    pub fn add(&self, id: u64, caller: Caller) {
        self.lock().insert(id, caller);
    }
    pub fn take(&self, id: u64) -> Option<Caller> {
        self.lock().remove(&id)
    }
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Caller>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn everybody_is_told_once_however_late_they_ask() {
        let (gone, told) = (Gone::default(), Arc::new(AtomicU32::new(0)));
        let tell = || {
            let (told, gone) = (told.clone(), gone.clone());
            move || assert!(gone.is() && told.fetch_add(1, Ordering::Relaxed) < 3)
        };
        gone.then(tell());
        gone.then(tell());
        assert!(!gone.is());
        gone.set();
        gone.set();
        gone.then(tell());
        assert_eq!(told.load(Ordering::Relaxed), 3);
    }
}
