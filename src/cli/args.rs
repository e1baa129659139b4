//! What can be typed. Nothing here has an effect; every help leads with examples.

mod auto;
#[cfg(feature = "maintainer")]
mod demo;
#[cfg(any(test, not(feature = "maintainer")))]
mod elsewhere;
#[cfg(feature = "maintainer")]
mod maintain;
#[cfg(feature = "maintainer")]
mod maintainer;
mod setup;

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use semver::Version;

pub use auto::{Auto, AutoMode, Notify};
#[cfg(feature = "maintainer")]
pub use demo::{Demo, DemoPart};
#[cfg(not(feature = "maintainer"))]
pub use elsewhere::Elsewhere as Maintain;
#[cfg(feature = "maintainer")]
pub use maintain::{CheckExpiry, Keygen, Keys, Lint, Pack, Packing, Publish, Rotate, Sign, VerifyRelease};
#[cfg(feature = "maintainer")]
pub use maintainer::{Maintain, Shell};
pub use setup::Setup;

use crate::release::{Digest, manifest::version};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "pikit-updater", version, about = "Keeps the dashboard of a board up to date: all or nothing, and back by itself")]
#[command(before_help = "Examples:
  pikit-updater check              is there something newer?
  sudo pikit-updater apply         look at the plan, say yes, done
  sudo pikit-updater rollback      back to the version before, without a network
  pikit-updater status             what is installed, what is offered, how the last update went")]
#[command(after_help = "Exit codes: 0 done, 1 unexpected, 2 usage or config, 3 network, 4 verification, \
5 refused before any change, 6 failed and rolled back, 7 a person is needed, \
8 another run is busy, 9 permission, 10 cancelled; `man` tells more.")]
#[command(disable_help_subcommand = true, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Globals {
    /// The config [default: /etc/pikit/updater.toml below the root]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Work on the board below this folder: a mounted card, a sandbox
    #[arg(long, global = true, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// One JSON object on one line; long commands print their events before it
    #[arg(long, global = true)]
    pub json: bool,
    /// Only results and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Every file of a plan, every note
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Colours: auto, always or never
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = When::Auto, hide_possible_values = true, hide_default_value = true)]
    pub color: When,
    /// Never ask; what would ask is refused unless -y is given
    #[arg(long, global = true)]
    pub no_input: bool,
    /// The id that the transaction shall have; of a request, and nothing to be typed.
    #[arg(skip)]
    pub transaction: Option<String>,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell it about your dashboard: asks, checks each answer, writes the config
    Setup(Box<Setup>),
    /// What is installed, what is offered, how the last update went
    #[command(before_help = "Examples:
  pikit-updater status
  pikit-updater status --json | jq .current")]
    Status,
    /// Ask the source whether there is something newer
    #[command(before_help = "Examples:
  pikit-updater check
  pikit-updater check --exit-code || test $? -eq 100 && echo \"an update waits\"")]
    Check {
        /// Exit with 100 when an update is available
        #[arg(long)]
        exit_code: bool,
    },
    /// Install the offered release, or a certain one
    #[command(before_help = "Examples:
  sudo pikit-updater apply                          the newest, after a look at the plan
  sudo pikit-updater apply 1.4.0 -y                 this one, without a question
  pikit-updater apply --dry-run                     what would happen, file by file
  sudo pikit-updater apply --from /media/stick/pikit-1.4.0.tar.gz")]
    Apply(Apply),
    /// Return to the version before, from its backup and without a network
    #[command(before_help = "Examples:
  sudo pikit-updater rollback
  pikit-updater rollback --list
  sudo pikit-updater rollback 1.3.0 -y              to a certain backup, by name or version")]
    Rollback(Rollback),
    /// Settle what a power cut or a kill interrupted
    #[command(before_help = "Examples:
  sudo pikit-updater recover
  sudo pikit-updater recover --boot            as the boot unit runs it: only paths, no services")]
    Recover {
        /// Settle the paths and touch no service; a pending trial is left to a later `recover`
        #[arg(long)]
        boot: bool,
    },
    /// Hash every installed file and compare
    #[command(before_help = "Examples:
  pikit-updater verify
  sudo pikit-updater verify --repair           put back what differs; edited copies are kept aside")]
    Verify {
        /// Put back what differs
        #[arg(long)]
        repair: bool,
        /// Do not ask
        #[arg(short, long, requires = "repair")]
        yes: bool,
    },
    /// What happened, newest first
    #[command(before_help = "Examples:
  pikit-updater history
  pikit-updater history 3k9x                        one transaction, by the beginning of its id")]
    History {
        /// A transaction, or the beginning of its id
        id: Option<String>,
    },
    /// The log of the last transaction, or of a certain one
    #[command(before_help = "Examples:
  pikit-updater log
  pikit-updater log 3k9x")]
    Log {
        /// A transaction, or the beginning of its id
        id: Option<String>,
    },
    /// Pass over a version in automatic mode
    #[command(before_help = "Examples:
  sudo pikit-updater skip 1.4.0")]
    Skip {
        /// The version
        #[arg(value_parser = version)]
        version: Version,
    },
    /// Do not pass over it any more
    #[command(before_help = "Examples:
  sudo pikit-updater unskip 1.4.0")]
    Unskip {
        /// The version
        #[arg(value_parser = version)]
        version: Version,
    },
    /// Show or set what is done by itself every day
    #[command(before_help = "Examples:
  pikit-updater auto                                what is set, and when it is at work next
  sudo pikit-updater auto install --at 04:20        install new releases at night
  sudo pikit-updater auto check                     only look
  sudo pikit-updater auto off
  sudo pikit-updater auto run                       do it now, as the timer does")]
    Auto(Auto),
    /// Notices of what happened
    #[command(
        subcommand_required = true,
        arg_required_else_help = true,
        before_help = "Examples:
  sudo pikit-updater notify test"
    )]
    Notify {
        /// What about them.
        #[command(subcommand)]
        what: Notify,
    },
    /// Look at everything an update needs, and say what to do about what is wrong
    #[command(before_help = "Examples:
  sudo pikit-updater doctor
  pikit-updater doctor --offline
  sudo pikit-updater doctor --reset-time     the clock was far ahead, and all has expired since
  sudo ./pikit-updater doctor --self-test    could this very program look after this board?")]
    #[command(after_help = "Exit code: 0 when nothing failed (warnings are allowed), 5 when something did.")]
    Doctor {
        /// Do not ask the source
        #[arg(long)]
        offline: bool,
        /// Forget the latest time known to have been, by which releases are found to have expired
        #[arg(long)]
        reset_time: bool,
        /// Only whether this program reads what this board remembers; an updater asks it of the one that is to replace it
        #[arg(long, conflicts_with_all = ["offline", "reset_time"])]
        self_test: bool,
    },
    /// Take the request that waits and do what it asks for; started by the API or by its path unit, and nothing to be typed
    #[command(hide = true)]
    Request,
    /// Speak with servers and unpack, without privileges; started by the program itself, and nothing to be typed
    #[command(hide = true)]
    Fetcher {
        /// It was root that started it
        #[arg(long)]
        dropped: bool,
    },
    /// The API and the web page, for a browser on this board or behind nginx
    #[command(before_help = "Examples:
  pikit-updater serve                               on the address of [api] listen
  pikit-updater serve --mock ./mock                 made-up states, to work on the web page")]
    Serve(Serve),
    /// The token that opens the web page; made if there is none
    #[command(before_help = "Examples:
  sudo pikit-updater token
  sudo pikit-updater token --new                    another one: everybody has to log in again")]
    Token {
        /// Make another one
        #[arg(long)]
        new: bool,
    },
    /// What the maintainer's build has and a board's has not.
    #[command(flatten)]
    Maintain(Maintain),
    /// The config
    #[command(
        subcommand_required = true,
        arg_required_else_help = true,
        before_help = "Examples:
  pikit-updater config check"
    )]
    Config {
        /// What about it.
        #[command(subcommand)]
        what: Config,
    },
}

/// `apply`.
#[derive(Debug, Args)]
pub struct Apply {
    /// A certain version instead of the newest
    #[arg(value_parser = version)]
    pub version: Option<Version>,
    /// A bundle file, a folder with a release, or - for a bundle on stdin
    #[arg(long, value_name = "FILE|DIR|-")]
    pub from: Option<PathBuf>,
    /// Say what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Install only if the manifest has this digest: the one that was looked at
    #[arg(long, value_name = "SHA256", value_parser = digest)]
    pub require_manifest: Option<Digest>,
    /// Fetch and verify now, install later
    #[arg(long, conflicts_with = "dry_run")]
    pub download_only: bool,
    /// A lower version is all right
    #[arg(long)]
    pub allow_downgrade: bool,
    /// Quarantined, equal or changed: install it all the same
    #[arg(long)]
    pub force: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// `rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    /// A certain backup, by its name or its version; otherwise the newest
    pub backup: Option<String>,
    /// Show the backups
    #[arg(long, conflicts_with_all = ["backup", "dry_run", "yes"])]
    pub list: bool,
    /// Say what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Leave requests to a path unit of systemd instead of starting what does them
    #[arg(long)]
    pub leave_requests: bool,
    /// Serve the states of this folder (status-*.json) instead of a board's: for work on the web page
    #[arg(long, value_name = "DIR", conflicts_with = "leave_requests")]
    pub mock: Option<PathBuf>,
    /// With a socket of systemd: end after this time without a request
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = crate::quantity::duration)]
    pub idle: std::time::Duration,
}

/// `config`.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Print the effective config and every doubt about it
    #[command(before_help = "Examples:
  pikit-updater config check
  pikit-updater config check --config ./updater.toml")]
    Check,
}

fn digest(text: &str) -> Result<Digest, String> {
    text.parse()
}

/// The examples stand before the options: who asks for help wants one of them.
const TEMPLATE: &str = "{about}\n\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}\n";

/// The command, with our helps.
pub fn command() -> clap::Command {
    fn shape(command: clap::Command) -> clap::Command {
        command.help_template(TEMPLATE).mut_subcommands(shape)
    }
    shape(Cli::command())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn every_command_that_is_shown_has_an_example_and_a_sentence() {
        fn look(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            assert!(command.get_before_help().is_some_and(|h| h.to_string().starts_with("Examples:")), "{}", command.get_name());
            command.get_subcommands().filter(|c| !c.is_hide_set()).for_each(look);
        }
        look(&command());
    }

    #[test]
    fn helps_are_broken_by_the_terminal_and_no_example_is_wider_than_one() {
        fn look(command: &clap::Command) {
            let prose = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(!prose.contains('\n'), "{}: {prose}", command.get_name());
            let examples = command.get_before_help().map(ToString::to_string).unwrap_or_default();
            // beyond a hundred columns clap breaks every line
            examples.lines().for_each(|line| assert!(line.len() <= 100, "{}: {line}", command.get_name()));
            command.get_subcommands().for_each(look);
        }
        look(&command());
    }
}
