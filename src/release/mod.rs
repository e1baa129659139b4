//! Facts about releases, as values that cannot be wrong. Pure: nothing here touches the device or the network.

mod archive;
pub mod bundle;
pub mod chunks;
pub mod digest;
pub mod earlier;
pub mod elf;
pub mod frames;
pub mod gear;
mod header;
pub mod hint;
pub mod index;
mod info;
pub mod keys;
pub mod keyset;
pub mod manifest;
pub mod patch;
pub mod path;
pub mod rollout;
pub mod route;
pub mod signature;
pub mod step;
pub mod steps;

pub use digest::Digest;
pub use hint::Hint;
pub use keyset::KeySet;
pub use manifest::Manifest;
pub use path::ReleasePath;
pub use signature::{KeyId, PublicKey};
pub use step::Step;
