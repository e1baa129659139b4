//! Sources against servers that lie. What a stranger would see on a bad day is part of what is asserted: the words and the hint.

#![allow(clippy::unwrap_used, clippy::panic)] // allowed in tests, and the helpers here are outside of any

#[path = "support/authority.rs"]
mod authority;
#[path = "support/parts.rs"]
mod parts;
#[path = "support/liar.rs"]
mod liar;

use std::cell::Cell;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use authority::Authority;
use chrono::{DateTime, Utc};
use liar::{Answer, Fault, Gitea, Liar, Release};
use pikit_updater::device::{Layout, settings::Settings};
use pikit_updater::error::{Code, Error};
use pikit_updater::plan::decide::Installed;
use pikit_updater::release::Manifest;
use pikit_updater::release::bundle::Head;
use pikit_updater::source::{
    self, BundleRef, Candidate, Here, Input, Judge, Line, Memory, Network, Offer, Source, Span, Start, Unpacked, Verdict, Wanted, read_error,
};
use pikit_updater::update::aim::Request;
use pikit_updater::update::belief::Belief;
use pikit_updater::update::judge::Judging;
use pikit_updater::world::Clock;
use pikit_updater::world::World;
use pikit_updater::world::clock::RealClock;
use pikit_updater::world::outside::RealOutside;
use pikit_updater::world::real::RealDisk;

/// Real time that can be made to run faster; sleeping costs nothing and is remembered.
struct TestClock {
    start: Instant,
    speed: u32,
    slept: Cell<Duration>,
    stop_after: Cell<Option<Duration>>,
}

impl TestClock {
    fn new() -> Self {
        TestClock { start: Instant::now(), speed: 1, slept: Cell::default(), stop_after: Cell::default() }
    }
    fn stopping_after(ms: u64) -> Self {
        let clock = TestClock::new();
        clock.stop_in(ms);
        clock
    }
    /// From now on.
    fn stop_in(&self, ms: u64) {
        self.stop_after.set(Some(self.start.elapsed() + Duration::from_millis(ms)));
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }
    fn monotonic(&self) -> Duration {
        self.start.elapsed() * self.speed + self.slept.get()
    }
    fn sleep(&self, time: Duration) -> bool {
        self.slept.set(self.slept.get() + time);
        self.stops() > 0
    }
    fn stops(&self) -> u32 {
        self.stop_after.get().is_some_and(|after| self.start.elapsed() > after).into()
    }
    fn boot_id(&self) -> String {
        "boot".into()
    }
    fn new_id(&self) -> String {
        "0".repeat(26)
    }
}

/// For servers that fall silent. The others are waited for longer than a busy machine is silent.
const IMPATIENT: &str = "timeout = \"1s\"";

fn settings(source: &str, more: &str) -> Settings {
    let patience = if more.contains("timeout") { "" } else { "timeout = \"60s\"" };
    let text = format!("product = \"pikit\"\n[source]\n{source}\n[download]\n{patience}\n{more}\n[trust]\nrequired = false\n");
    Settings::parse(&text, &Layout::new("/")).unwrap()
}

fn gitea(liar: &Liar) -> Settings {
    gitea_with(liar, "", "")
}

fn gitea_with(liar: &Liar, source: &str, more: &str) -> Settings {
    settings(&format!("gitea = \"{}\"\nrepo = \"owner/pi-kit\"\n{source}", liar.url), more)
}

fn url(liar: &Liar) -> Settings {
    settings(&format!("url = \"{}/kit/\"", liar.url), "")
}

fn manifest(version: &str) -> String {
    format!(r#"{{"version":"{version}","files":[],"notes":"of {version}"}}"#)
}

fn complete(tag: &str) -> Release {
    let version = tag.trim_start_matches('v');
    Release::new(tag).asset("manifest.json", manifest(version)).asset("manifest.json.minisig", "sig").asset(&format!("pikit-{version}.tar.gz"), noise(50_000))
}

/// Bytes without a pattern that a wrong offset could hide in.
fn noise(n: usize) -> Vec<u8> {
    let mut x = 0x2545_F491_4F6C_DD1D_u64;
    (0..n)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x as u8
        })
        .collect()
}

fn any(_: &Manifest) -> Result<(), String> {
    Ok(())
}

/// The judge of a device that has nothing installed and asks nobody to sign.
fn judging<'s>(settings: &'s Settings, wanted: &Wanted) -> Judging<'s> {
    let (disk, clock) = (RealDisk::new(Vec::new()), RealClock::new());
    let belief = Belief::load(World { disk: &disk, outside: &RealOutside, clock: &clock }, settings).unwrap();
    Judging::new(belief, settings, &Request { wanted: wanted.clone(), ..Request::default() }, &Installed::default())
}

/// The program's own judge, and beyond that a test's word on who may install what.
struct Strict<'s> {
    judge: Judging<'s>,
    may: &'s dyn Fn(&Manifest) -> Result<(), String>,
    /// Tags and versions in the order shown; `?`: only to be looked at.
    shown: Vec<String>,
}

impl Judge for Strict<'_> {
    fn judge(&mut self, candidate: &Candidate) -> Result<Verdict, Error> {
        self.shown.push(format!("{}{}", candidate.tag.map(ToString::to_string).unwrap_or_default(), if candidate.look_only { "?" } else { "" }));
        Ok(match self.judge.judge(candidate)? {
            Verdict::Take(manifest) if (self.may)(&manifest).is_err() => Verdict::NotForUs(manifest.version),
            verdict => verdict,
        })
    }
}

fn find(
    settings: &Settings,
    source: &dyn Source,
    wanted: &Wanted,
    may: &dyn Fn(&Manifest) -> Result<(), String>,
    memory: &mut Memory,
) -> Result<Option<Offer>, Error> {
    source.find(wanted, &mut Strict { judge: judging(settings, wanted), may, shown: Vec::new() }, memory)
}

fn best(settings: &Settings) -> Result<Option<Offer>, Error> {
    find(settings, source::open(settings, &TestClock::new())?.as_ref(), &Wanted::Best, &any, &mut Memory::default())
}

/// A source whose bytes can be read as they come.
fn network<'a>(settings: &Settings, clock: &'a TestClock) -> Result<Box<dyn Network + 'a>, Error> {
    Line::of(settings)?.expect("it is on the network").open(clock)
}

/// Takes everything.
#[derive(Default)]
struct All {
    start: Option<Start>,
    files: Vec<(String, Vec<u8>)>,
}

impl Unpacked for All {
    fn start(&mut self, start: &Start) -> Result<u64, Error> {
        self.start = Some(start.clone());
        Ok(1 << 30)
    }
    fn entry(&mut self, head: &Head, content: &mut dyn Read, _: &Cell<u64>) -> Result<(), Error> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(|e| read_error(e, || "reading".into()))?;
        self.files.push((head.path.to_string(), bytes));
        Ok(())
    }
}

fn unpack(source: &dyn Source, bundle: &BundleRef, from: u64, validator: Option<&str>) -> Result<All, Error> {
    let mut all = All::default();
    source.unpack(bundle, Span::Rest { from, validator }, &mut all).map(|_| all)
}

fn best_version(settings: &Settings) -> String {
    best(settings).unwrap().unwrap().manifest.version.to_string()
}

fn fails(settings: &Settings, what: &str, hint: &str) -> Error {
    says(best(settings).expect_err("it should fail"), Code::Source, what, hint)
}

fn says(error: Error, code: Code, what: &str, hint: &str) -> Error {
    let (message, advice) = (error.message(), error.hint.clone().unwrap_or_default());
    assert!(message.contains(what), "{message:?} does not say {what:?}");
    assert!(advice.contains(hint), "{advice:?} (of {message:?}) does not advise {hint:?}");
    assert_eq!(error.code, code, "{message}");
    error
}

/// Downloads `/b` of a server.
fn download(liar: &Liar, clock: &TestClock, more: &str, from: u64, validator: Option<&str>, size: Option<u64>) -> Result<(u64, Vec<u8>), Error> {
    let settings = settings(&format!("url = \"{}/\"", liar.url), more);
    let source = network(&settings, clock)?;
    let mut body = source.open(&BundleRef { at: format!("{}/b", liar.url), size }, Span::Rest { from, validator })?;
    let mut bytes = Vec::new();
    body.reader.read_to_end(&mut bytes).map_err(|e| read_error(e, || "reading".into()))?;
    Ok((body.start, bytes))
}

fn fetch(liar: &Liar) -> Result<Vec<u8>, Error> {
    download(liar, &TestClock::new(), "", 0, None, None).map(|(_, bytes)| bytes)
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("pikit-source-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Folder(dir)
    }
    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

// ---- choosing a release

#[test]
fn the_highest_stable_release_is_offered_whatever_the_order_of_the_list() {
    let liar = Liar::start();
    liar.releases([
        complete("v1.2.9"),
        complete("v1.10.0"),
        complete("v2.0.0-beta.1"),
        complete("v3.0.0").draft(),
        complete("v1.9.0"),
        complete("v2.1.0").prerelease(),
        complete("nightly"),
    ]);
    let offer = best(&gitea(&liar)).unwrap().unwrap();
    assert_eq!(offer.manifest.version.to_string(), "1.10.0");
    assert_eq!(offer.manifest_bytes, manifest("1.10.0").into_bytes());
    assert_eq!(offer.signature.as_deref(), Some(&b"sig"[..]));
    assert_eq!(offer.bundle, BundleRef { at: format!("{}/owner/pi-kit/releases/download/v1.10.0/pikit-1.10.0.tar.gz", liar.url), size: Some(50_000) });
    assert_eq!(best_version(&gitea_with(&liar, "channel = \"beta\"", "")), "2.1.0");
}

#[test]
fn a_release_that_this_device_may_not_install_gives_way_to_the_next_lower() {
    let liar = Liar::start();
    liar.releases([complete("v1.2.0"), complete("v1.1.0"), complete("v1.0.0")]);
    let settings = gitea(&liar);
    let clock = TestClock::new();
    let source = source::open(&settings, &clock).unwrap();
    let old = |m: &Manifest| if m.version.minor < 2 { Ok(()) } else { Err("too new".to_owned()) };
    let find = |may| find(&settings, source.as_ref(), &Wanted::Best, may, &mut Memory::default()).unwrap();
    assert_eq!(find(&old).unwrap().manifest.version.to_string(), "1.1.0");
    assert!(find(&|_| Err("no".into())).is_none());
}

#[test]
fn an_unfinished_or_broken_release_is_passed_over_with_a_note_and_is_the_error_when_alone() {
    let liar = Liar::start();
    let bare = Release::new("v1.4.0").asset("manifest.json", manifest("1.4.0"));
    let liar_of = |tag: &str, text: &str| Release::new(tag).asset("manifest.json", text).asset("x.tar.gz", "x");
    liar.releases([liar_of("v1.6.0", &manifest("9.9.9")), liar_of("v1.5.0", "{"), bare.clone(), Release::new("v1.3.0"), complete("v1.2.0")]);
    let offer = best(&gitea(&liar)).unwrap().unwrap();
    assert_eq!(offer.manifest.version.to_string(), "1.2.0");
    let notes = offer.notes.join("\n");
    for part in ["v1.6.0", "another version, 9.9.9", "v1.5.0", "broken manifest", "v1.4.0", "no bundle", "v1.3.0", "no manifest.json"] {
        assert!(notes.contains(part), "{notes} lacks {part}");
    }
    liar.releases([bare]);
    fails(&gitea(&liar), "v1.4.0 of http", "");
    liar.releases([liar_of("v1.5.0", "{")]);
    says(best(&gitea(&liar)).unwrap_err(), Code::Verification, "broken manifest", "");
    liar.releases([]);
    assert!(best(&gitea(&liar)).unwrap().is_none());
}

#[test]
fn all_pages_are_read_even_if_the_server_gives_fewer_than_asked_for() {
    let liar = Liar::start();
    let mut releases: Vec<Release> = (0..7).map(|n| complete(&format!("v1.0.{n}"))).collect();
    releases.push(complete("v2.0.0"));
    liar.gitea(Gitea { repo: "owner/pi-kit".into(), releases, page_max: 3, ..Gitea::default() });
    assert_eq!(best_version(&gitea(&liar)), "2.0.0");
    let pages = liar.requests().iter().filter(|r| r.path.contains("/releases?")).count();
    assert_eq!(pages, 3);
}

#[test]
fn a_named_release_is_found_under_both_spellings_of_its_tag() {
    let liar = Liar::start();
    liar.releases([complete("v1.2.0"), complete("1.1.0"), complete("v2.0.0-beta.1").prerelease(), complete("v3.0.0").draft()]);
    let settings = gitea(&liar);
    let clock = TestClock::new();
    let source = source::open(&settings, &clock).unwrap();
    let exact = |v: &str| find(&settings, source.as_ref(), &Wanted::Exact(v.parse().unwrap()), &any, &mut Memory::default());
    for version in ["1.2.0", "1.1.0", "2.0.0-beta.1"] {
        assert_eq!(exact(version).unwrap().unwrap().manifest.version.to_string(), version);
    }
    says(exact("3.0.0").unwrap_err(), Code::Source, "has no release 3.0.0", "/releases lists");
}

#[test]
fn a_second_check_costs_one_request_and_notices_every_change() {
    let liar = Liar::start();
    let set = |releases: Vec<Release>| drop(liar.gitea(Gitea { repo: "owner/pi-kit".into(), releases, page_max: 2, ..Gitea::default() }).take_requests());
    let settings = gitea(&liar);
    let clock = TestClock::new();
    let mut memory = Memory::default();
    let mut check = |may: &dyn Fn(&Manifest) -> Result<(), String>| {
        // memory goes through the disk
        memory = serde_json::from_slice(&serde_json::to_vec(&memory).unwrap()).unwrap();
        let source = source::open(&settings, &clock).unwrap();
        let offer = find(&settings, source.as_ref(), &Wanted::Best, may, &mut memory).unwrap().unwrap();
        (offer.manifest.version.to_string(), offer.manifest_bytes, liar.take_requests().len())
    };
    set(vec![complete("v1.2.0"), complete("v1.1.0"), complete("v1.0.0")]);
    assert_eq!(check(&any), ("1.2.0".into(), manifest("1.2.0").into_bytes(), 4));
    assert_eq!(check(&any), ("1.2.0".into(), manifest("1.2.0").into_bytes(), 1));
    assert_eq!(check(&|m| if m.version.minor == 1 { Ok(()) } else { Err("no".into()) }).0, "1.1.0");
    assert_eq!(check(&any), ("1.2.0".into(), manifest("1.2.0").into_bytes(), 1));
    // an asset is replaced: its id changes, and its tag does not
    let text = manifest("1.2.0").replace("of 1.2.0", "better");
    let again = Release::new("v1.2.0").asset("manifest.json", text.clone()).asset("pikit-1.2.0.tar.gz", "x");
    set(vec![again.clone(), complete("v1.1.0"), complete("v1.0.0")]);
    assert_eq!(check(&any).1, text.into_bytes());
    set(vec![complete("v1.3.0"), again, complete("v1.1.0"), complete("v1.0.0")]);
    assert_eq!(check(&any).0, "1.3.0");
}

/// The newest few join what is remembered, so that a check stays small however many releases there are; an older one that was changed or
/// taken away is noticed by the look at all of them.
#[test]
fn a_check_asks_for_the_newest_releases_and_now_and_then_for_all() {
    let liar = Liar::start();
    let mut releases: Vec<Release> = (0..60).rev().map(|n| complete(&format!("v1.0.{n}"))).collect();
    let set = |releases: &[Release]| {
        liar.gitea(Gitea { repo: "owner/pi-kit".into(), releases: releases.to_vec(), page_max: 50, ..Gitea::default() });
    };
    let (settings, clock) = (gitea(&liar), TestClock::new());
    let source = source::open(&settings, &clock).unwrap();
    let mut memory = Memory::default();
    let mut check = || {
        let offer = find(&settings, source.as_ref(), &Wanted::Best, &any, &mut memory).unwrap().unwrap();
        let requests = liar.take_requests();
        let lists = requests.iter().filter_map(|r| r.path.split_once("limit=").map(|(_, limit)| limit.to_owned())).collect::<Vec<_>>();
        (offer.manifest.version.to_string(), lists.join(" "), requests.len())
    };
    set(&releases);
    let (all, short) = ("50&page=1 50&page=2", "4&page=1");
    let (version, lists, _) = check();
    assert_eq!((version.as_str(), lists.as_str()), ("1.0.59", all));
    assert_eq!(check(), ("1.0.59".into(), short.into(), 1));
    // two more: the list goes on, and only the newest one's manifest is fetched
    releases.splice(0..0, [complete("v1.0.61"), complete("v1.0.60")]);
    set(&releases);
    let (version, lists, _) = check();
    assert_eq!((version.as_str(), lists.as_str()), ("1.0.61", short));
    // all that is shown is new: no telling what else is
    releases.splice(0..0, (62..66).rev().map(|n| complete(&format!("v1.0.{n}"))));
    set(&releases);
    let (version, lists, _) = check();
    assert_eq!((version.as_str(), lists.as_str()), ("1.0.65", format!("{short} {all}").as_str()));
    // the newest is taken away
    releases.remove(0);
    set(&releases);
    let (version, lists, _) = check();
    assert_eq!((version.as_str(), lists.as_str()), ("1.0.64", format!("{short} {all}").as_str()));
    let lists: Vec<String> = (0..8).map(|_| check().1).collect();
    assert_eq!(lists, [short, short, short, short, short, short, all, short]);
}

#[test]
fn an_etag_of_the_list_is_used_when_the_server_gives_one() {
    let liar = Liar::start();
    liar.releases([complete("v1.2.0")]);
    let settings = gitea(&liar);
    let clock = TestClock::new();
    let mut memory = Memory::default();
    let list = r#"[{"id":1,"tag_name":"v1.2.0","assets":[{"id":1,"name":"manifest.json"},{"id":2,"name":"x.tar.gz","size":3}]}]"#;
    liar.file("/api/v1/repos/owner/pi-kit/releases", list);
    let source = source::open(&settings, &clock).unwrap();
    for _ in 0..2 {
        find(&settings, source.as_ref(), &Wanted::Best, &any, &mut memory).unwrap().unwrap();
        liar.take_requests();
    }
    let offer = find(&settings, source.as_ref(), &Wanted::Best, &any, &mut memory).unwrap().unwrap();
    let requests = liar.requests();
    assert_eq!((requests.len(), requests[0].header("if-none-match").is_some()), (1, true));
    assert_eq!(offer.bundle.size, Some(3));
}

#[test]
fn a_server_with_a_wrong_idea_of_its_name_is_asked_under_the_configured_one() {
    let liar = Liar::start();
    liar.gitea(Gitea {
        repo: "owner/pi-kit".into(),
        releases: vec![complete("v1.0.0")],
        root_url: Some("http://gitea.internal:3000".into()),
        ..Gitea::default()
    });
    let offer = best(&gitea(&liar)).unwrap().unwrap();
    assert!(offer.bundle.at.starts_with(&liar.url));
}

#[test]
fn the_release_whose_manifest_was_made_last_is_looked_at_first_and_costs_nothing_the_second_time() {
    let liar = Liar::start();
    // listed first is made last
    liar.releases([complete("v1.1.0"), complete("v1.3.0"), complete("v1.2.0")]);
    let settings = gitea(&liar);
    let clock = TestClock::new();
    let source = source::open(&settings, &clock).unwrap();
    let mut memory = Memory::default();
    for requests in [5, 1] {
        let mut judge = Strict { judge: judging(&settings, &Wanted::Best), may: &any, shown: Vec::new() };
        let offer = source.find(&Wanted::Best, &mut judge, &mut memory).unwrap().unwrap();
        assert_eq!((offer.manifest.version.to_string().as_str(), judge.shown), ("1.3.0", vec!["1.1.0?".to_owned(), "1.3.0".to_owned()]));
        assert_eq!(liar.take_requests().len(), requests);
    }
}

#[test]
fn what_the_judge_does_not_believe_is_not_remembered() {
    struct Never;
    impl Judge for Never {
        fn judge(&mut self, candidate: &Candidate) -> Result<Verdict, Error> {
            Ok(Verdict::Wrong(Error::verification(format!("{} is not signed", candidate.name))))
        }
    }
    let liar = Liar::start();
    liar.releases([complete("v1.0.0")]);
    liar.file("/kit/manifest.json", manifest("1.4.0")).file("/kit/pikit-1.4.0.tar.gz", "bundle");
    for (settings, name) in [(gitea(&liar), "release v1.0.0 of http"), (url(&liar), "/kit/manifest.json is not signed")] {
        let clock = TestClock::new();
        let mut memory = Memory::default();
        let error = source::open(&settings, &clock).unwrap().find(&Wanted::Best, &mut Never, &mut memory).unwrap_err();
        says(error, Code::Verification, name, "");
        assert!(!memory.0.contains("of 1.0.0") && !memory.0.contains("of 1.4.0"), "{}", memory.0);
    }
}

#[test]
fn small_files_that_come_drop_by_drop_end_after_a_quarter_of_an_hour() {
    let liar = Liar::start();
    liar.answer("/kit/manifest.json", Answer::file(noise(100_000)).fault(Fault::Trickle(Duration::from_millis(1))));
    let settings = settings(&format!("url = \"{}/kit/\"", liar.url), "min_speed = \"0\"");
    // a quarter of an hour is a second long
    let clock = TestClock { speed: 900, ..TestClock::new() };
    let found = find(&settings, source::open(&settings, &clock).unwrap().as_ref(), &Wanted::Best, &any, &mut Memory::default());
    says(found.unwrap_err(), Code::Source, "did not come within 15 min", "try again later");
}

// ---- the token

#[test]
fn the_token_goes_to_the_configured_server_and_nowhere_else() {
    let (liar, store) = (Liar::start(), Liar::start());
    let folder = Folder::new();
    let token = folder.file("token", "  geheim\n");
    liar.gitea(Gitea { repo: "owner/pi-kit".into(), releases: vec![complete("v1.0.0")], token: Some("geheim".into()), ..Gitea::default() });
    let path = "/owner/pi-kit/releases/download/v1.0.0/pikit-1.0.0.tar.gz";
    liar.answer(path, Answer::redirect(format!("{}/object?signature=1", store.url)));
    store.answer("/object", Answer::redirect(format!("{}/moved", store.url))).file("/moved", "bundle");

    let settings = gitea_with(&liar, &format!("token_file = \"{}\"", token.display()), "");
    let clock = TestClock::new();
    let source = network(&settings, &clock).unwrap();
    let judge = &mut Strict { judge: judging(&settings, &Wanted::Best), may: &any, shown: Vec::new() };
    let offer = source.find(&Wanted::Best, judge, &mut Memory::default()).unwrap().unwrap();
    assert!(liar.requests().iter().all(|r| r.header("authorization") == Some("token geheim")));
    // the manifest's bundle has 50000 bytes there and 6 here: ask without the size
    let mut body = source.open(&BundleRef { size: None, ..offer.bundle }, Span::ALL).unwrap();
    let mut bytes = Vec::new();
    body.reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"bundle");
    let elsewhere = store.requests();
    assert_eq!(elsewhere.len(), 2);
    assert!(elsewhere.iter().all(|r| r.header("authorization").is_none()), "{elsewhere:?}");
    assert!(elsewhere.iter().all(|r| r.header("accept-encoding") == Some("identity") && r.header("user-agent").unwrap().starts_with("pikit-updater/")));
}

#[test]
fn a_missing_a_wrong_and_an_unreadable_token_are_told_apart_and_none_is_shown() {
    let liar = Liar::start();
    liar.gitea(Gitea { repo: "owner/pi-kit".into(), releases: vec![complete("v1.0.0")], token: Some("right".into()), ..Gitea::default() });
    fails(&gitea(&liar), "no such repository", "token_file");
    let folder = Folder::new();
    let with = |path: &Path| gitea_with(&liar, &format!("token_file = \"{}\"", path.display()), "");
    let error = fails(&with(&folder.file("wrong", "geheim")), "access denied, although a token was sent", "expired");
    assert!(!format!("{error:?}").contains("geheim"));
    let error = best(&with(&folder.file("two", "geheim zwei"))).unwrap_err();
    assert!(error.message().contains("does not hold a token") && !format!("{error:?}").contains("geheim"));
    says(best(&with(&folder.0.join("none"))).unwrap_err(), Code::Usage, "does not exist", "source.token_file");
    liar.answer("/api/v1/repos/owner/pi-kit/releases", Answer::status(403));
    fails(&gitea(&liar), "access denied (status 403)", "source.token_file");
}

// ---- bad days

#[test]
fn each_bad_day_has_its_own_words() {
    let liar = Liar::start();
    let list = "/api/v1/repos/owner/pi-kit/releases";
    let table: Vec<(Answer, &str, &str)> = vec![
        (Answer::page(), "a web page came instead", "login page"),
        (Answer::file("<html>login").without_etag(), "a web page came instead", "login page"),
        (Answer::file("{}"), "not the list of releases", "Gitea"),
        (Answer::status(404), "no such repository", "token_file"),
        (Answer::status(418), "status 418", ""),
        (Answer::status(500), "the server failed (status 500) (4 tries)", "log"),
        (Answer::file("x").fault(Fault::Garbage), "does not speak HTTP", "port"),
        (Answer::file("x").fault(Fault::HangUp), "connection broke", "next run"),
        (Answer::file(noise(500)).fault(Fault::Cut(100)), "connection broke", "next run"),
        (Answer::file(noise(500)).fault(Fault::Reset(100)), "connection broke", "next run"),
        (Answer::file("x").fault(Fault::Stall(0)), "timed out waiting for its next byte", "download.timeout"),
        (Answer::redirect(list), "redirects more than 5 times", "browser"),
        (Answer::redirect("http://example.org/"), "plain http", "browser"),
        (Answer::redirect("gopher://x"), "not an http or https URL", "browser"),
        (Answer::file("[]").header("Content-Encoding", "gzip"), "compressed for the transport", ""),
        (Answer::file(vec![b' '; (8 << 20) + 1]), "the most that is read", ""),
    ];
    for (answer, what, hint) in table {
        liar.answer(list, answer);
        fails(&gitea_with(&liar, "", if what.starts_with("timed out") { IMPATIENT } else { "" }), what, hint);
    }
}

#[test]
fn a_list_of_exactly_the_limit_is_read() {
    let liar = Liar::start();
    let mut list = vec![b' '; 8 << 20];
    list[0] = b'[';
    list[(8 << 20) - 1] = b']';
    liar.file("/api/v1/repos/owner/pi-kit/releases", list);
    assert!(best(&gitea(&liar)).unwrap().is_none());
}

#[test]
fn nobody_there_and_no_such_name_are_said_at_once() {
    // bound, so that nobody else takes it, and never listened on
    let held = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    rustix::net::bind(&held, &std::net::SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let port = std::net::SocketAddr::try_from(rustix::net::getsockname(&held).unwrap()).unwrap().port();
    let clock = TestClock::new();
    let settings = settings(&format!("url = \"http://127.0.0.1:{port}/\""), "");
    let found = find(&settings, source::open(&settings, &clock).unwrap().as_ref(), &Wanted::Best, &any, &mut Memory::default());
    says(found.unwrap_err(), Code::Source, "refused the connection", "not running");
    assert_eq!(clock.slept.get(), Duration::ZERO);
}

#[test]
fn a_busy_server_is_given_the_time_it_asks_for() {
    let liar = Liar::start();
    liar.releases([]);
    let list = "/api/v1/repos/owner/pi-kit/releases";
    let good = || Answer::file("[]");
    let date = |answer: Answer| answer.header("Date", "Sat, 21 Nov 2026 23:00:00 GMT").header("Retry-After", "Sat, 21 Nov 2026 23:00:17 GMT");
    let table = [
        (vec![Answer::status(503).header("Retry-After", "7"), good()], 7..=7),
        (vec![Answer::status(429).header("Retry-After", "9"), Answer::status(429), good()], 10..=10),
        (vec![date(Answer::status(503)), good()], 17..=17),
        (vec![Answer::status(503).header("Retry-After", "86400"), good()], 60..=60),
        (vec![Answer::status(502), Answer::file("x").fault(Fault::HangUp), Answer::file("[ ]").fault(Fault::Cut(1)), good()], 3..=5),
    ];
    for (answers, seconds) in table {
        let tries = answers.len();
        liar.answers(list, answers).take_requests();
        let settings = gitea(&liar);
        let clock = TestClock::new();
        let source = source::open(&settings, &clock).unwrap();
        assert!(find(&settings, source.as_ref(), &Wanted::Best, &any, &mut Memory::default()).unwrap().is_none());
        assert_eq!(liar.requests().len(), tries);
        assert!(seconds.contains(&clock.slept.get().as_secs()), "{:?} is not in {seconds:?}", clock.slept.get());
    }
    liar.answer(list, Answer::status(429)).take_requests();
    fails(&gitea(&liar), "too many requests (status 429) (4 tries)", "later");
    assert_eq!(liar.take_requests().len(), 4);
    liar.answer(list, Answer::status(400));
    fails(&gitea(&liar), "status 400", "");
    assert_eq!(liar.take_requests().len(), 1);
}

#[test]
fn a_wish_to_stop_is_heard_while_the_line_is_silent() {
    let liar = Liar::start();
    liar.answer("/kit/manifest.json", Answer::file("x").fault(Fault::Stall(0)));
    liar.answer("/b", Answer::file(noise(100_000)).fault(Fault::Stall(1000)));
    let settings = url(&liar);
    assert_eq!(settings.download.timeout, Duration::from_secs(60));
    let clock = TestClock::stopping_after(200);
    let source = source::open(&settings, &clock).unwrap();
    let found = find(&settings, source.as_ref(), &Wanted::Best, &any, &mut Memory::default());
    says(found.unwrap_err(), Code::Cancelled, "stopped before anything changed", "what was fetched is kept");
    let clock = TestClock::new();
    let source = network(&settings, &clock).unwrap();
    let mut body = source.open(&BundleRef { at: format!("{}/b", liar.url), size: None }, Span::ALL).unwrap();
    clock.stop_in(200);
    let error = body.reader.read_to_end(&mut Vec::new()).unwrap_err();
    says(read_error(error, || "reading".into()), Code::Cancelled, "stopped before anything changed", "");
    // long before the line is given up
    assert!(clock.start.elapsed() < Duration::from_secs(20), "{:?}", clock.start.elapsed());
}

#[test]
fn a_proxy_of_the_environment_is_used_but_never_to_this_machine() {
    let proxy = Liar::start();
    proxy.releases([complete("v1.0.0")]);
    // the environment belongs to a process: a child runs the test below
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "child_behind_a_proxy", "--ignored"])
        .env("http_proxy", &proxy.url)
        .env("LIAR", &proxy.url)
        .env_remove("no_proxy")
        .env_remove("NO_PROXY");
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let seen: Vec<String> = proxy.requests().iter().map(|r| format!("{} {}", r.method, r.path)).collect();
    assert_eq!(seen[0], "CONNECT git.example.org:80");
    assert!(seen[1..].iter().all(|r| r.starts_with("GET /")) && seen.len() > 1, "{seen:?}");
}

#[test]
#[ignore = "run by the test above, with an environment of its own"]
fn child_behind_a_proxy() {
    let Ok(liar) = std::env::var("LIAR") else { return };
    fails(&settings("url = \"http://git.example.org/\"\nallow_http = true", ""), "the proxy of the environment does not help", "NO_PROXY");
    let here = settings(&format!("gitea = \"{}\"\nrepo = \"owner/pi-kit\"", liar), "");
    assert_eq!(best_version(&here), "1.0.0");
}

// ---- bundles

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    let bytes = noise(300_000);
    let whole = || Answer::file(bytes.clone());
    let liar = Liar::start();
    let table: Vec<(Vec<Answer>, usize)> = vec![
        (vec![whole()], 1),
        (vec![whole().fault(Fault::Cut(100_000)), whole().fault(Fault::Reset(1)), whole()], 3),
        (vec![whole().fault(Fault::Stall(100_000)), whole()], 2),
        (vec![whole().fault(Fault::Cut(100_000)), whole().fault(Fault::NoRanges)], 2),
        (vec![whole().fault(Fault::Cut(100_000)), Answer::status(503), whole()], 3),
        (vec![whole().fault(Fault::Cut(100_000)), Answer::status(416).header("Content-Range", "bytes */300000"), whole()], 3),
        (vec![whole().fault(Fault::Cut(100_000)), whole().fault(Fault::WrongRange), whole()], 3),
        (vec![whole().fault(Fault::ChunkedCut(100_000)), whole()], 2),
        (vec![whole().fault(Fault::Chunked)], 1),
        (vec![whole().fault(Fault::NoLength)], 1),
        (vec![Answer::status(503), whole()], 2),
    ];
    for (answers, requests) in table {
        let faults = format!("{:?}", answers.iter().map(|a| format!("{a:?}").split("fault").last().unwrap().to_owned()).collect::<Vec<_>>());
        liar.answers("/b", answers).take_requests();
        let more = if faults.contains("Stall") { IMPATIENT } else { "" };
        let (_, all) = download(&liar, &TestClock::new(), more, 0, None, None).unwrap_or_else(|e| panic!("{faults}: {e}"));
        assert!(all == bytes, "{faults}");
        let asked = liar.take_requests();
        assert_eq!(asked.len(), requests, "{faults} {asked:?}");
        assert!(asked.iter().all(|r| r.header("range").is_none() || r.header("if-range").is_some_and(|v| v.starts_with('"'))));
    }
}

#[test]
fn many_breaks_with_progress_are_survived_and_five_without_end_it() {
    let bytes = noise(400_000);
    let liar = Liar::start();
    liar.answer("/b", Answer::file(bytes.clone()).fault(Fault::Cut(30_000)));
    assert!(fetch(&liar).unwrap() == bytes);
    assert_eq!(liar.take_requests().len(), 14);
    liar.answers("/b", [Answer::file(bytes.clone()).fault(Fault::Cut(30_000)), Answer::file(bytes).fault(Fault::Cut(0))]);
    says(fetch(&liar).unwrap_err(), Code::Source, "the connection broke", "goes on from there");
    assert_eq!(liar.take_requests().len(), 6);
}

#[test]
fn a_download_is_resumed_across_runs_if_the_file_is_the_same() {
    let bytes = noise(100_000);
    let liar = Liar::start();
    liar.file("/b", bytes.clone());
    let settings = settings(&format!("url = \"{}/\"", liar.url), "");
    let clock = TestClock::new();
    let source = network(&settings, &clock).unwrap();
    let at = BundleRef { at: format!("{}/b", liar.url), size: None };
    let body = source.open(&at, Span::ALL).unwrap();
    assert_eq!((body.start, body.total), (0, Some(100_000)));
    let validator = body.validator.clone().unwrap();
    drop(body);

    let (start, rest) = download(&liar, &clock, "", 60_000, Some(&validator), Some(100_000)).unwrap();
    assert!(start == 60_000 && rest == bytes[60_000..]);
    let (start, rest) = download(&liar, &clock, "", 100_000, Some(&validator), Some(100_000)).unwrap();
    assert_eq!((start, rest.len()), (100_000, 0));
    // a longer piece than the file has; a range that is wrong; another file; a server that knows no ranges: from the start
    for (from, fault, old) in [(200_000, Fault::None, &*validator), (60_000, Fault::NoRanges, &*validator), (60_000, Fault::None, "\"other\"")] {
        liar.answer("/b", Answer::file(bytes.clone()).fault(fault));
        let (start, all) = download(&liar, &clock, "", from, Some(old), Some(100_000)).unwrap();
        assert!(start == 0 && all == bytes, "{from} {fault:?}");
    }
    liar.answers("/b", [Answer::file(bytes.clone()).fault(Fault::WrongRange), Answer::file(bytes.clone())]);
    let (start, all) = download(&liar, &clock, "", 60_000, Some(&validator), None).unwrap();
    assert!(start == 0 && all == bytes);
}

#[test]
fn a_file_that_changes_or_has_another_size_is_not_patched_together() {
    let bytes = noise(100_000);
    let liar = Liar::start();
    liar.answers("/b", [Answer::file(bytes.clone()).fault(Fault::Cut(50_000)), Answer::file(noise(100_001))]);
    says(fetch(&liar).unwrap_err(), Code::Source, "changed on the server", "");
    let sized = |answer: Answer| {
        liar.answer("/b", answer);
        download(&liar, &TestClock::new(), "", 0, None, Some(100_000)).unwrap_err()
    };
    for by in [-1, 1, -100_000] {
        says(sized(Answer::file(bytes.clone()).fault(Fault::Resized(by))), Code::Source, "the release says 100000", "");
    }
    says(sized(Answer::file(noise(100_500)).fault(Fault::NoLength)), Code::Source, "more came than the 100000", "");
    says(sized(Answer::file(bytes[..99_000].to_vec()).without_etag().fault(Fault::NoLength)), Code::Source, "ended 1000 bytes early", "");
    says(sized(Answer::page()), Code::Source, "a web page came", "");
    says(sized(Answer::file(bytes.clone()).header("Content-Encoding", "gzip")), Code::Source, "compressed for the transport", "");
    says(sized(Answer::status(404)), Code::Source, "nothing at this address", "");
}

#[test]
fn a_trickle_is_ended_after_a_minute() {
    let liar = Liar::start();
    liar.answer("/b", Answer::file(noise(10_000)).fault(Fault::Trickle(Duration::from_millis(20))));
    // a minute is 150 ms long; each of the tries ends like the first
    let clock = TestClock { speed: 400, ..TestClock::new() };
    says(download(&liar, &clock, "", 0, None, None).unwrap_err(), Code::Source, "the line gave less than 1 KiB/s for a minute", "min_speed");
}

#[test]
fn the_rate_is_kept() {
    let liar = Liar::start();
    liar.file("/b", noise(500_000));
    let clock = TestClock::new();
    download(&liar, &clock, "limit_rate = \"100kB/s\"", 0, None, None).unwrap();
    let took = clock.monotonic().as_secs_f64();
    assert!((4.0..7.0).contains(&took), "{took}");
}

// ---- static servers

#[test]
fn a_static_server_is_asked_cheaply_and_its_late_signature_is_seen() {
    let liar = Liar::start();
    liar.file("/kit/manifest.json", manifest("1.4.0")).file("/kit/pikit-1.4.0.tar.gz", "bundle");
    let settings = url(&liar);
    let clock = TestClock::new();
    let source = source::open(&settings, &clock).unwrap();
    let mut memory = Memory::default();
    let mut find = |wanted: &Wanted| find(&settings, source.as_ref(), wanted, &any, &mut memory);
    let first = find(&Wanted::Best).unwrap().unwrap();
    assert_eq!((first.signature, first.manifest_bytes), (None, manifest("1.4.0").into_bytes()));
    assert_eq!(first.bundle.at, format!("{}/kit/pikit-1.4.0.tar.gz", liar.url));
    liar.file("/kit/manifest.json.minisig", "sig");
    assert_eq!(find(&Wanted::Best).unwrap().unwrap().signature.as_deref(), Some(&b"sig"[..]));
    liar.take_requests();
    let again = find(&Wanted::Best).unwrap().unwrap();
    assert_eq!((again.signature.as_deref(), again.manifest_bytes), (Some(&b"sig"[..]), manifest("1.4.0").into_bytes()));
    // one small question when nothing is new
    let asked = liar.requests();
    assert!(asked.len() == 1 && asked[0].path == "/kit/manifest.json.minisig" && asked[0].header("if-none-match").is_some(), "{asked:?}");

    assert!(find(&Wanted::Exact("1.4.0".parse().unwrap())).unwrap().is_some());
    says(find(&Wanted::Exact("1.5.0".parse().unwrap())).unwrap_err(), Code::Source, "has release 1.4.0, not 1.5.0", "leave the version out");
    liar.file("/kit/manifest.json", manifest("1.5.0-beta.1")).file("/kit/manifest.json.minisig", "another");
    assert!(find(&Wanted::Best).unwrap().is_none());
    liar.file("/kit/manifest.json", "{}").file("/kit/manifest.json.minisig", "a third");
    says(find(&Wanted::Best).unwrap_err(), Code::Verification, "manifest is not the JSON", "");
    liar.remove("/kit/manifest.json").file("/kit/manifest.json.minisig", "a fourth");
    says(find(&Wanted::Best).unwrap_err(), Code::Source, "nothing at this address", "updater.toml");
}

// ---- folders, files, pipes

/// A gzip member with one entry, and no end of the archive.
fn member(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(header.as_bytes()).unwrap();
    gz.write_all(bytes).unwrap();
    gz.write_all(&vec![0; bytes.len().next_multiple_of(512) - bytes.len()]).unwrap();
    gz.finish().unwrap()
}

fn bundle(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&tar.into_inner().unwrap()).unwrap();
    gz.finish().unwrap()
}

fn nowhere() -> Settings {
    settings("dir = \"/nowhere\"", "")
}

fn from<'a>(path: &Path, clock: &'a TestClock) -> Box<dyn Source + 'a> {
    source::open_from(path, &nowhere(), Box::new(Here(clock))).unwrap()
}

#[test]
fn a_folder_holds_one_release_or_one_in_each_subfolder() {
    let clock = TestClock::new();
    let folder = Folder::new();
    let find = |wanted: &Wanted| find(&nowhere(), from(&folder.0, &clock).as_ref(), wanted, &any, &mut Memory::default());
    says(find(&Wanted::Best).unwrap_err(), Code::Source, "holds no manifest.json", "side by side");
    let two = [member("a", &noise(1000)), bundle(&[("b", b"b")])].concat();
    let second = member("a", &noise(1000)).len() as u64;
    for version in ["1.9.0", "1.10.0", "2.0.0-beta.1"] {
        folder.file(&format!("{version}/manifest.json"), manifest(version));
        folder.file(&format!("{version}/pikit-{version}.tar.gz"), &two);
    }
    folder.file("1.11.0/manifest.json", manifest("1.11.0"));
    folder.file("broken/manifest.json", "{");
    let offer = find(&Wanted::Best).unwrap().unwrap();
    assert_eq!((offer.manifest.version.to_string().as_str(), offer.bundle.size, offer.notes.len()), ("1.10.0", Some(two.len() as u64), 2));
    assert_eq!(find(&Wanted::Exact("1.9.0".parse().unwrap())).unwrap().unwrap().manifest.version.to_string(), "1.9.0");
    says(find(&Wanted::Exact("5.0.0".parse().unwrap())).unwrap_err(), Code::Source, "has no release 5.0.0", "1.10.0");
    let source = from(&folder.0, &clock);
    let all = unpack(source.as_ref(), &offer.bundle, 0, None).unwrap();
    let names = |all: &All| all.files.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>();
    assert_eq!((names(&all), &all.files[0].1), (vec!["a".to_owned(), "b".to_owned()], &noise(1000)));
    let start = all.start.unwrap();
    assert_eq!((start.start, start.total), (0, Some(two.len() as u64)));
    let rest = unpack(source.as_ref(), &offer.bundle, second, start.validator.as_deref()).unwrap();
    assert_eq!((names(&rest), rest.start.unwrap().start), (vec!["b".to_owned()], second));
    let other = unpack(source.as_ref(), &offer.bundle, second, Some("other")).unwrap();
    assert_eq!((other.files.len(), other.start.unwrap().start), (2, 0));
    folder.file("manifest.json", manifest("3.0.0"));
    folder.file("only.tar.gz", "x");
    assert!(find(&Wanted::Best).unwrap().unwrap().bundle.at.ends_with("only.tar.gz"));
    let gone = best(&settings("dir = \"/nowhere/at/all\"", ""));
    says(gone.unwrap_err(), Code::Source, "/nowhere/at/all", "stick");
}

#[test]
fn a_bundle_file_carries_its_manifest_anywhere_inside() {
    let clock = TestClock::new();
    let folder = Folder::new();
    let text = manifest("1.4.0");
    let noise = noise(200_000);
    let orders: [&[(&str, &[u8])]; 3] = [
        &[("manifest.json", text.as_bytes()), ("manifest.json.minisig", b"sig"), ("a/b", &noise)],
        &[("./a/b", &noise), ("./manifest.json.minisig", b"sig"), ("./manifest.json", text.as_bytes())],
        &[("manifest.json", text.as_bytes()), ("a/b", &noise), ("manifest.json.minisig", b"sig")],
    ];
    for entries in orders {
        let path = folder.file("b.tar.gz", bundle(entries));
        let source = from(&path, &clock);
        let offer = find(&nowhere(), source.as_ref(), &Wanted::Best, &any, &mut Memory::default()).unwrap().unwrap();
        assert_eq!((offer.manifest_bytes, offer.signature.as_deref()), (text.clone().into_bytes(), Some(&b"sig"[..])));
        let all = unpack(source.as_ref(), &offer.bundle, 0, None).unwrap();
        let packed: Vec<(String, Vec<u8>)> = entries.iter().map(|(n, c)| (n.trim_start_matches("./").to_owned(), c.to_vec())).collect();
        assert!(all.files == packed);
    }
    let table: [(Vec<u8>, &str); 4] = [
        (bundle(&[("a", b"x")]), "has no manifest.json"),
        (b"PK\x03\x04 a zip".to_vec(), "not a bundle"),
        (bundle(&[("a", &noise), ("manifest.json", b"{}")])[..100_000].to_vec(), "not a bundle"),
        (bundle(&[("manifest.json", b"{}")]), "manifest is not the JSON"),
    ];
    for (bytes, what) in table {
        let path = folder.file("bad.tar.gz", bytes);
        let found = find(&nowhere(), from(&path, &clock).as_ref(), &Wanted::Best, &any, &mut Memory::default());
        says(found.unwrap_err(), Code::Verification, what, "");
    }
    let gone = source::open_from(Path::new("/media/stick/x.tar.gz"), &settings("dir = \"/x\"", ""), Box::new(Here(&clock)));
    says(gone.err().unwrap(), Code::Source, "/media/stick/x.tar.gz", "stick");
}

#[test]
fn a_piped_bundle_is_read_once_and_replayed_whole() {
    let clock = TestClock::new();
    let text = manifest("1.4.0");
    let noise = noise(500_000);
    let piped = bundle(&[("manifest.json", text.as_bytes()), ("manifest.json.minisig", b"sig"), ("a/b", &noise)]);
    let source = source::open_stream(Input::Stream(Box::new(std::io::Cursor::new(piped))), Box::new(Here(&clock)));
    let find = |source: &dyn Source| find(&nowhere(), source, &Wanted::Best, &any, &mut Memory::default());
    assert_eq!(find(source.as_ref()).unwrap().unwrap().signature.as_deref(), Some(&b"sig"[..]));
    let offer = find(source.as_ref()).unwrap().unwrap();
    let all = unpack(source.as_ref(), &offer.bundle, 0, None).unwrap();
    let whole = [("manifest.json", text.as_bytes()), ("manifest.json.minisig", b"sig"), ("a/b", &noise)];
    assert!(all.files.iter().map(|(n, c)| (n.as_str(), c.as_slice())).eq(whole));
    says(unpack(source.as_ref(), &offer.bundle, 0, None).err().unwrap(), Code::Source, "cannot be read twice", "--from FILE");

    let late = bundle(&[("a/b", &noise), ("manifest.json", text.as_bytes())]);
    let source = source::open_stream(Input::Stream(Box::new(std::io::Cursor::new(late))), Box::new(Here(&clock)));
    says(find(source.as_ref()).unwrap_err(), Code::Verification, "does not begin with its manifest.json", "pack");
}

#[test]
fn a_silent_pipe_can_be_left() {
    struct Silent;
    impl Read for Silent {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            std::thread::park();
            Ok(0)
        }
    }
    let clock = TestClock::stopping_after(150);
    let source = source::open_stream(Input::Stream(Box::new(Silent)), Box::new(Here(&clock)));
    let found = find(&nowhere(), source.as_ref(), &Wanted::Best, &any, &mut Memory::default());
    says(found.unwrap_err(), Code::Cancelled, "stopped", "");
    // it would be silent for ever
    assert!(clock.start.elapsed() < Duration::from_secs(20));
}

// ---- TLS

#[test]
fn an_own_authority_is_believed_and_other_certificates_fail_each_in_its_own_words() {
    let (ours, folder) = (Authority::new(), Folder::new());
    let ca = folder.file("ca.pem", &ours.pem);
    let with_ca = |liar: &Liar| gitea_with(liar, &format!("ca_file = \"{}\"", ca.display()), "");
    let good = ours.server("localhost", (2020, 2090));
    good.releases([complete("v1.0.0")]);
    assert_eq!(best_version(&with_ca(&good)), "1.0.0");
    fails(&gitea(&good), "no known authority", "ca_file");
    fails(&with_ca(&ours.server("other.example.org", (2020, 2090))), "the certificate is not for localhost", "name");
    fails(&with_ca(&ours.server("localhost", (2080, 2090))), "not valid yet; this board's clock says 2026-11-21", "set the clock");
    fails(&with_ca(&ours.server("localhost", (2001, 2002))), "certificate has expired", "renew");
    let plain = Liar::start();
    let no_tls = settings(&format!("url = \"{}/\"", plain.url.replace("http:", "https:")), "");
    fails(&no_tls, "does not speak TLS", "http");

    // from a trusted line into the open: never, not even to this machine
    good.answer("/api/v1/repos/owner/pi-kit/releases", Answer::redirect(format!("{}/x", plain.url)));
    fails(&with_ca(&good), "from https to plain http", "");
    assert!(plain.requests().is_empty());
    let none = folder.file("empty.pem", "nothing");
    let error = best(&gitea_with(&good, &format!("ca_file = \"{}\"", none.display()), "")).unwrap_err();
    says(error, Code::Usage, "holds no certificate", "BEGIN CERTIFICATE");
}
