//! Facts about this board: its config, its managed paths, and where things lie on it.

pub mod config;
pub mod contact;
pub mod layout;
pub mod managed;
pub mod schedule;
pub mod settings;

pub use contact::{Api, Notify};
pub use layout::Layout;
pub use managed::Managed;
pub use schedule::Schedule;
pub use settings::Settings;
