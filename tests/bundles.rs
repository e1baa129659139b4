//! Hostile bundles against the real program, as root: refused, nothing outside touched, no panic, time and memory bounded. And what the
//! usual tools write of ordinary files is taken.
//!
//! `PIKIT_BUNDLES=1000` asks for more than the usual 300; `PIKIT_BUNDLES_FROM` for other seeds.

#![allow(clippy::unwrap_used, clippy::panic)] // allowed in tests, and the helpers here are outside of any

#[path = "bundles/generator.rs"]
mod generator;
#[path = "bundles/jail.rs"]
mod jail;
mod support;
#[path = "bundles/tricks.rs"]
mod tricks;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use generator::{Dice, Hostile, Listed, Release};
use jail::Jail;
use support::pulse::Pulse;
use support::{mounts, tree};
use tricks::Verdict;

const SECONDS_MAX: Duration = Duration::from_secs(5);
const MEGABYTES_MAX: f64 = 64.0;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |v| v.parse().unwrap_or_else(|e| panic!("{name}: {e}")))
}

/// Offers a release, in a folder or as a single file.
fn offer(jail: &Jail, release: &Release) {
    let _ = fs::remove_dir_all(jail.path("in"));
    fs::create_dir_all(jail.path("in")).unwrap();
    fs::write(jail.path("in/manifest.json"), &release.manifest).unwrap();
    fs::write(jail.path("in/pikit-1.1.0.tar.gz"), release.bundle()).unwrap();
}

/// The managed paths as these files make them.
fn wanted(listed: &[Listed]) -> BTreeMap<String, (u32, Vec<u8>)> {
    let place = |path: &str| path.strip_prefix("web/").map_or("usr/bin/api.py".to_owned(), |inside| format!("srv/web/{inside}"));
    listed.iter().map(|f| (place(&f.path), (f.mode, f.content.clone()))).collect()
}

fn live(jail: &Jail) -> tree::Tree {
    let mut all = tree::read(&jail.root, "srv");
    all.extend(tree::read(&jail.root, "usr/bin"));
    all
}

fn files(tree: &tree::Tree) -> BTreeMap<String, (u32, Vec<u8>)> {
    assert!(tree.values().all(|n| matches!(n.kind, 'd' | 'f')), "something that is neither file nor folder");
    tree.iter().filter(|(_, n)| n.kind == 'f').map(|(p, n)| (p.clone(), (n.mode, n.content.clone()))).collect()
}

#[derive(Default)]
struct Tally {
    refused: u32,
    installed: u32,
    codes: BTreeMap<i32, u32>,
    slowest: (Duration, Vec<&'static str>),
    megabytes: (f64, Vec<&'static str>),
}

#[test]
fn a_hostile_bundle_is_refused_and_touches_nothing() {
    or_skip!();
    if !mounts::of_my_own("a_hostile_bundle_is_refused_and_touches_nothing") {
        return;
    }
    let jail = Jail::new("bundles");
    let mut first = Release::good(&mut Dice::new(u64::MAX));
    first.manifest = first.manifest.replace("1.1.0", "1.0.0");
    first.manifest_entries[0].content = first.manifest.clone().into_bytes();
    offer(&jail, &first);
    fs::rename(jail.path("in/pikit-1.1.0.tar.gz"), jail.path("in/pikit-1.0.0.tar.gz")).unwrap();
    jail.ok(&["apply", "-y"]);
    let (before, outside) = (live(&jail), jail.outside());
    assert!(outside.len() > 20 && outside.contains_key("canary/dir/sub/file"));
    let (count, from) = (number("PIKIT_BUNDLES", 300), number("PIKIT_BUNDLES_FROM", 0));
    assert!(from > 0 || count as usize > tricks::all().len(), "every trick alone at least");
    let (pulse, mut tally) = (Pulse::start(), Tally::default());
    for seed in from..from + count {
        one(&jail, seed, &before, &pulse, &mut tally);
        let now = jail.outside();
        let differs = now.keys().chain(outside.keys()).find(|p| now.get(*p) != outside.get(*p));
        assert!(differs.is_none(), "seed {seed}: outside, {differs:?} changed: {:?} instead of {:?}", now.get(differs.unwrap()), outside.get(differs.unwrap()));
    }
    println!(
        "\n{count} bundles of {} tricks: {} refused, {} installed as their manifest says; exit codes {:?}; slowest {:.2} s ({:?}), most memory {:.1} MB ({:?})",
        tricks::all().len(),
        tally.refused,
        tally.installed,
        tally.codes,
        tally.slowest.0.as_secs_f64(),
        tally.slowest.1,
        tally.megabytes.0,
        tally.megabytes.1
    );
}

fn one(jail: &Jail, seed: u64, before: &tree::Tree, pulse: &Pulse, tally: &mut Tally) {
    let Hostile { release, ways, verdict } = generator::hostile(seed);
    let about = format!("seed {seed}, {ways:?}");
    offer(jail, &release);
    // every other one is handed over as a file, which is searched for its manifest
    let words: &[&str] = if seed.is_multiple_of(2) { &["apply", "-y"] } else { &["apply", "-y", "--from", "/in/pikit-1.1.0.tar.gz"] };
    let used = jail.run(words);
    let said = format!("{}\n{}", used.ran.err, used.ran.out);
    assert!(!said.contains("panicked") && used.ran.code < 100, "{about}: exit {}: {said}", used.ran.code);
    *tally.codes.entry(used.ran.code).or_default() += 1;
    if used.wall > tally.slowest.0 {
        tally.slowest = (used.wall, ways.clone());
    }
    if used.megabytes > tally.megabytes.0 {
        tally.megabytes = (used.megabytes, ways.clone());
    }
    assert!(used.wall < pulse.allows(SECONDS_MAX), "{about}: {:?}", used.wall);
    assert!(used.megabytes < MEGABYTES_MAX, "{about}: {} MB", used.megabytes);
    if used.ran.code == 0 && said.contains("offers no release for this device") {
        // of another product or architecture: none for this board, which is no failure of a check
        tally.refused += 1;
    } else if used.ran.code == 0 {
        assert_eq!(verdict, Verdict::MayPass, "{about}: it was installed");
        assert!(files(&live(jail)) == wanted(&release.listed), "{about}: what was installed is not what the manifest lists");
        tally.installed += 1;
        jail.ok(&["rollback", "-y"]);
    } else {
        assert!(matches!(used.ran.code, 4 | 5), "{about}: exit {}: {said}", used.ran.code);
        assert!(said.lines().any(|l| l.len() > 20), "{about}: refused without words: {said}");
        tally.refused += 1;
    }
    assert_eq!(tree::difference(&live(jail), before), "", "{about}: it left something");
    // the next one must find nothing at hand
    let _ = fs::remove_dir_all(jail.path("var/tmp/pikit-update"));
}

#[test]
fn the_same_seed_makes_the_same_bundle() {
    for seed in [3, 500, 501] {
        assert!(generator::hostile(seed).release.bundle() == generator::hostile(seed).release.bundle());
    }
}

/// Reads a bundle as the device does: paths, contents, modes.
fn read(bundle: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut all = BTreeMap::new();
    let read = pikit_updater::release::bundle::read::<std::io::Error>(bundle, 1 << 30, |head, content| {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        all.insert(head.path.to_string(), bytes);
        Ok(())
    });
    read.map(|()| all).map_err(|e| format!("{e:?}"))
}

#[test]
fn what_the_usual_tools_write_is_taken() {
    let work = support::board::home().join(format!("pikit-tools-{}", std::process::id()));
    let long = format!("web/{}/{}.js", "d".repeat(90), "f".repeat(120));
    let mut written = BTreeMap::from([("web/index.html", vec![1; 700]), ("web/empty", Vec::new()), ("api.py", b"api".to_vec())]);
    for (path, content) in written.iter().chain([(&long.as_str(), &b"long".to_vec())]) {
        let at = work.join("tree").join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, content).unwrap();
    }
    let out = work.join("bundle.tar.gz");
    let (tree, out_word) = (work.join("tree").display().to_string(), out.display().to_string());
    let python = format!(
        "import tarfile,os\nos.chdir('{tree}')\nt=tarfile.open('{out_word}','w:gz')\nt.add('web/index.html')\nt.add('web/empty')\nt.add('api.py')\nt.close()"
    );
    // each with the word whether it can write the long name in a way that everybody reads alike
    let ways: [(&str, bool, Vec<&str>); 6] = [
        ("GNU tar's default", true, vec!["tar", "-C", &tree, "-czf", &out_word, "."]),
        ("GNU tar's own format", true, vec!["tar", "--format=gnu", "-C", &tree, "-czf", &out_word, "web", "api.py"]),
        ("ustar", false, vec!["tar", "--format=ustar", "--exclude=d*", "-C", &tree, "-czf", &out_word, "./web", "./api.py"]),
        ("pax with times", false, vec!["tar", "--format=posix", "--exclude=d*", "-C", &tree, "-czf", &out_word, "web", "api.py"]),
        ("Python", false, vec!["python3", "-c", &python]),
        ("busybox", true, vec!["busybox", "tar", "-C", &tree, "-czf", &out_word, "web", "api.py"]),
    ];
    for (name, has_long, words) in ways {
        let Ok(ran) = Command::new(words[0]).args(&words[1..]).output() else {
            println!("skipped: {name}: {} is not installed", words[0]);
            continue;
        };
        assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stderr));
        if has_long {
            written.insert(&long, b"long".to_vec());
        } else {
            written.remove(long.as_str());
        }
        let seen = read(&fs::read(&out).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let seen: BTreeMap<&str, Vec<u8>> = seen.iter().map(|(p, c)| (p.as_str(), c.clone())).collect();
        assert!(seen == written, "{name}: {:?}", seen.keys());
    }
    fs::remove_dir_all(Path::new(&work)).unwrap();
}
