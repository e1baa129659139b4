//! The story that the demo tells by itself. Each step says what it is about, does it with the real updater, and then looks whether it came
//! out as it should: a tour that went wrong fails.

use std::time::{Duration, Instant};

use super::{Stage, http, sample, say, short};
use crate::error::{Doing, Error, Result};

/// How long the dashboard may take to answer after a command is done.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the person of the story calls their dashboard.
const TITLE: &str = "Living room";

/// Plays the story.
///
/// # Errors
/// The first step that did not come out as it should.
pub fn play(stage: &Stage) -> Result<()> {
    install(stage)?;
    say("Is there something newer? (`--exit-code` makes the answer readable for scripts: 100 is yes.)");
    stage.expect(&["check", "--exit-code"], 100)?;

    say(&format!("Somebody has given the dashboard a name of their own, in config.json: {TITLE:?}. Now the update to 1.1.0."));
    rename(stage)?;
    stage.expect(&["apply", "-y"], 0)?;
    stage.answers("1.1.0")?;
    check(still_named(stage)?, "the edited config.json was to be kept")?;
    check(!stage.folder.web().join("about.html").exists(), "a file that 1.1.0 no longer has was to be removed")?;
    say("The dashboard answers as 1.1.0: a new tile, a page less, and the name is still there.");

    publish(stage)?;
    say("1.2.0 needs a sensor that this board does not have: its API will answer 503. We install it all the same.");
    stage.expect(&["apply", "-y"], 6)?;
    stage.answers("1.1.0")?;
    say("It was live, was found sick, and took itself back: exit code 6 says \"the system is as before\". What does the status say?");
    stage.expect(&["status"], 0)?;

    say("A person can go back too, without the network: to 1.0.0.");
    stage.expect(&["rollback", "-y"], 0)?;
    stage.answers("1.0.0")?;
    check(stage.folder.web().join("about.html").exists(), "the page that 1.0.0 has was to be back")?;
    say(&format!("That was the tour. The board is left to look at: {}", short(&stage.folder.board())));
    Ok(())
}

/// Brings the first release onto the empty board.
pub fn install(stage: &Stage) -> Result<()> {
    say("A board without a dashboard. First, 1.0.0 is installed from the release server.");
    stage.expect(&["apply", "1.0.0", "-y"], 0)?;
    stage.answers("1.0.0")?;
    say(&format!("The dashboard runs: {}", stage.url()));
    Ok(())
}

/// Puts the sick release on the server.
pub fn publish(stage: &Stage) -> Result<()> {
    stage.releases.publish(&sample::SICK)?;
    say(&format!("Its maintainer publishes {}.", sample::SICK));
    Ok(())
}

impl Stage {
    /// Where the dashboard is.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.ports.front)
    }

    /// What opens the Updates dialog.
    pub(super) fn token(&self) -> String {
        std::fs::read_to_string(self.folder.board().join("etc/pikit/api-token")).map(|t| t.trim().to_owned()).unwrap_or_default()
    }

    /// Runs a command that has to end with this exit code.
    fn expect(&self, words: &[&str], code: u8) -> Result<()> {
        let got = self.hands.run(words)?;
        check(got == code, &format!("`{}` was to end with exit code {code}, not {got}", words.join(" ")))
    }

    /// The version that the running dashboard tells.
    pub(super) fn version(&self) -> Option<String> {
        let (_, body) = http::get(self.ports.dashboard, "/ping").ok()?;
        let ping: serde_json::Value = serde_json::from_str(&body).ok()?;
        Some(ping["version"].as_str()?.to_owned())
    }

    /// The running dashboard and the updater's own state have to agree on this version.
    fn answers(&self, version: &str) -> Result<()> {
        let begun = Instant::now();
        while self.version().as_deref() != Some(version) {
            if begun.elapsed() > PATIENCE {
                let got = self.version().map_or_else(|| "it does not answer".into(), |v| format!("it answers {v}"));
                return Err(wrong(&format!("the dashboard was to answer as {version}, but {got}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let (code, said) = self.hands.ask(&["status", "--json"])?;
        check(code == 0, &format!("`status --json` was to end with exit code 0, not {code}"))?;
        let state: serde_json::Value = serde_json::from_str(&said).map_err(|e| wrong("`status --json` was to print JSON").because(e))?;
        check(state["current"] == version, &format!("the state was to tell {version}, not {}", state["current"]))
    }
}

/// What a person does with an editor.
fn rename(stage: &Stage) -> Result<()> {
    let path = stage.folder.web().join("config.json");
    let editing = || format!("editing {}", path.display());
    let text = std::fs::read_to_string(&path).doing(editing)?;
    std::fs::write(&path, text.replace("\"Pi-Kit\"", &format!("{TITLE:?}"))).doing(editing)?;
    check(still_named(stage)?, "config.json was to have a title")
}

fn still_named(stage: &Stage) -> Result<bool> {
    let path = stage.folder.web().join("config.json");
    Ok(std::fs::read_to_string(&path).doing(|| format!("reading {}", path.display()))?.contains(TITLE))
}

fn check(right: bool, words: &str) -> Result<()> {
    if right { Ok(()) } else { Err(wrong(words)) }
}

fn wrong(words: &str) -> Error {
    Error::unexpected(format!("the demo went wrong: {words}")).hint("the board's log/ folder, below var/lib/pikit-update, tells what happened")
}
