//! What a person asked for where they have no right to do it: the API leaves a request file, the side that may change things takes it.
//!
//! The folder of requests belongs to the API's user, so nothing in it is believed: the file is taken away from there before it is read,
//! only a regular file of a known owner and of at most 4 KiB is read at all, and of what it says only words of fixed shapes count.
//! Everything else (which release, whether it may be believed, whether there is room) is looked up and verified again by who takes it.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::device::{Layout, schedule};
use crate::error::{Code, Doing, Error, Result};
use crate::event::Phase;
use crate::release::{Digest, manifest};
use crate::world::{Clock, Disk, Kind, durable};

/// Largest request that is read, bytes.
const SIZE_MAX: u64 = 4 << 10;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// Ask the source.
    Check,
    /// Install the offered release, or a certain one.
    Apply,
    /// The same with `--force`: a person has read that it failed here before.
    ApplyAnyway,
    /// Return to a backup.
    Rollback,
    /// Put back what drifted.
    Repair,
    /// Set the schedule.
    Auto,
    /// Pass over a version in automatic mode.
    Skip,
    /// Do not pass over it any more.
    Unskip,
}

impl Wish {
    /// The word of the request file.
    pub fn name(self) -> &'static str {
        match self {
            Wish::Check => "check",
            Wish::Apply => "apply",
            Wish::ApplyAnyway => "apply-anyway",
            Wish::Rollback => "rollback",
            Wish::Repair => "repair",
            Wish::Auto => "auto",
            Wish::Skip => "skip",
            Wish::Unskip => "unskip",
        }
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The id that the transaction will have: 26 characters of `0-9a-z`.
    pub transaction: String,
    /// What is asked for.
    pub action: Wish,
    /// `apply`, `skip`, `unskip`: which version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// `apply`: the only manifest that may be installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
    /// `apply`: what was uploaded, instead of what the source offers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub upload: bool,
    /// `rollback`: the backup's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// `auto`: off, check or install.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// `auto`: `HH:MM`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

impl Request {
    /// A request without particulars.
    pub fn new(clock: &dyn Clock, action: Wish) -> Self {
        Request { transaction: clock.new_id(), action, version: None, manifest: None, upload: false, backup: None, mode: None, at: None }
    }
    /// Reads a request.
    ///
    /// # Errors
    /// What about it is not of the expected shape, without repeating it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let request: Request = serde_json::from_slice(bytes).map_err(|e| format!("it is no request ({e})"))?;
        request.check().map(|()| request)
    }
    /// Whether every word has its shape, and stands with an action it belongs to.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), String> {
        if !is_id(&self.transaction) {
            return Err("transaction: not 26 characters of 0-9a-z".into());
        }
        let backup =
            |name: &String| (1..=200).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b".+-".contains(&b)) && !name.starts_with('.');
        if self.backup.as_ref().is_some_and(|name| !backup(name)) {
            return Err("backup: not the name of a backup".into());
        }
        if self.version.as_ref().map(ToString::to_string).is_some_and(|v| v.len() > 100 || manifest::version(&v).is_err()) {
            return Err("version: not a version of a release".into());
        }
        if self.mode.as_ref().is_some_and(|mode| !["off", "check", "install"].contains(&mode.as_str())) {
            return Err("mode: none of off, check, install".into());
        }
        if self.at.as_ref().is_some_and(|at| schedule::time(at).is_none()) {
            return Err("at: not a time like 04:20".into());
        }
        let given = [
            ("version", self.version.is_some(), matches!(self.action, Wish::Apply | Wish::ApplyAnyway | Wish::Skip | Wish::Unskip)),
            ("manifest", self.manifest.is_some(), matches!(self.action, Wish::Apply | Wish::ApplyAnyway)),
            ("upload", self.upload, matches!(self.action, Wish::Apply | Wish::ApplyAnyway)),
            ("backup", self.backup.is_some(), self.action == Wish::Rollback),
            ("mode", self.mode.is_some(), self.action == Wish::Auto),
            ("at", self.at.is_some(), self.action == Wish::Auto),
        ];
        if let Some((key, ..)) = given.iter().find(|(_, there, allowed)| *there && !allowed) {
            return Err(format!("{key}: has no meaning for {}", self.action.name()));
        }
        if self.upload && self.manifest.is_none() {
            // whoever says yes has seen what it is
            return Err("manifest: of an upload only the one that was looked at is installed".into());
        }
        match self.action {
            Wish::Skip | Wish::Unskip if self.version.is_none() => Err("version: which one?".into()),
            Wish::Auto if self.mode.is_none() => Err("mode: off, check or install?".into()),
            _ => Ok(()),
        }
    }
}

/// Whether this has the shape of a transaction's id.
pub fn is_id(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
}

/// Leaves a request. Exactly one can wait.
///
/// # Errors
/// Busy: one waits already. Permission: the folder is not ours.
pub fn leave(disk: &dyn Disk, layout: &Layout, request: &Request) -> Result<()> {
    let path = layout.request();
    let doing = || format!("leaving a request in {}", layout.requests().display());
    durable::make_dirs(disk, &layout.requests(), 0o750).doing(doing)?;
    let fresh = layout.requests().join(format!("{}.new", request.transaction));
    let written = disk.create(&fresh, 0o640).and_then(|mut file| file.write_all(&serde_json::to_vec(request).expect("a request is plain data")));
    // whole or not at all, and never over one that waits
    match written.and_then(|()| disk.rename(&fresh, &path, true)) {
        Ok(()) => Ok(()),
        Err(e) => {
            let _ = disk.unlink(&fresh);
            match e.kind() {
                std::io::ErrorKind::AlreadyExists => Err(Error::new(Code::Busy, "another request waits to be begun").hint("wait a moment, then try again")),
                _ => Err(e).doing(doing),
            }
        }
    }
}

/// The request that waits, if there is one that can be read.
pub fn waiting(disk: &dyn Disk, layout: &Layout) -> Option<Request> {
    let bytes = durable::read(disk, &layout.request(), SIZE_MAX).ok()??;
    Request::parse(&bytes).ok()
}

/// Whether anything lies where a request waits.
pub fn is_waiting(disk: &dyn Disk, layout: &Layout) -> bool {
    durable::exists(disk, &layout.request()).unwrap_or(false)
}

/// Takes the request away and reads it. Whatever lies in its place is gone afterwards, be it a folder or a pipe: a path unit that waits
/// for it would otherwise start us again at once, for ever. `None`: there is none (any more).
///
/// # Errors
/// It was no request that can be granted; it is gone all the same.
pub fn take(disk: &dyn Disk, layout: &Layout, clock: &dyn Clock) -> Result<Option<Request>> {
    let taken = layout.taken(&clock.new_id());
    let doing = || format!("taking the request out of {}", layout.requests().display());
    let owner = match disk.meta(&layout.requests()).doing(doing)? {
        Some(meta) if meta.kind == Kind::Dir => meta.uid,
        _ => return Ok(None),
    };
    // out of the folder of others first: from here on nobody can exchange it
    match disk.rename(&layout.request(), &taken, false) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        moved => moved.doing(doing)?,
    }
    let read = read(disk, &taken, owner);
    durable::remove_whole(disk, &taken).doing(|| format!("removing {}", taken.display()))?;
    let refuse = |why: String| Error::new(Code::Usage, format!("a request was dropped: {why}")).hint("ask again; if it happens again, look who writes there");
    read.and_then(|bytes| Request::parse(&bytes)).map(Some).map_err(refuse)
}

fn read(disk: &dyn Disk, taken: &std::path::Path, owner: u32) -> Result<Vec<u8>, String> {
    let meta = disk.meta(taken).map_err(|e| e.to_string())?.ok_or("it vanished")?;
    if meta.kind != Kind::File {
        return Err("it is no regular file".into());
    }
    // a second name is somebody else's file linked in, or one that can be written to still
    if meta.nlink != 1 || (meta.uid != owner && meta.uid != 0) {
        return Err("it belongs to somebody else".into());
    }
    let bytes = durable::read(disk, taken, SIZE_MAX).map_err(|e| e.to_string())?;
    bytes.ok_or_else(|| "it vanished".into())
}

/// How the last request ended: for who asked. Lost with a restart, like the question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The request's transaction.
    pub transaction: String,
    /// What was asked for; none: it could not be read.
    pub action: Option<Wish>,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// Whether it did what was asked for.
    pub ok: bool,
    /// What went wrong.
    pub error: Option<Trouble>,
}

/// An error as programs see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trouble {
    /// Exit code.
    pub code: u8,
    /// Where on the trip.
    #[serde(default)]
    pub phase: Option<Phase>,
    /// What happened.
    pub message: String,
    /// What to do next.
    #[serde(default)]
    pub hint: Option<String>,
}

impl From<&Error> for Trouble {
    fn from(error: &Error) -> Self {
        Trouble { code: error.code as u8, phase: error.phase, message: error.message(), hint: error.hint.clone() }
    }
}

impl Answer {
    /// Reads the last one.
    pub fn load(disk: &dyn Disk, layout: &Layout) -> Option<Self> {
        let bytes = durable::read(disk, &layout.answer(), 64 << 10).ok()??;
        serde_json::from_slice(&bytes).ok()
    }
    /// Tells it. In memory on a real board, so nothing is synced.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn tell(&self, disk: &dyn Disk, layout: &Layout) -> Result<()> {
        let path = layout.answer();
        let bytes = serde_json::to_vec(self).expect("an answer is plain data");
        durable::tell(disk, &path, &bytes).doing(|| format!("writing {}", path.display()))
    }
}

impl Layout {
    /// The request that waits.
    pub fn request(&self) -> PathBuf {
        self.requests().join("request.json")
    }
    /// Where a request is read: a folder that its sender cannot write to.
    fn taken(&self, id: &str) -> PathBuf {
        self.run_dir().join(format!("taken-{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::clock::RealClock;
    use crate::world::real::RealDisk;
    use crate::world::scratch::Scratch;

    const ID: &str = "0123456789abcdefghijklmnop";

    fn parse(more: &str) -> Result<Request, String> {
        Request::parse(format!("{{\"transaction\":\"{ID}\",{more}}}").as_bytes())
    }

    #[test]
    fn only_words_of_fixed_shapes_are_understood() {
        for good in [
            r#""action":"check""#,
            r#""action":"apply","version":"1.2.0","manifest":"0000000000000000000000000000000000000000000000000000000000000000""#,
            r#""action":"apply-anyway","version":"1.2.0-beta.1""#,
            r#""action":"apply","upload":true,"manifest":"0000000000000000000000000000000000000000000000000000000000000000""#,
            r#""action":"rollback","backup":"0007-20261101T042030Z-1.2.0""#,
            r#""action":"auto","mode":"install","at":"04:20""#,
            r#""action":"skip","version":"1.2.0""#,
        ] {
            parse(good).unwrap_or_else(|e| panic!("{good}: {e}"));
        }
        for bad in [
            r#""action":"run""#,
            r#""action":"apply","version":"1.2""#,
            r#""action":"apply","version":"1.2.0; reboot""#,
            &format!(r#""action":"skip","version":"1.2.0-{}""#, "x".repeat(100)),
            r#""action":"apply","manifest":"00""#,
            r#""action":"apply","from":"/dev/sda""#,
            r#""action":"apply","upload":true"#,
            r#""action":"apply","upload":"/dev/sda""#,
            r#""action":"rollback","upload":true"#,
            r#""action":"apply","backup":"0007-x""#,
            r#""action":"rollback","backup":"../../etc""#,
            r#""action":"rollback","backup":".hidden""#,
            r#""action":"rollback","backup":"""#,
            r#""action":"auto","mode":"always""#,
            r#""action":"auto""#,
            r#""action":"auto","mode":"install","at":"4:20""#,
            r#""action":"skip""#,
            r#""action":"check","version":"1.2.0""#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        for id in ["", "0123456789abcdefghijklmno", "0123456789ABCDEFGHIJKLMNOP", "../456789abcdefghijklmnopq"] {
            assert!(Request::parse(format!(r#"{{"transaction":"{id}","action":"check"}}"#).as_bytes()).is_err(), "{id}");
        }
    }

    fn board() -> (Scratch, Layout, RealDisk, RealClock) {
        let scratch = Scratch::new();
        let layout = Layout::new(std::fs::canonicalize(scratch.path()).unwrap());
        std::fs::create_dir_all(layout.requests()).unwrap();
        (scratch, layout, RealDisk::new(Vec::new()), RealClock::new())
    }

    #[test]
    fn one_request_waits_until_it_is_taken() {
        let (_scratch, layout, disk, clock) = board();
        let first = Request::new(&clock, Wish::Check);
        leave(&disk, &layout, &first).unwrap();
        let second = leave(&disk, &layout, &Request::new(&clock, Wish::Check)).unwrap_err();
        assert_eq!(second.code, Code::Busy);
        assert_eq!(waiting(&disk, &layout), Some(first.clone()));
        assert_eq!(std::fs::read_dir(layout.requests()).unwrap().count(), 1, "nothing is left of the second");
        assert_eq!(take(&disk, &layout, &clock).unwrap(), Some(first));
        assert!(!is_waiting(&disk, &layout));
        assert_eq!(take(&disk, &layout, &clock).unwrap(), None);
        assert_eq!(std::fs::read_dir(layout.run_dir()).unwrap().count(), 1, "nothing but the folder of requests is left");
    }

    #[test]
    fn whatever_lies_there_is_gone_after_it_was_taken() {
        let (_scratch, layout, disk, clock) = board();
        let secret = layout.run_dir().join("secret");
        std::fs::write(&secret, format!(r#"{{"transaction":"{ID}","action":"check"}}"#)).unwrap();
        type Plant<'a> = (&'a str, &'a dyn Fn(&std::path::Path));
        let plans: [Plant; 6] = [
            ("a folder", &|at| std::fs::create_dir_all(at.join("with/more")).unwrap()),
            ("a link", &|at| std::os::unix::fs::symlink(&secret, at).unwrap()),
            ("a second name", &|at| std::fs::hard_link(&secret, at).unwrap()),
            ("a pipe", &|at| rustix::fs::mknodat(rustix::fs::CWD, at, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap()),
            ("a huge file", &|at| std::fs::write(at, vec![b' '; 5000]).unwrap()),
            ("rubbish", &|at| std::fs::write(at, "{").unwrap()),
        ];
        for (what, plant) in plans {
            plant(&layout.request());
            assert!(is_waiting(&disk, &layout), "{what}");
            let error = take(&disk, &layout, &clock).expect_err(what);
            assert_eq!(error.code, Code::Usage, "{what}");
            assert!(!is_waiting(&disk, &layout), "{what}");
        }
        assert!(secret.exists());
        assert_eq!(std::fs::read_dir(layout.run_dir()).unwrap().count(), 2, "what was taken is removed");
    }
}
