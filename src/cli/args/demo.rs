//! What can be typed after `demo`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Where [default: ./pikit-demo]
    pub dir: Option<PathBuf>,
    /// Play the story instead of asking what to do
    #[arg(long)]
    pub tour: bool,
    /// Ask also without a terminal, and stay until a signal comes
    #[arg(long, conflicts_with = "tour")]
    pub stay: bool,
    /// What the demo's own board calls.
    #[command(subcommand)]
    pub part: Option<DemoPart>,
}

/// What the demo's own board calls; nobody types it.
#[derive(Debug, Subcommand)]
pub enum DemoPart {
    /// What systemctl would do
    #[command(hide = true)]
    Control {
        /// restart, reload, is-active
        verb: String,
        /// The unit
        unit: String,
    },
    /// The sample dashboard
    #[command(hide = true)]
    Dashboard,
    /// The API
    #[command(hide = true)]
    Api,
}
