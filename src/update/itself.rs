//! The updater among what is updated. The new one is asked before the switch whether it starts here and reads what this board remembers; the
//! old one stays beside it, and a sentinel stands until the new one has brought a `recover` to its end.
//!
//! The running transaction is finished by the program that began it: it is in memory, and starts its helper from there too.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::begin::Tx;
use super::commands::SIZE_MAX;
use super::{Trip, stage, survey};
use crate::error::{Code, Doing, Error, Result};
use crate::plan::{Action, Change, Planned};
use crate::release::{Digest, elf};
use crate::state::sentinel::previous;
use crate::state::{Sentinel, status};
use crate::world::outside::Ran;
use crate::world::{Kind, durable};

/// Where the units look for the updater.
const USUAL: &str = "usr/bin/pikit-updater";
/// How long the new one may take to say who it is, or what it reads. A Pi Zero needs some tenths of a second.
const LIMIT: Duration = Duration::from_secs(30);
/// What `doctor --self-test` says when it reads the state: a number follows.
pub const READS_STATE: &str = "reads state format ";

/// Whether this live path is the updater's own: the one that the units start, or the one that runs now, as it is named here or (a card
/// in another machine) on the board.
pub fn is_own(root: &Path, program: Option<&Path>, live: &Path) -> bool {
    let below = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    live == below(Path::new(USUAL)) || program.is_some_and(|p| live == p || live == below(p))
}

/// The updater's own file in a transaction.
struct Itself<'t> {
    live: PathBuf,
    staged: PathBuf,
    file: &'t Planned,
}

fn find<'t>(trip: &Trip, tx: &'t Tx) -> Option<Itself<'t>> {
    let program = trip.world.outside.program();
    tx.journal.units.iter().find_map(|unit| {
        tx.changes(unit).find_map(|(index, file)| {
            let live = survey::join(&unit.to, file.inside());
            is_own(trip.settings.layout.root(), program.as_deref(), &live).then(|| Itself { live, staged: tx.staged(unit, index, file), file })
        })
    })
}

/// Asks the staged new updater, if there is one.
///
/// # Errors
/// Refused: it is none for this board. Nothing under a managed path has changed.
pub fn check(trip: &Trip, tx: &Tx) -> Result<()> {
    let Some(own) = find(trip, tx) else { return Ok(()) };
    let refused = |why: String| {
        let to = super::settle::name_of(&tx.plan.to);
        Error::refused(format!("{} of {to} is to be the updater itself, and {why}", own.file.path)).hint(match tx.plan.action {
            Action::Rollback => "nothing was changed. An updater that cannot read what this one wrote would leave the board without one: return the dashboard alone by managing the updater no longer, or ask the maintainer",
            _ => "nothing was changed: ask the maintainer for a release with an updater that runs here",
        })
    };
    if own.file.change == Change::Remove {
        return Err(refused("the release has none: nothing could be updated or taken back after it".into()));
    }
    let disk = trip.world.disk;
    let doing = || format!("looking at {}", own.staged.display());
    if disk.meta(&own.staged).doing(doing)?.is_none_or(|m| m.mode & 0o111 == 0) {
        return Err(refused("nobody may execute it: its mode in the release lacks the x".into()));
    }
    let want = own.file.want.as_ref().expect("a written file has a want");
    let content = read(trip, &own.staged, &want.sha256)?;
    // what stands at the beginning is looked at first: an interpreter of a script could be missing at boot
    if !elf::native(&content[..content.len().min(elf::LOOK)], std::env::consts::ARCH) {
        return Err(refused(format!("it is no program for this board ({})", std::env::consts::ARCH)));
    }
    // one from before it could be asked wrote what everybody reads
    let old_ones = tx.plan.action == Action::Rollback;
    ask(trip, &content, old_ones).map_err(refused)
}

/// Asks the live new updater on what this transaction has left for it to read, as it may have to in a minute.
///
/// # Errors
/// Why it is sick.
pub fn prove(trip: &Trip, tx: &Tx) -> Result<(), String> {
    let found = Sentinel::load(trip.world.disk, &trip.settings.layout).map_err(|e| e.message())?;
    let Some(sentinel) = found.sentinel.filter(|s| s.transaction == tx.journal.transaction) else { return Ok(()) };
    // what a person put there meanwhile says nothing about the release
    let Ok(content) = read(trip, &sentinel.live(&trip.settings.layout), &sentinel.new) else { return Ok(()) };
    ask(trip, &content, tx.plan.action == Action::Rollback).map_err(|why| format!("the new updater: {why}"))
}

/// The content with this digest: what is in memory now is what will be asked.
fn read(trip: &Trip, path: &Path, digest: &Digest) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    trip.world.disk.open(path).and_then(|file| file.take(SIZE_MAX + 1).read_to_end(&mut content)).doing(|| format!("reading {}", path.display()))?;
    match Digest::of(&content) {
        _ if content.len() as u64 > SIZE_MAX => {
            Err(Error::refused(format!("{} is larger than {}: no updater is", path.display(), crate::quantity::bytes(SIZE_MAX))))
        }
        found if found != *digest => Err(survey::changed_meanwhile(path)),
        _ => Ok(content),
    }
}

/// Whether it starts, and reads what this board remembers. `old_ones`: one that does not know the question is taken.
fn ask(trip: &Trip, content: &[u8], old_ones: bool) -> Result<(), String> {
    let version = run(trip, content, &["--version"])?;
    if version.status != Some(0) {
        return Err(format!("it does not start: {}", words(&version)));
    }
    if !version.stdout.starts_with("pikit-updater ") {
        return Err("it does not say that it is pikit-updater when asked for its version".into());
    }
    let root = trip.settings.layout.root().display().to_string();
    let told = run(trip, content, &["--root", &root, "doctor", "--self-test"])?;
    let reads = told.stdout.lines().find_map(|line| line.strip_prefix(READS_STATE)?.trim().parse::<u32>().ok());
    match (told.status, reads) {
        (Some(0), Some(format)) if format >= status::SCHEMA => Ok(()),
        (Some(0), _) => Err(format!("it does not say that it reads the state as it is written here (format {})", status::SCHEMA)),
        (Some(code), _) if code == i32::from(Code::Usage as u8) && old_ones => Ok(()),
        _ => Err(format!("its self-test fails: {}", words(&told))),
    }
}

/// As somebody without rights first. Where that one may not read what is to be read (a config of root's alone, a board in a closed folder), or may not
/// even be started (the sandbox of recovery), as ourselves.
fn run(trip: &Trip, content: &[u8], args: &[&str]) -> Result<Ran, String> {
    let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
    let outside = trip.world.outside;
    let ran = match outside.try_content(content, "pikit-updater", &args, LIMIT) {
        Ok(ran) if ran.status == Some(i32::from(Code::Permission as u8)) => outside.run_content(content, "pikit-updater", &args, &[], LIMIT),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => outside.run_content(content, "pikit-updater", &args, &[], LIMIT),
        other => other,
    };
    ran.map_err(|e| format!("it cannot be started: {e}"))
}

fn words(ran: &Ran) -> String {
    match (ran.status, ran.last_error.is_empty()) {
        (_, false) => ran.last_error.clone(),
        (Some(code), true) => format!("exit {code}"),
        (None, true) => "it was killed".into(),
    }
}

/// Keeps the old updater beside the new one's place; synced when all is sealed.
///
/// # Errors
/// It cannot be kept; nothing under a managed path has changed otherwise.
pub fn keep_previous(trip: &Trip, tx: &Tx) -> Result<()> {
    let Some(own) = find(trip, tx) else { return Ok(()) };
    let Some(found) = own.file.found.as_ref() else { return Ok(()) };
    let (disk, kept) = (trip.world.disk, previous(&own.live));
    let doing = || format!("keeping the old updater as {}", kept.display());
    let listed = |f: &Planned| survey::join(&trip.settings.managed[f.unit].to, f.inside()) == kept;
    let meta = disk.meta(&kept).doing(doing)?;
    if tx.plan.files.iter().any(listed) || meta.is_some_and(|m| m.kind == Kind::Dir) {
        return Err(
            Error::refused(format!("{} is taken: that is where the old updater stays", kept.display())).hint("nothing was changed; give it another name")
        );
    }
    if meta.is_some_and(|m| m.ino == found.ino) {
        return Ok(());
    }
    durable::remove(disk, &kept).doing(doing)?;
    stage::second_name(trip, &own.live, &kept, found)
}

/// Puts up the sentinel, durably: the switch comes after.
///
/// # Errors
/// It cannot be written.
pub fn arm(trip: &Trip, tx: &Tx) -> Result<()> {
    let (disk, layout) = (trip.world.disk, &trip.settings.layout);
    let Some(own) = find(trip, tx) else { return Ok(()) };
    // nothing was there: nothing can be put back
    let (Some(found), Some(want)) = (&own.file.found, &own.file.want) else { return Ok(()) };
    let inside = own.live.strip_prefix(layout.root()).unwrap_or(&own.live);
    let sentinel = Sentinel {
        path: Path::new("/").join(inside),
        old: found.sha256,
        new: want.sha256,
        transaction: tx.journal.transaction.clone(),
        from: tx.plan.from.clone(),
        to: tx.plan.to.clone(),
        manifest_sha256: tx.plan.manifest_sha256,
        content: tx.plan.content,
    };
    sentinel.save(disk, layout)
}

/// Takes the sentinel down, if one stands: what it watched over did not come, or is gone again.
///
/// # Errors
/// It cannot be removed.
pub fn disarm(trip: &Trip) -> Result<()> {
    let (disk, layout) = (trip.world.disk, &trip.settings.layout);
    if Sentinel::load(disk, layout)?.there { Sentinel::forget(disk, layout) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_updater_is_known_by_its_path_here_and_on_the_board() {
        let own = |root: &str, program: Option<&str>, live: &str| is_own(Path::new(root), program.map(Path::new), Path::new(live));
        for (root, program, live, is) in [
            ("/", Some("/usr/bin/pikit-updater"), "/usr/bin/pikit-updater", true),
            ("/", Some("/opt/pikit/bin/updater"), "/opt/pikit/bin/updater", true),
            ("/", Some("/opt/pikit/bin/updater"), "/opt/pikit/bin/other", false),
            // the one that the units start, whoever runs now
            ("/", Some("/home/pi/pikit-updater"), "/usr/bin/pikit-updater", true),
            ("/", None, "/usr/bin/pikit-updater", true),
            ("/", None, "/usr/bin/pikit-api.py", false),
            // a card in another machine, and a board in a folder that runs its own
            ("/media/card", Some("/usr/bin/pikit-updater"), "/media/card/usr/bin/pikit-updater", true),
            ("/media/card", Some("/opt/u"), "/media/card/opt/u", true),
            ("/media/card", Some("/media/card/opt/u"), "/media/card/opt/u", true),
            ("/media/card", Some("/opt/u"), "/opt/u2", false),
        ] {
            assert_eq!(own(root, program, live), is, "{root} {program:?} {live}");
        }
    }
}
