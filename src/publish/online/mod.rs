//! `publish`: a packed and signed release goes to a Gitea or Forgejo server, and nobody ever sees half of it.
//!
//! ```text
//! look ──▶ decide ──▶ act ──▶ look again … until nothing is left to do ──▶ witness
//! what the     pure      create a draft, delete,                             what a device
//! server has             upload, and at the very end: show                   finds there
//! ```
//!
//! Nothing is remembered between two runs: what the server holds is looked at anew, so a run that broke off is simply run again.

pub mod client;
pub mod decide;
pub mod earlier;
mod far;
pub mod held;
pub mod multipart;
pub mod ready;
pub mod story;
pub mod target;
pub mod witness;
pub mod work;

pub use ready::What;
pub use story::{Asked, Published, publish};
pub use target::{Target, WrittenTarget};
