//! What the pages say is so: every command line is understood, every example parses, every link leads somewhere, and what a person is
//! told to type when the program is gone, or when they come from something else, is typed here, on a made-up board.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are no production

#[path = "docs/by_hand.rs"]
mod by_hand;
#[path = "docs/examples.rs"]
mod examples;
#[path = "docs/keys.rs"]
mod keys;
#[path = "docs/links.rs"]
mod links;
#[path = "docs/migrate.rs"]
mod migrate;
#[path = "docs/shell.rs"]
mod shell;
#[path = "docs/typed.rs"]
mod typed;

mod support;
