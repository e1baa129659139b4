//! How a setup ended, in words and as JSON.

use std::path::PathBuf;

use semver::Version;
use serde_json::{Value, json};

use super::voice::{Tone, Voice, clean, json_line, with_ok};
use crate::daily::Set;
use crate::quantity::count;
use crate::release::PublicKey;
use crate::setup::adopt::Here;
use crate::setup::identity::Reset;
use crate::update::verify::Verified;

/// How it ended.
pub struct Ended {
    /// Where the config lies.
    pub config: PathBuf,
    /// What it says.
    pub text: String,
    /// Whether it was written.
    pub written: bool,
    /// Where the one before lies now.
    pub kept: Option<PathBuf>,
    /// What messages call the source.
    pub source: String,
    /// The newest release, in words.
    pub newest: String,
    /// The key that was given.
    pub key: Option<PublicKey>,
    /// Where it was put, if it was not there.
    pub key_file: Option<PathBuf>,
    /// What lies on the board.
    pub here: Here,
    /// What is offered beyond that.
    pub offered: Option<Version>,
    /// What happens by itself.
    pub auto: Option<Set>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Default for Ended {
    fn default() -> Self {
        Ended {
            config: PathBuf::new(),
            text: String::new(),
            written: false,
            kept: None,
            source: String::new(),
            newest: String::new(),
            key: None,
            key_file: None,
            here: Here::Nothing,
            offered: None,
            auto: None,
            notes: Vec::new(),
        }
    }
}

/// Shows it. `dry`: nothing was written, and the config itself is the result.
pub fn show(voice: &Voice, ended: &Ended, dry: bool) {
    if voice.json {
        return json_line(&with_ok(true, &value(ended, dry)));
    }
    if dry {
        voice.result(&ended.text);
    } else {
        let words = match (&ended.kept, ended.written) {
            (Some(kept), _) => format!("{}; the old one is {}", ended.config.display(), kept.display()),
            (None, true) => ended.config.display().to_string(),
            (None, false) => format!("{} says so already", ended.config.display()),
        };
        voice.result(&format!("config:    {}", clean(&words)));
    }
    let mut lines = vec![format!("source:    {} has {}", ended.source, ended.newest)];
    if let Some(key) = &ended.key {
        let place = ended.key_file.as_ref().map(|p| format!("\n           in {}", p.display())).unwrap_or_default();
        lines.push(format!("key:       {}, SHA-256 {}{place}", key.id(), key.fingerprint()));
    }
    lines.push(format!("installed: {}", installed(&ended.here)));
    if let Some(version) = &ended.offered {
        lines.push(format!("offered:   {version}; `sudo pikit-updater apply` installs it"));
    }
    if let Some(set) = &ended.auto {
        let mode = &set.schedule.action;
        lines.push(format!("every day: {}", if mode == "off" { "nothing".to_owned() } else { format!("{mode} at {}", set.schedule.at) }));
    }
    for line in lines {
        let line = line.split('\n').map(|l| clean(l).into_owned()).collect::<Vec<_>>().join("\n");
        // the config alone goes where it may be redirected to
        if dry { voice.message(&line) } else { voice.result(&line) }
    }
    for note in &ended.notes {
        voice.message(&format!("{} {}", voice.paint_err("note:", Tone::Odd), clean(note)));
    }
    if dry {
        voice.message("this was a dry run: nothing was written");
    }
}

fn installed(here: &Here) -> String {
    match here {
        Here::Recorded(version) => format!("{}, on record already", crate::update::settle::name_of(version)),
        Here::Release(adoption) => format!("this is {}", release(&adoption.seen)),
        Here::Unknown(files) => {
            format!("{} of the dashboard, and no release of the source that they are: the first update takes a backup of what is there", count(*files, "file"))
        }
        Here::Nothing => "nothing yet: `sudo pikit-updater apply` installs the first release".into(),
    }
}

fn release(seen: &Verified) -> String {
    let named = |files: &[String]| {
        let more = if files.len() > 3 { ", …" } else { "" };
        format!("{}{more}", files[..files.len().min(3)].join(", "))
    };
    let parts = [(&seen.edited, "edited"), (&seen.missing, "missing"), (&seen.config_edited, "of yours")];
    let parts: Vec<String> = parts.iter().filter(|(f, _)| !f.is_empty()).map(|(f, what)| format!("{} {what} ({})", count(f.len(), "file"), named(f))).collect();
    let version = crate::update::settle::name_of(&seen.version);
    if parts.is_empty() { format!("{version}, every file as it was released") } else { format!("{version}, {}", parts.join(", ")) }
}

fn value(ended: &Ended, dry: bool) -> Value {
    let key = ended.key.as_ref().map(|k| json!({"id": k.id(), "fingerprint": k.fingerprint(), "file": ended.key_file}));
    let installed = match &ended.here {
        Here::Recorded(version) => json!({"version": version, "recorded": true}),
        Here::Release(a) => {
            let seen = &a.seen;
            json!({"version": seen.version, "recorded": !dry, "listed": seen.listed, "edited": seen.edited, "missing": seen.missing, "config_edited": seen.config_edited})
        }
        Here::Unknown(files) => json!({"version": null, "recorded": false, "files": files}),
        Here::Nothing => Value::Null,
    };
    let mut value = json!({
        "config": ended.config, "written": ended.written, "kept": ended.kept, "source": ended.source, "newest": ended.newest, "key": key,
        "installed": installed, "offered": ended.offered, "notes": ended.notes,
        "auto": ended.auto.as_ref().map(|set| json!({"mode": set.schedule.action, "at": set.schedule.at, "timer": set.next.timer, "next": set.next.at})),
    });
    if dry {
        value["dry_run"] = json!(true);
        value["text"] = json!(ended.text);
    }
    value
}

/// Shows what was forgotten.
pub fn reset(voice: &Voice, done: &Reset) {
    if voice.json {
        return voice.json(true, done);
    }
    let list = |title: &str, lines: &[String]| {
        let lines = if lines.is_empty() { vec!["nothing".to_owned()] } else { lines.to_vec() };
        voice.result(&format!("{title}\n{}", lines.iter().map(|l| format!("  {}", clean(l))).collect::<Vec<_>>().join("\n")));
    };
    list("forgotten", &done.removed);
    list("kept", &done.kept);
}
