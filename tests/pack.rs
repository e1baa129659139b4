//! Packing: what comes out is what the contract says, the same everywhere, and readable by everybody's tar.
#![allow(clippy::unwrap_used)] // helpers of tests are no production

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use flate2::read::{GzDecoder, MultiGzDecoder};
use pikit_updater::publish::{Before, Overrides, Packed, bundle, pack};
use pikit_updater::release::{Digest, Manifest};
use pikit_updater::{Code, Error};
use support::noise::noise;

const RECIPE: &str = r#"
product = "pikit"
version = "1.4.0"
released = "2026-11-20T10:00:00Z"
expires = "90d"
notes = "CHANGELOG.md"
changelog = "https://example.org/changelog#{version}"
exclude = ["*.map", "node_modules"]
config = ["web/config.json"]
[[include]]
from = "site"
to = "web/"
[[include]]
from = "tool.sh"
to = "bin/"
[modes]
"web/secret.json" = "0600"
[services]
restart = ["pikit-api"]
reload = ["nginx.service"]
[requires]
updater = ">=0.2.0"
[bundle]
block = "4KiB"
"#;

/// A folder of its own for a test, removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("pikit-pack-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }
    fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }
    fn pack(&self) -> Result<Packed, Error> {
        pack(&self.0.join("release.toml"), &Overrides::default(), &Before::default(), Some(&self.0.join("out")))
    }
    fn refusal(&self) -> Error {
        let error = self.pack().unwrap_err();
        assert!(!self.0.join("out").exists(), "a refused pack leaves no release");
        let hidden = fs::read_dir(&self.0).unwrap().filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains("packing"));
        assert_eq!(hidden.count(), 0, "a refused pack leaves nothing at all");
        error
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn deep() -> String {
    format!("{}/deep.txt", "a-rather-long-folder-name/".repeat(11).trim_end_matches('/'))
}

fn sample(name: &str) -> Dir {
    let dir = Dir::new(name);
    dir.write("release.toml", RECIPE);
    dir.write("CHANGELOG.md", "# Changes\n## 1.4.0\nBetter.\n## 1.3.0\nGood.\n");
    for (path, content) in [("index.html", "<h1>Pi-Kit</h1>"), ("config.json", "{}"), ("secret.json", "{}"), ("ü/ß.txt", "umlauts"), ("empty", "")] {
        dir.write(&format!("site/{path}"), content);
    }
    dir.write(&format!("site/{}", deep()), "a name that ustar has no room for");
    dir.write("site/app.js.map", "left out");
    dir.write("site/node_modules/x/index.js", "left out");
    dir.write("site/big.bin", noise(300_000, 0));
    let tool = dir.write("tool.sh", "#!/bin/sh\n");
    fs::set_permissions(tool, fs::Permissions::from_mode(0o700)).unwrap();
    dir
}

fn assets(dir: &Dir) -> (Vec<u8>, Vec<u8>) {
    (fs::read(dir.0.join("out/manifest.json")).unwrap(), fs::read(dir.0.join("out/pikit-1.4.0.tar.gz")).unwrap())
}

/// Path → (content, mode, mtime, owner) of all entries, by the plain road: gunzip and untar from start to end.
fn untar(bundle: &[u8]) -> BTreeMap<String, (Vec<u8>, u32, u64, u64)> {
    let mut archive = tar::Archive::new(MultiGzDecoder::new(bundle));
    let read = |e: std::io::Result<tar::Entry<_>>| {
        let mut e: tar::Entry<MultiGzDecoder<&[u8]>> = e.unwrap();
        let mut content = Vec::new();
        e.read_to_end(&mut content).unwrap();
        let h = e.header();
        assert_eq!((h.username().unwrap().unwrap_or(""), h.groupname().unwrap().unwrap_or("")), ("", ""));
        (e.path().unwrap().to_str().unwrap().to_owned(), (content, h.mode().unwrap(), h.mtime().unwrap(), h.uid().unwrap() + h.gid().unwrap()))
    };
    archive.entries().unwrap().map(read).collect()
}

#[test]
fn the_bundle_holds_the_manifest_first_and_then_every_file_as_it_is_listed() {
    let dir = sample("whole");
    let packed = dir.pack().unwrap();
    let (manifest_bytes, bundle) = assets(&dir);
    let manifest = Manifest::parse(&manifest_bytes).unwrap();
    let entries = untar(&bundle);

    assert_eq!(entries["manifest.json"].0, manifest_bytes);
    assert_eq!(entries.len(), manifest.files.len() + 1);
    for file in &manifest.files {
        let (content, mode, mtime, owner) = &entries[file.path.as_str()];
        assert_eq!((Digest::of(content), content.len() as u64), (file.sha256, file.size.unwrap()), "{}", file.path);
        assert_eq!((*mode, *mtime, *owner), (file.mode.unwrap().bits(), 946_684_800, 0), "{}", file.path);
    }
    let modes: BTreeMap<&str, u32> = manifest.files.iter().map(|f| (f.path.as_str(), f.mode.unwrap().bits())).collect();
    assert_eq!((modes["bin/tool.sh"], modes["web/index.html"], modes["web/secret.json"]), (0o755, 0o644, 0o600));
    let config: Vec<&str> = manifest.files.iter().filter(|f| f.config).map(|f| f.path.as_str()).collect();
    assert_eq!(config, ["web/config.json"]);
    assert!(!modes.keys().any(|p| p.contains(".map") || p.contains("node_modules")));
    assert!(manifest.files.is_sorted_by(|a, b| a.path < b.path));

    assert_eq!(manifest.notes.as_deref(), Some("Better."));
    assert_eq!(manifest.changelog.as_deref(), Some("https://example.org/changelog#1.4.0"));
    assert_eq!(manifest.channel.as_deref(), Some("stable"));
    assert_eq!(manifest.expires.unwrap().to_rfc3339(), "2027-02-18T10:00:00+00:00");
    assert_eq!(serde_json::to_string(&manifest.post_install).unwrap(), r#"[{"restart":"pikit-api.service"},{"reload":"nginx.service"}]"#);
    assert_eq!((packed.files, packed.assets.len(), packed.assets[1].size), (9 - 1, 2, bundle.len() as u64));
    assert_eq!(packed.assets[1].sha256, Digest::of(&bundle));
}

#[test]
fn every_file_can_be_had_from_its_block_alone() {
    let dir = sample("blocks");
    dir.pack().unwrap();
    let (manifest_bytes, bundle) = assets(&dir);
    let manifest = Manifest::parse(&manifest_bytes).unwrap();
    let info = manifest.bundle.as_ref().unwrap();
    let start = bundle.len() as u64 - info.payload_size;
    let mut plain = Vec::new();
    let mut at = 0;
    for block in &info.blocks {
        assert_eq!(block.offset, at, "blocks follow each other without a gap");
        at += block.length;
        let compressed = &bundle[(start + block.offset) as usize..][..block.length as usize];
        assert_eq!(Digest::of(compressed), block.sha256);
        assert_eq!((&compressed[4..8], compressed[9]), (&[0; 4][..], 255), "no time and no machine in a gzip header");
        let mut block = Vec::new();
        GzDecoder::new(compressed).read_to_end(&mut block).unwrap();
        assert_eq!(block.len() % 512, 0, "whole tar entries");
        plain.push(block);
    }
    assert_eq!(at, info.payload_size);
    for file in &manifest.files {
        let content = &plain[file.block.unwrap() as usize][file.offset.unwrap() as usize..][..file.size.unwrap() as usize];
        assert_eq!(Digest::of(content), file.sha256, "{}", file.path);
    }
    let big = manifest.files.iter().find(|f| f.path.as_str() == "web/big.bin").unwrap();
    assert_eq!(manifest.files.iter().filter(|f| f.block == big.block).count(), 1, "a large file has a block of its own");
    assert!(plain.len() < manifest.files.len(), "small files share blocks");
    assert!(plain.last().unwrap().ends_with(&[0; 1024]));
    let mut head = Vec::new();
    MultiGzDecoder::new(&bundle[..start as usize]).read_to_end(&mut head).unwrap();
    assert_eq!(head.len(), 512 + manifest_bytes.len().next_multiple_of(512), "the first member is the manifest's entry and nothing else");
}

#[test]
fn gnu_tar_opens_it_without_a_complaint() {
    let dir = sample("gnu");
    dir.pack().unwrap();
    let to = dir.0.join("opened");
    fs::create_dir(&to).unwrap();
    let ran = Command::new("tar").arg("xzf").arg(dir.0.join("out/pikit-1.4.0.tar.gz")).arg("-C").arg(&to).output();
    let Ok(ran) = ran else { return eprintln!("there is no tar here") };
    assert!(ran.status.success() && ran.stderr.is_empty(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(fs::read(to.join("manifest.json")).unwrap(), assets(&dir).0);
    assert_eq!(fs::read(to.join("web/big.bin")).unwrap(), noise(300_000, 0));
    assert_eq!(fs::read_to_string(to.join("web").join(deep())).unwrap(), "a name that ustar has no room for");
    assert_eq!(fs::read_to_string(to.join("web/ü/ß.txt")).unwrap(), "umlauts");
    assert_eq!(fs::metadata(to.join("bin/tool.sh")).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::metadata(to.join("web/index.html")).unwrap().modified().unwrap(), SystemTime::UNIX_EPOCH + Duration::from_secs(946_684_800));
}

#[test]
fn the_same_files_give_the_same_bytes_whoever_checked_them_out_and_when() {
    let one = sample("same-one");
    one.pack().unwrap();
    let two = Dir::new("same-two");
    // the other way round, with another umask's modes and other times
    let mut paths = Vec::new();
    fn all(dir: &Path, paths: &mut Vec<PathBuf>) {
        for e in fs::read_dir(dir).unwrap() {
            let path = e.unwrap().path();
            if path.is_dir() { all(&path, paths) } else { paths.push(path) }
        }
    }
    all(&one.0, &mut paths);
    paths.retain(|p| !p.starts_with(one.0.join("out")));
    paths.sort();
    for path in paths.iter().rev() {
        let copy = two.write(path.strip_prefix(&one.0).unwrap().to_str().unwrap(), fs::read(path).unwrap());
        let executable = fs::metadata(path).unwrap().permissions().mode() & 0o100 != 0;
        fs::set_permissions(&copy, fs::Permissions::from_mode(if executable { 0o775 } else { 0o660 })).unwrap();
        fs::File::options().write(true).open(&copy).unwrap().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    }
    two.pack().unwrap();
    assert!(assets(&one) == assets(&two));
    let before = assets(&one);
    one.pack().unwrap();
    assert!(before == assets(&one), "packing again replaces the release by the same one");
}

/// Other programs open it as well: each that is here writes the same files.
#[test]
fn every_other_tar_opens_it_too() {
    let dir = sample("openers");
    dir.pack().unwrap();
    let bundle = dir.0.join("out/pikit-1.4.0.tar.gz");
    let python = "import sys,tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter='data')";
    let mut opened = 0;
    for (program, words) in
        [("bsdtar", &["xzf", "BUNDLE", "-C", "TO"][..]), ("busybox", &["tar", "xzf", "BUNDLE", "-C", "TO"]), ("python3", &["-c", python, "BUNDLE", "TO"])]
    {
        let to = dir.0.join(program);
        fs::create_dir(&to).unwrap();
        let word = |w: &&str| match *w {
            "BUNDLE" => bundle.display().to_string(),
            "TO" => to.display().to_string(),
            other => other.to_owned(),
        };
        let Ok(ran) = Command::new(program).args(words.iter().map(word)).output() else { continue };
        assert!(ran.status.success(), "{program}: {}", String::from_utf8_lossy(&ran.stderr));
        assert_eq!(fs::read(to.join("manifest.json")).unwrap(), assets(&dir).0, "{program}");
        assert_eq!(fs::read(to.join("web/big.bin")).unwrap(), noise(300_000, 0), "{program}");
        assert_eq!(fs::read_to_string(to.join("web").join(deep())).unwrap(), "a name that ustar has no room for", "{program}");
        opened += 1;
    }
    assert!(opened > 0 || std::env::var_os("CI").is_none_or(|v| v != "true"), "none of bsdtar, busybox and python3 is installed");
}

#[test]
fn the_bytes_are_those_of_every_other_machine() {
    // frozen: a change here means that nobody can check an earlier release by packing it again
    let dir = Dir::new("frozen");
    dir.write("release.toml", "product = \"p\"\nversion = \"1.0.0\"\nreleased = \"2026-01-01\"\n[[include]]\nfrom = \"a\"\nto = \"\"\n");
    dir.write("a/one.txt", "one ".repeat(5000));
    dir.write("a/two.bin", noise(300_000, 0));
    let packed = dir.pack().unwrap();
    let digests: Vec<String> = packed.assets.iter().map(|a| a.sha256.to_string()).collect();
    assert_eq!(
        digests,
        ["a494acf058524fff6a467b21262605458a5464ea87603a0fc6eca0169e3d5b6d", "faf7e4c041bc591a884647e43952d435d9f3c988227e3c6c5da26378a2b9bef1"]
    );
}

#[test]
fn another_head_leaves_the_payload_as_it_is() {
    let dir = sample("head");
    dir.pack().unwrap();
    let (manifest, before) = assets(&dir);
    let path = dir.0.join("out/pikit-1.4.0.tar.gz");
    bundle::replace_head(&path, &manifest, Some(b"untrusted comment: x\n")).unwrap();
    let after = fs::read(&path).unwrap();
    let payload = Manifest::parse(&manifest).unwrap().bundle.unwrap().payload_size;
    let tail = |bytes: &[u8]| bytes[bytes.len() - payload as usize..].to_vec();
    assert!(tail(&before) == tail(&after));
    assert_eq!(untar(&after)["manifest.json.minisig"].0, b"untrusted comment: x\n");
    let names: Vec<_> = fs::read_dir(dir.0.join("out")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn what_no_device_would_take_is_refused_and_named() {
    type Spoil = fn(&Dir);
    let table: [(&str, Spoil, Code, &str); 9] = [
        ("link", |d| symlink("index.html", d.0.join("site/link")).unwrap(), Code::Refused, "site/link is a symbolic link"),
        ("dirlink", |d| symlink("/etc", d.0.join("site/etc")).unwrap(), Code::Refused, "site/etc is a symbolic link"),
        ("pipe", |d| assert!(Command::new("mkfifo").arg(d.0.join("site/pipe")).status().unwrap().success()), Code::Refused, "site/pipe is neither a file"),
        ("setuid", |d| fs::set_permissions(d.0.join("tool.sh"), fs::Permissions::from_mode(0o4755)).unwrap(), Code::Refused, "tool.sh is setuid"),
        (
            "name",
            |d| {
                use std::os::unix::ffi::OsStrExt;
                fs::write(d.0.join("site").join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "x").unwrap();
            },
            Code::Refused,
            "is not UTF-8",
        ),
        ("control", |d| drop(d.write("site/a\nb", "x")), Code::Refused, "control character"),
        ("case", |d| drop(d.write("site/INDEX.html", "x")), Code::Refused, "differ by case alone"),
        ("manifest", |d| drop(d.write("release.toml", RECIPE.replace("to = \"bin/\"", "to = \"manifest.json\""))), Code::Refused, "never installed"),
        ("twice", |d| drop(d.write("release.toml", RECIPE.replace("to = \"bin/\"", "to = \"web/empty\""))), Code::Usage, "web/empty would be"),
    ];
    for (name, spoil, code, words) in table {
        let dir = sample(name);
        spoil(&dir);
        let error = dir.refusal();
        assert!(error.code == code && error.message().contains(words), "{name}: {:?} {}", error.code, error.message());
    }
}

#[test]
fn a_mistake_in_the_recipe_is_named() {
    let table = [
        ("product =", "produkt =", "unknown key `produkt`; did you mean `product`?"),
        ("restart =", "restert =", "unknown key `restert`; did you mean `restart`?"),
        ("version = \"1.4.0\"", "version = \"one\"", "version: \"one\" is not a version"),
        ("version = \"1.4.0\"", "", "there is no version"),
        ("version = \"1.4.0\"", "version = \"1.5.0\"", "has no section for 1.5.0"),
        ("version = \"1.4.0\"", "version = \"1.4.0-beta.1\"\nchannel = \"stable\"", "prerelease"),
        ("released = \"2026-11-20T10:00:00Z\"", "", "when 1.4.0 is released is not known"),
        ("\"90d\"", "\"soon\"", "neither a duration"),
        ("\"90d\"", "\"2026-01-01\"", "would have expired"),
        ("web/config.json\"]", "web/conf.json\"]", "config: no file of the release matches `web/conf.json`"),
        ("\"0600\"", "\"0666\"", "more than the owner write"),
        ("\"0600\"", "\"4755\"", "setuid"),
        ("\"pikit-api\"", "\"-rf\"", "services.restart"),
        ("to = \"web/\"", "to = \"web\"", "write \"web/\""),
        ("to = \"web/\"", "to = \"../web/\"", "include.to"),
        ("from = \"site\"", "from = \"sight\"", "sight: No such file"),
        ("from = \"site\"", "from = \".\"", "which the release includes"),
        ("expires", "post_install = [\"bin/none\"]\nexpires", "does not begin with a file of the release"),
        ("\"4KiB\"", "\"lots\"", "bundle.block"),
        ("[bundle]", "[rollout]\nwaves = []\n[bundle]", "0 waves"),
        ("[bundle]", "[rollout]\nwaves = [{ after = \"soon\", percent = 100 }]\n[bundle]", "not a duration"),
        ("[bundle]", "[rollout]\nwaves = [{ after = \"0h\", percent = 20 }, { after = \"0h\", percent = 100 }]\n[bundle]", "later and larger"),
        ("[bundle]", "[rollout]\nwaves = [{ after = \"0h\", percent = 20 }]\n[bundle]", "the last of 100 percent"),
        ("[bundle]", "[rollout]\nstart = \"monday\"\nwaves = [{ after = \"0h\", percent = 100 }]\n[bundle]", "rollout.start"),
    ];
    for (from, to, words) in table {
        let dir = sample("recipe");
        assert!(RECIPE.contains(from), "{from}");
        dir.write("release.toml", RECIPE.replace(from, to));
        let error = dir.refusal();
        assert!(error.message().contains(words), "{to}: {}", error.message());
    }
}

#[test]
fn waves_stand_in_the_manifest() {
    let dir = sample("waves");
    let waves = "[rollout]\nstart = \"2026-11-21\"\nwaves = [{ after = \"0h\", percent = 5 }, { after = \"2d\", percent = 100 }]\n";
    dir.write("release.toml", RECIPE.replace("[bundle]", &format!("{waves}[bundle]")));
    dir.pack().unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(dir.0.join("out/manifest.json")).unwrap()).unwrap();
    let expected = serde_json::json!({"start": "2026-11-21T00:00:00Z", "waves": [{"after": "0h", "percent": 5}, {"after": "48h", "percent": 100}]});
    assert_eq!(manifest["rollout"], expected);
}

#[test]
fn the_command_line_goes_before_the_recipe_and_the_recipe_before_the_environment() {
    let dir = sample("overrides");
    dir.write("CHANGELOG.md", "## 2.0.0-rc.1 (2026-03-04)\nSoon.\n## 1.4.0\n");
    dir.write("release.toml", RECIPE.replace("released = \"2026-11-20T10:00:00Z\"", "").replace("expires = \"90d\"", ""));
    let epoch = chrono::DateTime::from_timestamp(1_000_000_000, 0);
    let packed = |overrides: &Overrides| {
        let packed = pack(&dir.0.join("release.toml"), overrides, &Before::default(), Some(&dir.0.join("out"))).unwrap();
        let manifest = Manifest::parse(&fs::read(packed.dir.join("manifest.json")).unwrap()).unwrap();
        let _ = fs::remove_dir_all(dir.0.join("out"));
        (manifest.version.to_string(), manifest.channel.unwrap(), manifest.released.unwrap().to_rfc3339())
    };
    let rc = semver::Version::parse("2.0.0-rc.1").ok();
    let of = |version: &str, channel: &str, released: &str| (version.to_owned(), channel.to_owned(), released.to_owned());
    let from_heading = packed(&Overrides { version: rc.clone(), ..Overrides::default() });
    assert_eq!(from_heading, of("2.0.0-rc.1", "rc", "2026-03-04T00:00:00+00:00"));
    let from_environment = packed(&Overrides { source_date: epoch, ..Overrides::default() });
    assert_eq!(from_environment, of("1.4.0", "stable", "2001-09-09T01:46:40+00:00"));
    let told = Overrides { released: chrono::DateTime::from_timestamp(0, 0), channel: Some("beta".into()), source_date: epoch, ..Overrides::default() };
    assert_eq!(packed(&told), of("1.4.0", "beta", "1970-01-01T00:00:00+00:00"));
}

#[test]
fn a_folder_that_holds_something_else_is_left_alone() {
    let dir = sample("foreign");
    dir.write("out/thesis.odt", "years of work");
    let error = dir.pack().unwrap_err();
    assert_eq!(error.code, Code::Refused);
    assert!(error.message().contains("thesis.odt"), "{error}");
    assert_eq!(fs::read_to_string(dir.0.join("out/thesis.odt")).unwrap(), "years of work");
}

#[test]
fn a_broken_pack_leaves_the_earlier_release_whole() {
    let dir = sample("earlier");
    dir.pack().unwrap();
    let before = assets(&dir);
    symlink("x", dir.0.join("site/link")).unwrap();
    dir.pack().unwrap_err();
    assert!(before == assets(&dir));
}

#[test]
fn a_file_larger_than_any_buffer_comes_through() {
    let dir = sample("large");
    let mut file = fs::File::create(dir.0.join("site/big.bin")).unwrap();
    file.seek(SeekFrom::Start(40 << 20)).unwrap();
    std::io::Write::write_all(&mut file, b"end").unwrap();
    dir.pack().unwrap();
    let (_, bundle) = assets(&dir);
    let entries = untar(&bundle);
    assert_eq!(entries["web/big.bin"].0.len(), (40 << 20) + 3);
    assert!(bundle.len() < 200_000);
}
