//! The HTTP API: everything a browser reaches.
//!
//! ```text
//! client ──▶ gate ──▶ private socket ──▶ inner (tiny_http) ──▶ handler
//! ```
//!
//! The gate reads and judges; what passes is one whole request of known size, in plain ASCII. The inner server is reached by nobody else.

pub mod caller;
mod door;
pub mod gate;
pub mod inner;
