//! The API as a process: where it listens, how it tells that it lives, and when it ends.

use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use super::attempts::Attempts;
use super::board::Board;
use super::events::Hub;
use super::gate::{self, Limits, Listener};
use super::mock::Mock;
use super::routes::Api;
use crate::device::contact::Listen;
use crate::error::{Doing, Error, Result};

/// How the API is to be served.
pub struct Options {
    /// The file with the token; none: no token is asked for.
    pub token_file: Option<PathBuf>,
    /// Names of this board.
    pub names: Vec<String>,
    /// With a socket of systemd: end after this time without a request.
    pub idle: Duration,
    /// Where to listen when systemd hands over nothing.
    pub listen: Listen,
    /// Largest bundle that may be sent, bytes.
    pub upload_limit: u64,
    /// Made-up states, if that is what is shown.
    pub mock: Option<Arc<Mock>>,
}

/// How often it is looked whether there is still something to do.
const LOOK: Duration = Duration::from_secs(2);

/// Serves until a signal comes, or until nobody has asked for long and systemd keeps the socket.
///
/// # Errors
/// The address is taken, or the server could not be kept alive.
pub fn run(board: Arc<dyn Board>, options: Options, say: &dyn Fn(&str)) -> Result<u8> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).doing(|| "listening for signals".into())?;
    let handed = handed_over()?;
    let keeps_socket = !handed.is_empty();
    let (listeners, places) = match handed.is_empty() {
        false => (handed, "the socket of systemd".to_owned()),
        true => open(&options.listen)?,
    };

    let hub = Arc::new(Hub::default());
    let process = board.new_id().chars().take(8).collect();
    let api = Arc::new(Api {
        board: Arc::clone(&board),
        hub: Arc::clone(&hub),
        token_file: options.token_file,
        names: options.names,
        started: chrono::Utc::now(),
        process,
        attempts: Mutex::new(Attempts::default()),
        comparing: Mutex::new(()),
        receiving: Mutex::new(()),
        upload_limit: options.upload_limit,
        mock: options.mock,
    });
    let looking = (Arc::clone(&hub), Arc::clone(&board));
    let spawned = std::thread::Builder::new().name("events".into()).stack_size(512 << 10).spawn(move || looking.0.watch(looking.1.as_ref()));
    spawned.doing(|| "starting to look for events".into())?;
    let answering = Arc::clone(&api);
    let gate = gate::serve(listeners, Limits::default(), move |request, caller| answering.answer(request, caller), alive)?;

    say(&format!("listening on {places}"));
    tell_systemd(&[sd_notify::NotifyState::Ready, sd_notify::NotifyState::Status("serving")]);
    let (end, ended) = channel();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            signals.forever().next();
            // whoever waits for it has ended by itself otherwise
            let _ = end.send(());
        })
        .doing(|| "listening for signals".into())?;
    loop {
        match ended.recv_timeout(LOOK) {
            Ok(_) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if gate.is_over() {
            return gate.wait().map(|()| 0);
        }
        if keeps_socket && gate.idle_for().is_some_and(|idle| idle >= options.idle) && hub.listeners() == 0 && nothing_runs(board.as_ref()) {
            say("nobody has asked for a while: systemd starts this again when somebody does");
            break;
        }
    }
    tell_systemd(&[sd_notify::NotifyState::Stopping]);
    hub.end();
    gate.stop();
    Ok(0)
}

/// Whether no transaction runs and none was asked for.
fn nothing_runs(board: &dyn Board) -> bool {
    board.state().is_ok_and(|state| state["busy"].is_null() && state["pending"].is_null())
}

/// Called after each check of ours that went through the whole way of a request.
fn alive() {
    tell_systemd(&[sd_notify::NotifyState::Watchdog]);
}

fn tell_systemd(state: &[sd_notify::NotifyState]) {
    // without systemd there is nobody to tell
    let _ = sd_notify::notify(state);
}

/// The sockets that systemd hands over (sd_listen_fds(3)).
fn handed_over() -> Result<Vec<Listener>> {
    let mut fds = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for i in 0..fds.len() {
        let taking = || "taking the socket that systemd hands over".to_owned();
        if let Ok(Some(tcp)) = fds.take_tcp_listener(i) {
            listeners.push(Listener::Tcp(tcp));
        } else if let Some(unix) = fds.take_unix_listener(i).doing(taking)? {
            listeners.push(Listener::Unix(unix));
        }
    }
    Ok(listeners)
}

fn open(listen: &Listen) -> Result<(Vec<Listener>, String)> {
    let doing = || format!("listening on {listen}");
    match listen {
        Listen::Tcp(address) => {
            let listener = TcpListener::bind(address).map_err(|e| {
                let hint = match e.kind() {
                    std::io::ErrorKind::AddrInUse => "another program listens there; `[api] listen` in updater.toml names another port",
                    _ => "`[api] listen` in updater.toml says where",
                };
                Error::unexpected(doing()).because(e).hint(hint)
            })?;
            let address = listener.local_addr().doing(doing)?;
            Ok((vec![Listener::Tcp(listener)], format!("http://{address}")))
        }
        Listen::Unix(path) => {
            left_behind(path)?;
            let listener = UnixListener::bind(path).doing(doing)?;
            // whoever may ask is nginx's group; everything but the page wants the token besides
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).doing(doing)?;
            Ok((vec![Listener::Unix(listener)], format!("unix:{}", path.display())))
        }
    }
}

/// Removes the socket of a server that was killed; one that answers is somebody's.
fn left_behind(path: &Path) -> Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
    if is_socket && UnixStream::connect(path).is_err() {
        std::fs::remove_file(path).doing(|| format!("removing the socket {} of a server that is gone", path.display()))?;
    }
    Ok(())
}
