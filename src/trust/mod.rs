//! What this board believes, and what it has learned about releases: decided from values, without a file or a clock. Modelled on what The
//! Update Framework asks of a client (TUF specification 1.0, section 5), for one signed manifest.
//!
//! What is remembered only ever moves forward: [`Learned`] is changed by what the right keys signed, and saved by whoever owns the file.

mod identity;
pub mod learned;
pub mod time;

pub use identity::identity;
pub use learned::{Floor, Learned, Offered, Recalled, Refusal, Standing};
pub use time::{Expiry, Sync, Time};
