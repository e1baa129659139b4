//! The demo on a terminal: a person types, the real updater runs.

use std::io::{BufRead, Write, stdin, stdout};

use super::{Stage, say, tour};
use crate::error::{Doing, Result};

const HELP: &str = "
  check, apply, status, verify, history, log, rollback    run the updater (options can follow, as in `apply --dry-run`)
  open       where the dashboard is, and the token that opens its Updates dialog
  publish    make release 1.2.0 appear, which is sick: apply it and see
  kill       kill -9 the updater in the middle of an apply, then let `recover` settle it
  help, quit";

/// Commands of the updater that are handed on as they are typed.
const HANDED_ON: [&str; 13] = ["check", "apply", "status", "verify", "history", "log", "rollback", "recover", "skip", "unskip", "auto", "doctor", "config"];
/// Where `kill` strikes: from here on the board has been touched.
const TOUCHED: [&str; 5] = ["staging", "switching", "restarting", "trial", "confirming"];

/// Installs the first release and then does what it is told, until `quit` or the end of the input; told to `stay`, until a signal.
///
/// # Errors
/// The first install fails, or the terminal is gone.
pub fn ask(stage: &Stage, stay: bool) -> Result<()> {
    tour::install(stage)?;
    stage.hands.ask(&["check"])?;
    open(stage);
    say("It is your board now. You can type:");
    println!("{HELP}");
    let typed = || "reading what is typed".to_owned();
    loop {
        print!("\ndemo> ");
        stdout().flush().doing(typed)?;
        let mut line = String::new();
        if stdin().lock().read_line(&mut line).doing(typed)? == 0 {
            println!();
            if stay {
                // nobody types; whoever started this ends it with a signal
                loop {
                    std::thread::park();
                }
            }
            return Ok(());
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let done = match words.as_slice() {
            [] => Ok(()),
            ["quit" | "exit" | "q"] => return Ok(()),
            ["open"] => {
                open(stage);
                Ok(())
            }
            ["publish"] => tour::publish(stage),
            ["kill"] => kill(stage),
            [first, ..] if HANDED_ON.contains(first) => stage.hands.run(&words).map(exit_code),
            _ => {
                println!("{HELP}");
                Ok(())
            }
        };
        // a command that went wrong is part of the show
        if let Err(error) = done {
            eprintln!("{error}");
        }
    }
}

/// Where a browser finds it all.
fn open(stage: &Stage) {
    println!("\nThe dashboard, with the Updates chip:  {}\nThe token that the chip asks for:      {}", stage.url(), stage.token());
}

/// The updater is killed where it hurts; then it is simply run again.
fn kill(stage: &Stage) -> Result<()> {
    say("kill -9 as soon as the board has been touched:");
    match stage.hands.run_and_kill(&["apply", "-y"], &TOUCHED)? {
        None => {
            println!("The updater was done before it could be killed. Was there something to apply? Try `rollback` or `publish` first.");
            return Ok(());
        }
        Some(phase) => say(&format!("Killed while it was {phase}. Nobody cleaned up. At the next boot, or by hand:")),
    }
    exit_code(stage.hands.run(&["recover"])?);
    match stage.version() {
        Some(version) => say(&format!("All old or all new: the dashboard answers as {version}.")),
        None => say("The dashboard does not answer; `status` tells why."),
    }
    Ok(())
}

fn exit_code(code: u8) {
    if code != 0 {
        println!("(exit code {code})");
    }
}
