//! In a board's build the maintainer's commands do not vanish without a word: their names are known, and the answer says where they are.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, Subcommand};

/// What the maintainer's build has and this one has not.
pub const NAMES: [&str; 11] = ["demo", "pack", "publish", "lint", "keygen", "sign", "verify-release", "check-expiry", "rotate", "completions", "man"];

/// A command of the maintainer's build, with whatever was typed after it.
#[derive(Debug)]
pub struct Elsewhere {
    /// Which.
    pub name: &'static str,
}

impl FromArgMatches for Elsewhere {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let typed = matches.subcommand_name().unwrap_or_default();
        let known = NAMES.into_iter().find(|n| *n == typed);
        known.map(|name| Elsewhere { name }).ok_or_else(|| clap::Error::new(ErrorKind::InvalidSubcommand))
    }
    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Elsewhere::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for Elsewhere {
    fn augment_subcommands(command: Command) -> Command {
        // whatever follows is taken, also --help: the answer is the same
        let rest = || Arg::new("rest").action(ArgAction::Append).num_args(0..).trailing_var_arg(true).allow_hyphen_values(true);
        let known = |name| Command::new(name).hide(true).disable_help_flag(true).arg(rest().value_parser(clap::value_parser!(OsString)));
        NAMES.into_iter().fold(command, |all, name| all.subcommand(known(name)))
    }
    fn augment_subcommands_for_update(command: Command) -> Command {
        Elsewhere::augment_subcommands(command)
    }
    fn has_subcommand(name: &str) -> bool {
        NAMES.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_the_maintainer_is_answered_whatever_follows() {
        let program = || Elsewhere::augment_subcommands(Command::new("pikit-updater"));
        for typed in [&["pack"][..], &["sign", "dist", "--key", "-"], &["man", "--help"], &["demo", "--tour", "x", "--", "y"]] {
            let matches = program().try_get_matches_from(["pikit-updater"].iter().chain(typed)).unwrap_or_else(|e| panic!("{typed:?}: {e}"));
            assert_eq!(Elsewhere::from_arg_matches(&matches).unwrap().name, typed[0]);
        }
        assert!(program().try_get_matches_from(["pikit-updater", "packe"]).is_err());
    }

    #[cfg(feature = "maintainer")]
    #[test]
    fn no_name_is_forgotten() {
        let all = super::super::Maintain::augment_subcommands(Command::new("pikit-updater"));
        let names: Vec<&str> = all.get_subcommands().map(Command::get_name).collect();
        assert_eq!(names, NAMES);
    }
}
