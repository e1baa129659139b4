//! The commands that only the maintainer's build has. A board's build answers their names: see `elsewhere`.

use clap::{Subcommand, ValueEnum};

use super::{CheckExpiry, Demo, Keygen, Lint, Pack, Publish, Rotate, Sign, VerifyRelease};

/// The commands of feature `maintainer`.
#[derive(Debug, Subcommand)]
pub enum Maintain {
    /// Play the whole story in a sandbox: releases, a server, a board and its dashboard
    #[command(before_help = "Examples:
  pikit-updater demo                                try it yourself, in ./pikit-demo
  pikit-updater demo --tour                         watch the story")]
    #[command(args_conflicts_with_subcommands = true)]
    Demo(Demo),
    /// Make a release out of a folder, as release.toml says
    Pack(Pack),
    /// Put a release on a Gitea or Forgejo server: packed, signed, whole, and looked at
    Publish(Box<Publish>),
    /// What in a release would hurt devices
    Lint(Lint),
    /// Make a pair of keys to sign releases with
    Keygen(Keygen),
    /// Sign a release, or a change of the keys
    Sign(Sign),
    /// Look at a release as a device would, and closer
    VerifyRelease(VerifyRelease),
    /// Whether a manifest may be offered for long enough, for a CI
    CheckExpiry(CheckExpiry),
    /// Change the keys that sign: add a step to trust.json
    Rotate(Rotate),
    /// Completions for a shell, on stdout
    #[command(before_help = "Examples:
  pikit-updater completions bash >~/.local/share/bash-completion/completions/pikit-updater")]
    Completions {
        /// bash, zsh or fish
        #[arg(value_enum, hide_possible_values = true)]
        shell: Shell,
    },
    /// The manual page, on stdout
    #[command(before_help = "Examples:
  pikit-updater man | man -l -")]
    Man,
}

/// The shells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}
