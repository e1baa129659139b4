//! `demo`: the whole story on any machine, without root and without a network. In one folder lie the sample product's releases, a server
//! that speaks Gitea's API, and a sandbox board with a dashboard that really runs; the updater that works on it is the real one.
//!
//! Nothing outlives the demo: the dashboard ends when the demo's lock on its folder does, however the demo ended. Its releases are signed
//! with a key of its own. What it does not show is systemd, whose place [`control()`] takes, and nginx, whose place `front` takes.

mod api;
mod board;
mod control;
mod dashboard;
mod folder;
mod front;
mod hands;
pub mod http;
mod prompt;
pub mod releases;
pub mod sample;
mod tour;

use std::io::{IsTerminal, stdin, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Doing, Result};

pub use api::end_with_the_demo;
pub use control::{control, control_with};
pub use dashboard::dashboard;
pub use folder::Folder;

/// What `demo` was asked to do.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `DIR`; `pikit-demo` in the current folder unless told.
    pub dir: Option<PathBuf>,
    /// `--tour`: play the story instead of asking what to do. Without a terminal it is played anyway.
    pub tour: bool,
    /// `--stay`: ask also without a terminal, and stay when there is nothing more to be read.
    pub stay: bool,
    /// The program that is the updater; this one unless told.
    pub exe: Option<PathBuf>,
}

/// All that is on the stage.
pub(crate) struct Stage {
    folder: Folder,
    ports: Ports,
    releases: releases::Releases,
    hands: Arc<hands::Hands>,
}

/// Where things answer on loopback.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    /// The sample dashboard.
    dashboard: u16,
    /// The address for people, in front of both.
    front: u16,
}

/// Runs the demo; tells the exit code.
///
/// # Errors
/// A folder that is not a demo's, a step that did not do what it should, a stop by a person.
pub fn run(options: Options) -> Result<u8> {
    let dir = options.dir.unwrap_or_else(|| "pikit-demo".into());
    let exe = match options.exe {
        Some(exe) => exe,
        None => std::env::current_exe().doing(|| "finding this program".into())?,
    };
    let tour = options.tour || !(options.stay || stdin().is_terminal() && stdout().is_terminal());

    let (folder, alive) = Folder::claim(&dir)?;
    say(&format!("This demo stays in {}: no root, no network, nothing else on this machine is touched.", folder.dir().display()));
    sample::pack_all(&folder)?;
    let releases = releases::Releases::serve(&folder.releases(), &sample::FIRST)?;
    let (dashboard, api) = board::prepare(&folder, &alive, releases.port(), &exe)?;
    let ports = Ports { dashboard, front: front::open(dashboard, api)? };
    let hands = Arc::new(hands::Hands::new(exe.clone(), folder.board(), !tour && !options.stay));
    hands::end_on_signals(&hands, &folder)?;
    let api = api::Api::start(&folder, &exe, api)?;

    let stage = Stage { folder, ports, releases, hands };
    let played = if tour { tour::play(&stage) } else { prompt::ask(&stage, options.stay) };
    // the same end for a story that went well, one that did not, and one that was stopped
    let stopped = control::stop(&stage.folder);
    drop(api);
    drop(alive);
    played.and(stopped).map(|()| 0)
}

/// One line of narration.
fn say(line: &str) {
    println!("\n▸ {line}");
}

/// How people see a path: below the current folder if it is.
fn short(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let inside = here.as_deref().and_then(|h| path.strip_prefix(h).ok());
    inside.unwrap_or(path).display().to_string()
}
