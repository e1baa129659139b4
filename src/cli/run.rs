//! From a command to what does it.

use super::args::{Cli, Command, Config, Globals, Maintain, Notify};
#[cfg(feature = "maintainer")]
use super::args::{DemoPart, Serve};
use super::voice::Voice;
use super::{auto, change, config_view, doctor, look, records, request, serve, setup};
#[cfg(feature = "maintainer")]
use super::{board, maintain, paper};
#[cfg(not(feature = "maintainer"))]
use crate::error::Error;
use crate::error::Result;

/// Runs the command; gives the exit code.
///
/// # Errors
/// What is to be told as an error, with its own exit code.
pub fn run(cli: &Cli, voice: &Voice) -> Result<u8> {
    let globals = &cli.globals;
    match &cli.command {
        Command::Setup(asked) if asked.reset_identity => setup::reset_identity(globals, voice, asked.yes),
        Command::Setup(asked) => setup::run(globals, voice, asked),
        Command::Status => look::status(globals, voice),
        Command::Check { exit_code } => look::check(globals, voice, *exit_code),
        Command::Apply(asked) => change::apply(globals, voice, asked),
        Command::Rollback(asked) if asked.list => records::backups(globals, voice),
        Command::Rollback(asked) => change::rollback(globals, voice, asked),
        Command::Recover { boot } => change::settle(globals, voice, *boot),
        Command::Verify { repair: true, yes } => change::repair(globals, voice, *yes),
        Command::Verify { repair: false, .. } => look::verify(globals, voice),
        Command::History { id } => records::show_history(globals, voice, id.as_deref()),
        Command::Log { id } => records::show_log(globals, voice, id.as_deref()),
        Command::Skip { version } => look::skip(globals, voice, version, true),
        Command::Unskip { version } => look::skip(globals, voice, version, false),
        Command::Auto(asked) => auto::auto(globals, voice, asked),
        Command::Notify { what: Notify::Test } => auto::notify_test(globals, voice),
        Command::Doctor { self_test: true, .. } => doctor::self_test::run(globals, voice),
        Command::Doctor { offline, reset_time, .. } => doctor::run(globals, voice, *offline, *reset_time),
        Command::Request => request::run(globals, voice),
        Command::Fetcher { dropped } => crate::apart::serve(*dropped),
        Command::Serve(asked) => serve::run(globals, voice, asked),
        Command::Token { new } => serve::token(globals, voice, *new),
        Command::Maintain(asked) => maintainer(globals, voice, asked),
        Command::Config { what: Config::Check } => config_view::check(globals, voice),
    }
}

/// The commands of the maintainer's build.
#[cfg(feature = "maintainer")]
fn maintainer(globals: &Globals, voice: &Voice, asked: &Maintain) -> Result<u8> {
    match asked {
        Maintain::Demo(demo) => match &demo.part {
            None => crate::demo::run(crate::demo::Options { dir: demo.dir.clone(), tour: demo.tour, stay: demo.stay, exe: None }),
            Some(DemoPart::Control { verb, unit }) => crate::demo::control(board::layout(globals)?.root(), verb, unit),
            Some(DemoPart::Api) => {
                crate::demo::end_with_the_demo(board::layout(globals)?.root())?;
                serve::run(globals, voice, &Serve { leave_requests: false, mock: None, idle: std::time::Duration::MAX })
            }
            Some(DemoPart::Dashboard) => crate::demo::dashboard(board::layout(globals)?.root()),
        },
        Maintain::Pack(asked) => maintain::pack_release(voice, asked),
        Maintain::Publish(asked) => maintain::publish_release(voice, asked),
        Maintain::Lint(asked) => maintain::lint_release(globals, voice, asked),
        Maintain::Keygen(asked) => maintain::make_key(voice, asked),
        Maintain::Sign(asked) => maintain::sign_release(voice, asked),
        Maintain::VerifyRelease(asked) => maintain::verify_release(voice, asked),
        Maintain::CheckExpiry(asked) => maintain::check_expiry(voice, asked),
        Maintain::Rotate(asked) => maintain::rotate(voice, asked),
        Maintain::Completions { shell } => paper::completions(*shell),
        Maintain::Man => paper::manual(),
    }
}

/// A board's build says where they are.
#[cfg(not(feature = "maintainer"))]
fn maintainer(_: &Globals, _: &Voice, asked: &Maintain) -> Result<u8> {
    let hint = match asked.name {
        "completions" | "man" => {
            "the packages bring completions and the manual page; the maintainer's build can make them: `cargo install --path .` in its source"
        }
        _ => "use the maintainer's build, on another machine: `cargo install --path .` in the source of pikit-updater",
    };
    Err(Error::usage(format!("`{}` is not in this program, which was built for boards", asked.name)).hint(hint))
}
