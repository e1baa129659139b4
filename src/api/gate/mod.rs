//! The gate: what stands between clients and the inner server.
//!
//! One thread holds all connections and never waits for one of them. A request is read whole and judged before anybody works on it;
//! what is malformed, ambiguous, too large or too slow is refused here, in words. What passes is written anew and handed on, one request
//! a connection. A flood costs open files and a few bytes each, never threads; when there are too many, whoever has waited longest
//! without a whole request gives way to the next.
//!
//! It does not know routes, tokens or streams beyond their end, does not speak TLS, and does not keep connections open between requests.

mod answer;
mod connection;
mod entrance;
mod exchange;
mod front;
pub mod head;
mod limits;
pub mod refusal;
mod shared;
mod socket;
mod supervisor;

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

pub use limits::Limits;

use crate::api::door::Door;
use crate::api::inner::{Current, Handler};
use crate::error::{Doing as _, Error, Result};

/// Where clients connect. A socket that was handed over is used as it is; no path of one is ever removed.
#[derive(Debug)]
pub enum Listener {
    /// A port.
    Tcp(TcpListener),
    /// A socket in the file system: whoever may write to it may connect.
    Unix(UnixListener),
}

/// A service that runs.
pub struct Running {
    shared: Arc<shared::Shared>,
    front: JoinHandle<()>,
    supervisor: JoinHandle<Result<()>>,
}

/// Serves: requests that pass the gate go to the handler, on threads of the inner server. `alive` is called after each self-check that
/// went well (a watchdog is fed there), the first time when the service is ready.
///
/// # Errors
/// There are not enough threads, memory or open files to begin with, or no place for a private socket.
pub fn serve(listeners: Vec<Listener>, limits: Limits, handler: impl Handler, alive: impl Fn() + Send + 'static) -> Result<Running> {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limits = limits.fitted(files.unwrap_or(u64::MAX));
    let shared = Arc::new(shared::Shared::new().doing(|| "preparing the API".to_owned())?);
    let inner = Arc::new(Current::open(Arc::new(handler), limits.exchanges())?);
    let (own, door) = Door::open()?;
    let entrances = listeners.into_iter().map(|l| entrance::Entrance::new(l, false));
    let entrances = entrances.chain([entrance::Entrance::new(Listener::Unix(own), true)]).collect();
    let front = front::Front::new(entrances, limits.clone(), inner.clone(), shared.clone());
    let supervisor = supervisor::Supervisor { limits, door, inner, shared: shared.clone() };
    let thread = |name: &str| Builder::new().name(name.into()).stack_size(256 << 10);
    let front = thread("gate").spawn(move || front.run()).doing(|| "starting the gate".to_owned())?;
    let stops = shared.clone();
    let watch = move || {
        let watched = supervisor.watch(alive);
        stops.stop();
        watched
    };
    let supervisor = thread("supervisor").spawn(watch).doing(|| "starting the supervisor".to_owned())?;
    Ok(Running { shared, front, supervisor })
}

impl Running {
    /// For how long there has been nothing to do: no request, no stream, none on its way in. `None`: there is.
    pub fn idle_for(&self) -> Option<Duration> {
        self.shared.idle_for()
    }
    /// Requests and streams that are being worked on.
    pub fn busy(&self) -> usize {
        self.shared.busy()
    }
    /// Ends it. Connections are closed as they are.
    pub fn stop(&self) {
        self.shared.stop();
    }
    /// Whether it has ended by itself; [`Running::wait`] tells why.
    pub fn is_over(&self) -> bool {
        self.supervisor.is_finished()
    }
    /// Waits for its end.
    ///
    /// # Errors
    /// The API stopped answering, and nothing helped: the process is to end, and to be started anew.
    pub fn wait(self) -> Result<()> {
        let died = |_| Error::unexpected("a thread of the API died");
        // after an error the front loop may hang for good: it is not waited for
        self.supervisor.join().map_err(died)??;
        self.front.join().map_err(died)
    }
}
