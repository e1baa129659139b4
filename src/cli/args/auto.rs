//! What can be typed after `auto` and `notify`.

use clap::{Args, Subcommand, ValueEnum};

use crate::device::schedule;

/// `auto`.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes of `auto run`: those of `apply`; 0 also when another run is busy, and when the offered release is \
passed over, failed here before, or is not for this hour.")]
pub struct Auto {
    /// off: nothing; check: look and say what there is; install: install it; run: do now what is set
    #[arg(value_enum, hide_possible_values = true, value_name = "off|check|install|run")]
    pub mode: Option<AutoMode>,
    /// With run: when the source cannot be reached, wait this long and try again, each time longer
    #[arg(long, value_name = "TIME,TIME,…", value_delimiter = ',', value_parser = crate::quantity::duration)]
    pub retry: Vec<std::time::Duration>,
    /// When, in local time
    #[arg(long, value_name = "HH:MM", value_parser = hour)]
    pub at: Option<String>,
}

/// What to set, or to do it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AutoMode {
    /// Nothing
    Off,
    /// Look
    Check,
    /// Install
    Install,
    /// Do it now
    Run,
}

impl AutoMode {
    /// As the config spells it.
    pub fn name(self) -> &'static str {
        match self {
            AutoMode::Off => "off",
            AutoMode::Check => "check",
            AutoMode::Install => "install",
            AutoMode::Run => "run",
        }
    }
}

/// `notify`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Notify {
    /// Send one that only says that notices arrive
    #[command(before_help = "Examples:
  sudo pikit-updater notify test")]
    Test,
}

fn hour(text: &str) -> Result<String, String> {
    schedule::time(text).map(|_| text.to_owned()).ok_or_else(|| "not a time like 04:20".into())
}
