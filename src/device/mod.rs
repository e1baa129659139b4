//! Facts about this board: its config, its managed paths, and where things lie on it.

pub mod config;
pub mod layout;
pub mod managed;
pub mod settings;

pub use layout::Layout;
pub use managed::Managed;
pub use settings::Settings;
