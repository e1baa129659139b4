//! pikit-updater keeps the dashboard of a board up to date: all or nothing, and back by itself.
//!
//! ```text
//! Source ──▶ Manifest ──▶ Plan ──▶ Transaction ──▶ Staged ──▶ Sealed ──▶ Trial ──▶ Outcome
//!            (checked)   (pure)    (journaled)     (hashed)   (synced)   (renamed)  confirmed | rolled back
//! ```
//!
//! The modules stand in the order of the trip, and a module uses only what stands above it (`tests/architecture.rs` keeps that true).
//! Start with `update/apply.rs`, which tells the whole trip from top to bottom.

/// Durations and sizes, for people.
pub mod quantity;
/// TOML written by people, read strictly.
pub mod keys;
/// Events, phases, outcomes: one stream for every reader.
pub mod event;
/// One error type, with exit codes and hints.
pub mod error;
/// Facts about releases: manifest, bundle, digests.
pub mod release;
/// What is believed, and what was learned: pure.
pub mod trust;
/// Records that carry their own checksum.
pub mod record;
/// Facts about this board: config and layout.
pub mod device;
/// The only effects: disk, processes, clock.
pub mod world;
/// What an apply would do: decided from facts, pure.
pub mod plan;
/// The journal of a transaction, and what to do with one after a crash: pure.
pub mod journal;
/// What the updater remembers.
pub mod state;
/// What a person asked for where they have no right to do it.
pub mod request;
/// Where releases come from.
pub mod source;
/// The process without privileges, in which sources run.
pub mod apart;
/// The trip.
pub mod update;
/// Automatic mode: what the owner sets, what the timer runs.
pub mod daily;
/// Telling somebody else what happened.
pub mod notify;
/// First contact: from answers to a config, and what lies there already.
pub mod setup;
/// The maintainer's side: a recipe and a folder become a release.
#[cfg(feature = "maintainer")]
pub mod publish;
/// The HTTP API and the web page.
pub mod api;
/// The whole story on one machine: releases, a server, a board, a dashboard.
#[cfg(feature = "maintainer")]
pub mod demo;
/// The command line: parse, one call into the trip, render.
pub mod cli;

pub use error::{Code, Doing, Error, Result};
