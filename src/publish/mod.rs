//! The maintainer's side: from `release.toml` and a folder of files to the assets of a release.
//!
//! The same files packed with the same recipe give the same bytes on every machine, so that anybody can check a release by packing it
//! again. That rests on this program's own compressor: another version of it may write other bytes that unpack to the same files.

pub mod age;
pub mod bundle;
pub mod chunks;
pub mod earlier;
pub mod examine;
pub mod expiry;
pub mod glob;
pub mod key;
pub mod keygen;
pub mod lint;
pub mod member;
pub mod notes;
pub mod online;
pub mod pack;
pub mod patch;
pub mod patches;
pub mod place;
pub mod reach;
pub mod recipe;
pub mod secret;
pub mod sign;
pub mod signatures;
pub mod signers;
pub mod similar;
pub mod squeeze;
pub mod terminal;
pub mod tree;
pub mod trust_file;
mod unpack;

pub use earlier::Before;
pub use pack::{Packed, pack};
pub use recipe::{Overrides, Recipe};
