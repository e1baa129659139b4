//! The HTTP API and the web page. Nothing here changes the board: what is asked for is left as a request, and another process does it,
//! so that the work outlives the page, the connection and this server.
//!
//! ```text
//! browser ──▶ gate ──▶ private socket ──▶ tiny_http ──▶ routes ──▶ board (files, read only)
//!          (bounds,                                       │  └────▶ request.json ──▶ another process, as root
//!           refuses)                                      └───────▶ events ──▶ streams
//! ```

/// Who asked.
pub mod caller;
/// The private socket.
mod door;
/// tiny_http behind it.
pub mod inner;
/// The way in: bounds, and refuses.
pub mod gate;
/// Who may ask.
pub mod access;
/// Wrong tokens, slowed down.
pub mod attempts;
/// Answers, and how they are written.
pub mod reply;
/// Waiting for files to change.
pub mod watch;
/// The state in numbers.
pub mod metrics;
/// The config, read again when it changes.
pub mod config;
/// What is shown, and how things are had done.
pub mod board;
/// Made-up states.
pub mod mock;
/// What has changed since the last look.
pub mod events;
/// Events as a stream of text.
pub mod stream;
/// The page, embedded.
pub mod ui;
/// The routes.
pub mod route;
/// What a request asks for.
pub mod asked;
/// What is answered to what.
pub mod routes;
/// Where it listens, and when it ends.
pub mod serve;
