//! For tests: a simulated board, releases made in memory, services that do what a test says.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::aim::Request;
use super::apply::{self, Done};
use super::recover::{self, Recovered};
use super::{Report, Trip, verify};
use crate::device::{Layout, Settings};
use crate::error::Result;
use crate::event::Silent;
use crate::release::Digest;
use crate::release::manifest;
use crate::source::{Body, BundleRef, Candidate, Judge, Memory, Offer, Source, Span, Unpacked, Verdict, Wanted, unpack};
use crate::world::lock::Locked;
use crate::world::outside::{Letter, Ran};
use crate::world::sim::{Dumped, SimDisk};
use crate::world::{Clock, Disk, Kind, Outside, World, durable};

/// Time that passes only when somebody waits.
#[derive(Default)]
pub struct FakeClock {
    passed: Cell<Duration>,
    ids: Cell<u64>,
    pub stops: Cell<u32>,
}

impl Clock for FakeClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + self.passed.get()
    }
    fn monotonic(&self) -> Duration {
        self.passed.get()
    }
    fn sleep(&self, time: Duration) -> bool {
        self.passed.set(self.passed.get() + time);
        false
    }
    fn stops(&self) -> u32 {
        self.stops.get()
    }
    fn boot_id(&self) -> String {
        "boot".into()
    }
    fn new_id(&self) -> String {
        self.ids.set(self.ids.get() + 1);
        format!("{:0>26}", self.ids.get())
    }
}

/// Services that are well, unless a file of the live tree says otherwise.
pub struct FakeOutside<'d> {
    pub disk: &'d SimDisk,
    /// Every control command that was run.
    pub ran: RefCell<Vec<String>>,
    /// Probes fail whatever is installed.
    pub broken: Cell<bool>,
}

impl Outside for FakeOutside<'_> {
    fn run(&self, argv: &[String], _: Duration) -> io::Result<Ran> {
        self.ran.borrow_mut().push(argv.join(" "));
        Ok(Ran { status: Some(0), stdout: "active".into(), last_error: String::new() })
    }
    fn run_content(&self, content: &[u8], name: &str, args: &[String], _: &[(&str, String)], _: Duration) -> io::Result<Ran> {
        self.ran.borrow_mut().push(format!("{name} {}", args.join(" ")));
        let fails = content.starts_with(b"fails");
        Ok(Ran { status: Some(i32::from(fails)), stdout: String::new(), last_error: if fails { "the data is odd".into() } else { String::new() } })
    }
    fn try_content(&self, content: &[u8], name: &str, args: &[String], limit: Duration) -> io::Result<Ran> {
        // what stands in it is what it does
        let text = String::from_utf8_lossy(content).into_owned();
        let asked = args.last().map(String::as_str).unwrap_or_default();
        let ran = |status, stdout: &str, last_error: &str| Ok(Ran { status, stdout: stdout.into(), last_error: last_error.into() });
        if text.contains("no start") {
            return Err(io::Error::from_raw_os_error(8));
        }
        let _ = (name, limit);
        match asked {
            "--version" => ran(Some(0), "pikit-updater 9.9.9\n", ""),
            _ if text.contains("too old") => ran(Some(2), "", "unexpected argument '--self-test'"),
            _ if text.contains("cannot read") => ran(Some(5), "pikit-updater 9.9.9\n", "state.json was written by a newer updater (format 2)"),
            _ if text.contains("hangs") => ran(None, "", "not done within 30 s"),
            _ if text.contains("reads less") => ran(Some(0), "reads state format 0\n", ""),
            _ => ran(Some(0), "reads state format 1\n", ""),
        }
    }
    fn program(&self) -> Option<PathBuf> {
        Some("/usr/bin/pikit-updater".into())
    }
    fn http(&self, _: &str, _: Duration) -> Result<(u16, String), String> {
        let sick = self.disk.meta(Path::new("/srv/web/sick")).ok().flatten().is_some();
        if sick || self.broken.get() { Ok((503, "sick".into())) } else { Ok((200, "ok".into())) }
    }
    fn post(&self, _: &Letter, _: Duration) -> Result<(u16, String), String> {
        Err("nobody is told".into())
    }
    fn tcp(&self, _: &str, _: Duration) -> Result<(), String> {
        Ok(())
    }
}

/// One release in memory.
#[derive(Clone)]
pub struct Made {
    pub manifest: Vec<u8>,
    pub bundle: Vec<u8>,
}

/// Makes a release of these files; a path that ends in `!` is a config file, one that ends in `*` a program.
pub fn made<C: AsRef<[u8]>>(version: &str, files: &[(&str, C)]) -> Made {
    let entry = |(path, content): &(&str, C)| {
        let config = if path.ends_with('!') { r#","config":true"# } else { "" };
        let mode = if path.ends_with('*') { "0755" } else { "0644" };
        let (path, content) = (path.trim_end_matches(['!', '*']), content.as_ref());
        format!(r#"{{"path":"{path}","sha256":"{}","size":{},"mode":"{mode}"{config}}}"#, Digest::of(content), content.len())
    };
    let list: Vec<String> = files.iter().map(entry).collect();
    let manifest = format!(r#"{{"version":"{version}","files":[{}],"post_install":["restart api"]}}"#, list.join(",")).into_bytes();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (path, content) in files {
        let content = content.as_ref();
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path.trim_end_matches(['!', '*']), content).unwrap();
    }
    Made { manifest, bundle: tar.into_inner().unwrap().finish().unwrap() }
}

impl Made {
    /// The same with more in its manifest, like `"rollout":{…}`.
    pub fn with(mut self, more: &str) -> Self {
        self.manifest.truncate(self.manifest.len() - 1);
        self.manifest.extend_from_slice(format!(",{more}}}").as_bytes());
        self
    }
}

/// A source that has one release.
pub struct FakeSource(pub Made);

impl Source for FakeSource {
    fn name(&self) -> String {
        "the test".into()
    }
    fn find(&self, _: &Wanted, judge: &mut dyn Judge, _: &mut Memory) -> Result<Option<Offer>> {
        let manifest = &self.0.manifest;
        let shown = Candidate { name: "the test's", manifest, signature: None, tag: None, flagged: false, handed: true, look_only: false, steps: &[] };
        let manifest = match judge.judge(&shown)? {
            Verdict::Take(manifest) => *manifest,
            Verdict::NotForUs(_) => return Ok(None),
            Verdict::Wrong(error) => return Err(error),
        };
        let bundle = BundleRef { at: "bundle".into(), size: Some(self.0.bundle.len() as u64) };
        Ok(Some(Offer { manifest_bytes: self.0.manifest.clone(), signature: None, manifest, bundle, notes: vec![] }))
    }
    fn unpack(&self, _: &BundleRef, span: Span, to: &mut dyn Unpacked) -> Result<u64> {
        let all = self.0.bundle.len();
        let (from, end, cut) = match span {
            Span::Rest { from, .. } => (from as usize, all, false),
            Span::Run { before_end, length } => (all - before_end as usize, all - before_end as usize + length as usize, true),
        };
        let reader = Box::new(io::Cursor::new(self.0.bundle[from..end].to_vec()));
        unpack::body(Body { reader, start: from as u64, total: Some(all as u64), validator: None, cut }, to)
    }
}

/// What to do with a board.
pub enum Deed<'m> {
    /// Install a release.
    Apply(&'m Made),
    /// Install it whatever was said before.
    Force(&'m Made),
    /// Put back what drifted; this is what the source has.
    Repair(&'m Made),
    /// Return to the newest backup.
    Rollback,
    /// Settle what was interrupted.
    Recover,
    /// Settle it at boot.
    RecoverBoot,
}

pub const CONFIG: &str = r#"
product = "pikit"
[source]
dir = "/nowhere"
[trust]
required = false
[[managed]]
from = "web/"
to = "/srv/web/"
[[managed]]
from = "api.py"
to = "/usr/bin/api.py"
[services]
restart = ["api"]
control = ["ctl"]
[[health]]
http = "http://127.0.0.1:1/ping"
[trial]
timeout = "1s"
interval = "200ms"
settle = "200ms"
[backup]
min_free = "0"
"#;

/// Runs one command on a board, as the command line would: recovery first.
pub fn run(disk: &SimDisk, deed: &Deed) -> Result<Option<Report>> {
    run_with(disk, deed, &FakeClock::default(), CONFIG)
}

/// The same with a clock and a config of the test's own.
pub fn run_with(disk: &SimDisk, deed: &Deed, clock: &FakeClock, config: &str) -> Result<Option<Report>> {
    let settings = Settings::parse(config, &Layout::new("/")).unwrap();
    let outside = FakeOutside { disk, ran: RefCell::default(), broken: Cell::new(false) };
    // ids must not repeat from one command to the next on the same disk
    clock.ids.set(clock.ids.get().max(disk.list(&settings.layout.logs()).map_or(0, |l| l.len() as u64 * 1000)));
    let locked = Locked::pretended();
    let mut silent = Silent;
    let mut trip = Trip::new(World { disk, outside: &outside, clock }, &settings, &locked, &mut silent)?;
    let recovered = recover::recover(&mut trip, matches!(deed, Deed::RecoverBoot))?;
    let (source, force) = match deed {
        Deed::Recover | Deed::RecoverBoot => {
            return Ok(match recovered {
                Recovered::Ended(report) => Some(*report),
                _ => None,
            });
        }
        Deed::Repair(release) => {
            let done = verify::repair(&mut trip, &FakeSource((*release).clone()), &mut |_| Ok(()))?;
            return Ok(ended(done));
        }
        Deed::Rollback => {
            let done = apply::rollback(&mut trip, None, false, &mut |_| Ok(()))?;
            return Ok(ended(done));
        }
        Deed::Apply(release) => (FakeSource((*release).clone()), false),
        Deed::Force(release) => (FakeSource((*release).clone()), true),
    };
    let request = Request { force, ..Request::default() };
    Ok(ended(apply::apply(&mut trip, &source, request, &mut |_| Ok(()))?))
}

/// What an apply would do.
pub fn plan(disk: &SimDisk, release: &Made) -> crate::plan::Plan {
    with_trip(disk, |trip| {
        let request = Request { dry_run: true, ..Request::default() };
        match apply::apply(trip, &FakeSource(release.clone()), request, &mut |_| Ok(())) {
            Ok(Done::Planned(proposal)) => proposal.plan,
            other => panic!("no plan: {other:?}"),
        }
    })
}

/// `verify --repair`.
pub fn repair(disk: &SimDisk, release: &Made) -> Result<Option<Report>> {
    with_trip(disk, |trip| super::verify::repair(trip, &FakeSource(release.clone()), &mut |_| Ok(())).map(ended))
}

fn with_trip<T>(disk: &SimDisk, work: impl FnOnce(&mut Trip) -> T) -> T {
    with_trip_of(disk, &FakeClock::default(), CONFIG, work)
}

/// A trip of a board with this config.
pub fn with_trip_of<T>(disk: &SimDisk, clock: &FakeClock, config: &str, work: impl FnOnce(&mut Trip) -> T) -> T {
    let settings = Settings::parse(config, &Layout::new("/")).unwrap();
    let outside = FakeOutside { disk, ran: RefCell::default(), broken: Cell::new(false) };
    clock.ids.set(1_000_000 + disk.effects());
    let locked = Locked::pretended();
    let mut silent = Silent;
    let mut trip = Trip::new(World { disk, outside: &outside, clock }, &settings, &locked, &mut silent).unwrap();
    work(&mut trip)
}

fn ended(done: Done) -> Option<Report> {
    match done {
        Done::Ended(report) => Some(report),
        Done::Planned(_) => None,
    }
}

/// Puts a file on a board as a person would.
pub fn write(disk: &SimDisk, path: &str, content: &str) {
    durable::make_dirs(disk, Path::new(path).parent().unwrap(), 0o755).unwrap();
    durable::save(disk, Path::new(path), content.as_bytes(), 0o600).unwrap();
}

/// The managed paths of the board, and the version it says it has.
pub fn tree(disk: &SimDisk) -> BTreeMap<PathBuf, Dumped> {
    let mut all: BTreeMap<PathBuf, Dumped> = disk.dump(Path::new("/srv")).into_iter().map(|(p, d)| (Path::new("/srv").join(p), d)).collect();
    all.extend(disk.dump(Path::new("/usr/bin")).into_iter().map(|(p, d)| (Path::new("/usr/bin").join(p), d)));
    let version = durable::read(disk, Path::new("/etc/pikit/version"), 100).unwrap().unwrap_or_default();
    all.insert("version".into(), Dumped { kind: Kind::File, content: version, mode: 0 });
    let installed = durable::read(disk, Path::new("/var/lib/pikit-update/installed.json"), manifest::SIZE_MAX).unwrap().unwrap_or_default();
    all.insert("installed".into(), Dumped { kind: Kind::File, content: installed, mode: 0 });
    all
}

/// Leftovers that must not be: journal, staging beside managed paths, half-made backups.
pub fn leftovers(disk: &SimDisk) -> Vec<PathBuf> {
    let mut left: Vec<PathBuf> = Vec::new();
    for top in ["/srv", "/usr/bin", "/var/backups/pikit"] {
        if disk.meta(Path::new(top)).unwrap().is_some() {
            left.extend(disk.dump(Path::new(top)).into_keys().filter(|p| p.to_string_lossy().contains(".pikit-")));
        }
    }
    left.extend(["journal.json", "transaction"].map(|n| Path::new("/var/lib/pikit-update").join(n)).into_iter().filter(|p| disk.meta(p).unwrap().is_some()));
    left
}

/// A board with 1.0.0 installed and files of a person beside it.
pub fn board(disk: SimDisk, first: &Made) -> SimDisk {
    durable::make_dirs(&disk, Path::new("/usr/bin"), 0o755).unwrap();
    durable::make_dirs(&disk, Path::new("/srv"), 0o755).unwrap();
    let report = run(&disk, &Deed::Apply(first)).unwrap().unwrap();
    assert_eq!(report.code, 0, "{report:?}");
    write(&disk, "/srv/web/mine.txt", "mine");
    write(&disk, "/srv/web/mine/deep.txt", "deep");
    disk.sync_fs(Path::new("/")).unwrap();
    disk.clone()
}
