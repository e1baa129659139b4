//! The only effects: files, processes, sockets, clock, locks. Few verbs behind narrow doors, each with a real side and, for the
//! disk, a simulated one that can lose power at any effect. The trip touches the machine through these doors alone.

pub mod clock;
#[cfg(test)]
pub mod contract;
pub mod disk;
pub mod durable;
pub mod lock;
pub mod look;
pub mod outside;
mod program;
pub mod real;
mod resolve;
#[cfg(test)]
pub mod scratch;
#[cfg(test)]
pub mod sim;
pub mod user;
mod volume;
pub mod way;

pub use clock::Clock;
pub use disk::{Disk, Kind, Meta};
pub use outside::Outside;

/// The doors, together: what the trip is handed.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// Files.
    pub disk: &'a dyn Disk,
    /// Processes and probes.
    pub outside: &'a dyn Outside,
    /// Time.
    pub clock: &'a dyn Clock,
}
