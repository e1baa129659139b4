//! The command line: parse, one call into the trip, render. Nothing is initialised before the arguments are parsed, and nothing is
//! decided here that another reader of the state would have to decide again.

/// What can be typed.
pub mod args;
/// How we speak: streams, colours, JSON, and nothing of a stranger's that a terminal would obey.
pub mod voice;
/// Settings, disk, clock and lock of one command.
mod board;
/// Whether our own folders are ours.
mod own;
/// The event stream as a bar, as lines, or as NDJSON.
mod progress;
/// The question.
mod ask;
/// A plan for people, and as JSON.
mod plan_view;
/// How a command ended.
mod report_view;
/// The state for people.
mod status_view;
/// Backups, history and logs.
mod records;
/// First contact: the questions.
mod interview;
/// First contact: what follows from the answers.
mod setup;
/// How a setup ended, in words.
mod setup_view;
/// auto, auto run, notify test.
mod auto;
/// apply, rollback, recover and repair.
mod change;
/// status, check, verify, skip.
mod look;
/// What the API asked for.
mod request;
/// The API, and its token.
mod serve;
/// Everything an update needs, looked at.
mod doctor;
/// The effective config.
mod config_view;
/// The maintainer's commands.
#[cfg(feature = "maintainer")]
mod maintain;
/// Completions and the manual page.
#[cfg(feature = "maintainer")]
mod paper;
/// From a command to what does it.
mod run;

use std::process::ExitCode;

use clap::FromArgMatches;

use crate::error::Code;
use voice::Voice;

/// The program: parses, runs, tells what went wrong, and gives the exit code.
pub fn main() -> ExitCode {
    let parsed = args::command().try_get_matches().and_then(|matches| args::Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(misunderstood(&error)),
    };
    let voice = Voice::new(&cli.globals);
    let code = run::run(&cli, &voice).unwrap_or_else(|error| {
        voice.error(&error);
        error.code as u8
    });
    ExitCode::from(code)
}

/// What clap did not understand, or was asked for instead (help, version).
fn misunderstood(error: &clap::Error) -> u8 {
    if !error.use_stderr() {
        // a reader that went away has seen enough
        let _ = error.print();
        return 0;
    }
    let json = std::env::args_os().skip(1).take_while(|a| a != "--").any(|a| a == "--json");
    if json {
        let text = error.render().to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        voice::json_line(&voice::error_json(&crate::Error::usage(message).hint("`pikit-updater --help` shows what can be typed")));
    } else {
        let _ = error.print();
    }
    Code::Usage as u8
}
