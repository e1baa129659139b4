//! The inner server: tiny_http on a private socket, and the threads that run the handler.
//!
//! Everything that kills tiny_http is kept from it by the gate; what is left, its accept loop may still end (no more open files) or its
//! threads hang in a handler. It does not notice, so it is looked after from outside: when it does not answer, another one is opened.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tiny_http::{Request, Server};

use crate::api::caller::{Caller, Callers, Gone, ID};
use crate::api::door::Door;
use crate::error::{Doing as _, Error, Result};

/// What answers requests. A stream takes [`Request::into_writer`], writes its own head, and flushes after each event: `respond` would
/// hold events back.
pub trait Handler: Fn(Request, Caller) + Send + Sync + 'static {}
impl<F: Fn(Request, Caller) + Send + Sync + 'static> Handler for F {}

/// Threads that wait for requests even when there are none.
const READY: usize = 2;
/// How long a further one waits before it ends.
const SPARE: Duration = Duration::from_secs(10);
/// Virtual, and mostly never touched.
const STACK: usize = 512 << 10;

/// A running server.
pub(super) struct Inner {
    door: Arc<Door>,
    pool: Arc<Pool>,
}

struct Pool {
    server: Ended,
    handler: Arc<dyn Handler>,
    callers: Arc<Callers>,
    most: usize,
    threads: AtomicUsize,
    waiting: AtomicUsize,
    closing: AtomicBool,
}

/// A server whose accept loop ends with it: tiny_http wakes it by connecting to a path, and ours has none.
struct Ended {
    server: Server,
    _knock: Knock,
}

struct Knock(Arc<Door>);

impl Drop for Knock {
    fn drop(&mut self) {
        let _ = self.0.knock();
    }
}

impl Inner {
    /// Opens a server on a new private socket.
    ///
    /// # Errors
    /// There is no place for the socket, or there are no threads left.
    pub fn open(handler: Arc<dyn Handler>, callers: Arc<Callers>, most: usize) -> Result<Inner> {
        let (listener, door) = Door::open()?;
        let door = Arc::new(door);
        let server = Server::from_listener(listener, None).map_err(|e| Error::unexpected("starting the inner server").because(e))?;
        let server = Ended { server, _knock: Knock(door.clone()) };
        let (threads, waiting, closing) = Default::default();
        let inner = Inner { door, pool: Arc::new(Pool { server, handler, callers, most, threads, waiting, closing }) };
        for _ in 0..READY {
            inner.pool.start().doing(|| "starting a thread of the inner server".to_owned())?;
        }
        Ok(inner)
    }

    /// The way in.
    pub fn door(&self) -> Arc<Door> {
        self.door.clone()
    }
}

impl Drop for Inner {
    /// Threads end after the request they are at; the last one takes the server with it.
    fn drop(&mut self) {
        self.pool.closing.store(true, Ordering::SeqCst);
        for _ in 0..self.pool.threads.load(Ordering::SeqCst) {
            self.pool.server.server.unblock();
        }
    }
}

impl Pool {
    fn start(self: &Arc<Self>) -> std::io::Result<()> {
        self.threads.fetch_add(1, Ordering::SeqCst);
        let pool = self.clone();
        let started = std::thread::Builder::new().name("handler".into()).stack_size(STACK).spawn(move || {
            let _counted = Counted(&pool.threads);
            pool.work();
        });
        if started.is_err() {
            self.threads.fetch_sub(1, Ordering::SeqCst);
        }
        started.map(drop)
    }

    fn work(self: &Arc<Self>) {
        while !self.closing.load(Ordering::SeqCst) {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            let taken = self.server.server.recv_timeout(SPARE);
            let others = self.waiting.fetch_sub(1, Ordering::SeqCst) - 1;
            match taken {
                Ok(Some(request)) => {
                    if others == 0 && self.threads.load(Ordering::SeqCst) < self.most {
                        // without it the next request waits for one of these
                        let _ = self.start();
                    }
                    self.handle(request);
                }
                Ok(None) if others >= READY => return,
                Ok(None) => {}
                // its accept loop has ended; what it has accepted is still to be answered, and the supervisor will see
                Err(_) => {}
            }
        }
    }

    fn handle(&self, request: Request) {
        let header = request.headers().iter().find(|h| h.field.equiv(ID));
        let id = header.and_then(|h| h.value.as_str().parse().ok());
        let caller = id.and_then(|id| self.callers.take(id)).unwrap_or_else(|| {
            let gone = Gone::default();
            gone.set();
            Caller { address: None, gone, body: None }
        });
        // tiny_http answers 500 for a request that is dropped unanswered
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (self.handler)(request, caller)));
    }
}

struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The server that is current, and how to put another in its place.
pub(super) struct Current {
    handler: Arc<dyn Handler>,
    callers: Arc<Callers>,
    most: usize,
    inner: Mutex<Inner>,
}

impl Current {
    /// Opens the first.
    ///
    /// # Errors
    /// As [`Inner::open`].
    pub fn open(handler: Arc<dyn Handler>, most: usize) -> Result<Current> {
        let callers = Arc::<Callers>::default();
        let inner = Inner::open(handler.clone(), callers.clone(), most)?;
        Ok(Current { handler, callers, most, inner: Mutex::new(inner) })
    }
    /// Opens another. Requests that the old one works on are answered by it.
    ///
    /// # Errors
    /// As [`Inner::open`]; the old one stays.
    pub fn replace(&self) -> Result<()> {
        let new = Inner::open(self.handler.clone(), self.callers.clone(), self.most)?;
        let old = std::mem::replace(&mut *self.lock(), new);
        drop(old);
        Ok(())
    }
    /// The way to the current one.
    pub fn door(&self) -> Arc<Door> {
        self.lock().door()
    }
    /// Those whose requests are on their way.
    pub fn callers(&self) -> &Callers {
        &self.callers
    }
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    fn ask(door: &Door) -> std::io::Result<String> {
        let mut stream = door.connect()?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn a_replaced_server_lets_go_of_its_socket_and_finishes_its_requests() {
        let (enter, entered) = std::sync::mpsc::channel();
        let (leave, left) = std::sync::mpsc::channel::<()>();
        let left = Mutex::new(left);
        let handler = move |request: Request, _: Caller| {
            let _ = enter.send(());
            let _ = left.lock().unwrap().recv();
            let _ = request.respond(tiny_http::Response::from_string("done"));
        };
        let current = Current::open(Arc::new(handler), 4).unwrap();
        let old = current.door();
        let client = std::thread::spawn({
            let old = old.clone();
            move || ask(&old).unwrap()
        });
        entered.recv().unwrap();
        current.replace().unwrap();
        leave.send(()).unwrap();
        assert!(client.join().unwrap().ends_with("done"));
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while old.knock().is_ok() {
            assert!(std::time::Instant::now() < deadline, "the old socket still listens");
            std::thread::yield_now();
        }
        leave.send(()).unwrap();
        assert!(ask(&current.door()).unwrap().ends_with("done"));
    }

    #[test]
    fn a_handler_that_panics_costs_its_request_and_nothing_else() {
        let handler = |request: Request, _: Caller| {
            assert!(request.url() != "/", "on purpose");
        };
        let current = Current::open(Arc::new(handler), 4).unwrap();
        for _ in 0..6 {
            assert!(ask(&current.door()).unwrap().starts_with("HTTP/1.1 500"));
        }
    }
}
