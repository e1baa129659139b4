//! pikit-updater keeps the dashboard of a board up to date: all or nothing, and back by itself.
//!
//! ```text
//! Source ──▶ Manifest ──▶ Plan ──▶ Transaction ──▶ Staged ──▶ Sealed ──▶ Trial ──▶ Outcome
//!            (checked)   (pure)    (journaled)     (hashed)   (synced)   (renamed)  confirmed | rolled back
//! ```
//!
//! The modules stand in the order of the trip, and a module uses only what stands above it (`tests/architecture.rs` keeps that true).
//! Start with `update/apply.rs`, which tells the whole trip from top to bottom.

/// Facts about this board: config and layout.
pub mod device;
/// One error type, with exit codes and hints.
pub mod error;
/// Events, phases, outcomes: one stream for every reader.
pub mod event;
/// TOML written by people, read strictly.
pub mod keys;
/// Durations and sizes, for people.
pub mod quantity;
/// Facts about releases: manifest, bundle, digests.
pub mod release;
/// The only effects: disk, processes, clock.
pub mod world;

/// Where releases come from.
pub mod source;

/// The maintainer's side: pack a release.
pub mod publish;

/// The whole story on any machine: releases, a server, a board and its dashboard in one folder.
pub mod demo;

pub use error::{Code, Doing, Error, Result};
