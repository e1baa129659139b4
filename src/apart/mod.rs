//! Where bytes of strangers are read: HTTP, TLS, a server's JSON, gzip, tar. Not here, but in a process without privileges that this
//! program starts of itself, as another user, and that can do nothing but answer.
//!
//! ```text
//! the command, root:   judge ── signature, then manifest      write, hash, once
//!                        ▲ candidates  │ verdicts                   ▲ contents
//!      frames of ours    │             ▼                            │
//! the fetcher, nobody: source ── HTTP, TLS, JSON     unpack ── gunzip, untar
//! ```
//!
//! The root side reads frames of a few fixed shapes, each bounded, and JSON only of a manifest that the judge believed. A token goes over
//! the line and stands in no command line, no environment and no message.
//!
//! What this does not do: keep the fetcher from the network it is there for, or from reading what everybody may read. And a release that
//! it makes up is a release that nobody signed.

mod confine;
mod frame;
mod helper;
mod intake;
mod local;
mod orders;
mod patch_words;
mod remote;
mod serve;
mod words;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::device::Settings;
use crate::error::Result;
use crate::source::{self, Line, Source};
use crate::world::Clock;
use local::Apart;
use remote::Remote;
pub use serve::serve;

/// Opens the source that the config names. Reads its token and CA files; asks nobody yet.
///
/// # Errors
/// A token or CA file that cannot be read or used; a process without privileges that cannot be started.
pub fn open<'a>(settings: &Settings, clock: &'a dyn Clock) -> Result<Box<dyn Source + 'a>> {
    Ok(match Line::of(settings)? {
        Some(line) => Box::new(Remote::open(line, clock)?),
        None => source::open_dir(settings, Box::new(Apart::new(clock))),
    })
}

/// Opens what `apply --from` names: see [`source::open_from`].
///
/// # Errors
/// There is nothing there, or stdin is a terminal.
pub fn open_from<'a>(from: &Path, settings: &Settings, clock: &'a dyn Clock) -> Result<Box<dyn Source + 'a>> {
    source::open_from(from, settings, Box::new(Apart::new(clock)))
}
