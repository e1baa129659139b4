//! First contact, the questions: each is asked only if no option has answered it, checked at once, and asked again when the answer does not do.
//! Without somebody to ask, a missing answer is an error that names the option.

use super::args::{AutoMode, Setup};
use super::ask;
use super::voice::{Tone, Voice, clean};
use crate::device::schedule;
use crate::device::settings::Probe;
use crate::error::{Error, Result};
use crate::release::Hint;
use crate::setup::answers::{self, Answers, Origin};
use crate::setup::catalogue::Known;
use crate::setup::fit;
use crate::world::Clock;

/// Who is asked.
pub struct Interview<'a> {
    pub voice: &'a Voice,
    pub clock: &'a dyn Clock,
    pub asked: &'a Setup,
}

impl Interview<'_> {
    /// Whether there is somebody.
    pub fn is_possible(&self) -> bool {
        !self.asked.yes && ask::somebody(self.voice)
    }

    /// Asks until `read` is content; an error that is not about the answer ends it.
    fn until<T>(&self, question: &str, usual: &str, read: &mut dyn FnMut(&str) -> Result<T>) -> Result<T> {
        loop {
            let answer = ask::line(self.voice, self.clock, question, usual)?;
            match read(&answer) {
                Ok(value) => return Ok(value),
                Err(error) if error.code == crate::Code::Cancelled => return Err(error),
                Err(error) => {
                    let hint = error.hint.as_ref().map(|h| format!("\n  {}", clean(h))).unwrap_or_default();
                    self.voice.failure(&format!("  {} {}{hint}", self.voice.paint_err("no:", Tone::Bad), clean(&error.message())));
                }
            }
        }
    }

    /// Where the releases come from; `check` asks the source.
    pub fn origin<T>(&self, check: &mut dyn FnMut(Origin) -> Result<T>) -> Result<T> {
        let asked = self.asked;
        let given = match (&asked.gitea, &asked.repo, &asked.url, &asked.dir) {
            (Some(base), Some(repo), ..) => Some(Origin::Gitea { base: base.clone(), repo: repo.clone() }),
            (_, _, Some(url), _) => Some(Origin::Url(url.clone())),
            (_, _, _, Some(dir)) => Some(Origin::Dir(dir.clone())),
            _ => None,
        };
        if let Some(origin) = given {
            return check(origin);
        }
        if !self.is_possible() {
            return Err(missing("where the releases come from", "--gitea URL --repo OWNER/NAME, --url URL or --dir DIR"));
        }
        self.until("Where do the releases come from (address of a server, or a folder)", "", &mut |answer| {
            if answer.starts_with('/') {
                return check(Origin::Dir(answer.to_owned()));
            }
            if answer.is_empty() {
                return Err(Error::usage("an address like https://git.example.org, or a folder like /media/stick"));
            }
            let base = if answer.contains("://") { answer.to_owned() } else { format!("https://{answer}") };
            let repo = ask::line(self.voice, self.clock, "Repository on that Gitea or Forgejo (owner/name; none: it is a plain folder on a web server)", "")?;
            check(if repo.is_empty() { Origin::Url(base) } else { Origin::Gitea { base, repo } })
        })
    }

    /// The key; `check` looks whether it signed the releases.
    pub fn key<T>(&self, check: &mut dyn FnMut(&str) -> Result<T>) -> Result<T> {
        match &self.asked.key {
            Some(key) => check(key),
            None if self.is_possible() => self.until("The maintainer's public key (a file, or the line that begins with RW)", "", check),
            None => Err(missing("whose releases these are", "--key FILE, --key RW…, --key-fingerprint SHA256, or --unsigned")),
        }
    }

    /// Everything else; `fits` looks whether the places do. `standing`: the checks of a config that is there.
    pub fn rest(&self, answers: &mut Answers, newest: &Known, standing: Option<Vec<Probe>>, fits: &mut dyn FnMut(&Answers) -> Result<()>) -> Result<()> {
        let asked = self.asked;
        answers.product = match asked.product.clone().or_else(|| newest.manifest.product.clone()) {
            Some(product) => product,
            None if self.is_possible() => self.until("What is the dashboard called (one word)", "", &mut |name| match name.is_empty() {
                true => Err(Error::usage("a name of letters, digits, - _ .")),
                false => Ok(name.to_owned()),
            })?,
            None => return Err(missing("what the dashboard is called (the newest release does not say)", "--product NAME")),
        };
        answers.managed.clone_from(&asked.managed);
        if answers.managed.is_empty() {
            if !self.is_possible() {
                let tops = fit::tops(&newest.manifest).join(", ");
                return Err(missing(&format!("where the files of {} go ({tops})", newest.manifest.version), "--managed FROM=TO"));
            }
            for top in fit::tops(&newest.manifest) {
                let what = if top.ends_with('/') { "folder" } else { "file" };
                let to = self.until(&format!("Where does {top} go (a {what} on this board)"), "", &mut |to| {
                    if !to.starts_with('/') {
                        return Err(Error::usage("the whole path, from the first / on"));
                    }
                    let to = if top.ends_with('/') { format!("{}/", to.trim_end_matches('/')) } else { to.to_owned() };
                    // only this one: the others come
                    fits(&Answers { managed: vec![(top.clone(), to.clone())], ..answers.clone() }).map(|()| to)
                })?;
                answers.managed.push((top, to));
            }
        }
        if let Some(control) = &asked.control {
            answers.control = control.split_whitespace().map(str::to_owned).collect();
        }
        (answers.restart, answers.reload, answers.health) = (asked.restart.clone(), asked.reload.clone(), asked.health.clone());
        if self.is_possible() && answers.restart.is_empty() && asked.control.as_deref() != Some("") {
            let usual = fit::restarts(&newest.manifest).join(" ");
            answers.restart = self.until("Services to restart after an update (names, with spaces between; none)", &usual, &mut |names| {
                let restart: Vec<String> = several(names).map(str::to_owned).collect();
                fits(&Answers { restart: restart.clone(), ..answers.clone() }).map(|()| restart)
            })?;
        }
        let hints = Hint::of(&newest.manifest.health);
        if answers.health.is_empty() && !asked.no_health && self.is_possible() {
            let usual = hints.iter().map(Hint::to_string).collect::<Vec<_>>().join(" ");
            answers.health = self.until("What must answer when the dashboard is well (http://…, tcp:HOST:PORT, unit:NAME; none)", &usual, &mut |text| {
                let probes = several(text).map(answers::probe).collect::<Result<Vec<_>, _>>().map_err(Error::usage)?;
                fits(&Answers { health: probes.clone(), ..answers.clone() }).map(|()| probes)
            })?;
        } else if answers.health.is_empty() && !asked.no_health {
            // what a config says already goes before what a release suggests: run again, it must not differ
            answers.health = standing.unwrap_or_else(|| hints.into_iter().map(Probe::from).collect());
        }
        answers.auto = match asked.auto {
            Some(mode) => mode.name().to_owned(),
            None if self.is_possible() => self.until("What is done by itself every day (off, check, install)", "check", &mut |mode| match mode {
                "off" | "check" | "install" => Ok(mode.to_owned()),
                _ => Err(Error::usage("off, check or install")),
            })?,
            None => "check".into(),
        };
        if let Some(at) = &asked.at {
            answers.at.clone_from(at);
        } else if self.is_possible() && asked.auto.is_none() && answers.auto != "off" {
            answers.at = self.until("At which hour", "04:20", &mut |at| match schedule::time(at) {
                Some(_) => Ok(at.to_owned()),
                None => Err(Error::usage("a time like 04:20")),
            })?;
        }
        if asked.auto == Some(AutoMode::Run) {
            return Err(Error::usage("--auto: off, check or install"));
        }
        Ok(())
    }
}

/// Words with spaces between; "none" is how to say so where something is proposed.
fn several(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().filter(|word| !word.eq_ignore_ascii_case("none"))
}

fn missing(what: &str, flag: &str) -> Error {
    Error::usage(format!("not said, and there is nobody to ask: {what}")).hint(format!("say it with {flag}"))
}
