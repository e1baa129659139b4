//! What the updater remembers: the state that everybody is shown, history, logs, and what it distrusts. All of it durable; what is
//! damaged is set aside and said so; what a newer updater wrote is held: never guessed at, never written over.

pub mod history;
pub mod log;
pub mod sentinel;
pub mod status;
pub mod trust;

pub use history::Row;
pub use sentinel::Sentinel;
pub use status::State;
pub use trust::Ledger;
