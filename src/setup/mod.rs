//! First contact: where the releases come from, whose they are, what of this board they may touch. Answers become the text of a config
//! (pure), releases that the key signed are looked up, and the files that are on the board already are compared with them, so that the
//! first update is as small as any other.
//!
//! What is not done here: nothing asks a person (the command line does), and no managed path is changed, ever.

/// What was answered, and the config that follows.
pub mod answers;
/// Two texts beside each other, line by line.
pub mod diff;
/// The releases of a source that the key signed.
pub mod catalogue;
/// Whether the answers go with this board and these releases.
pub mod fit;
/// Which release lies on the board already.
pub mod adopt;
/// Putting key and config where they belong.
pub mod put;
/// What makes two boards look like one.
pub mod identity;
