//! What the updater remembers: the state that everybody is shown, history, logs, and what it distrusts. All of it durable; what is
//! damaged or written by a newer updater is set aside and said so, never guessed over.

pub mod history;
pub mod log;
pub mod status;
pub mod trust;

pub use history::Row;
pub use status::State;
pub use trust::Ledger;
