//! Keys, signatures, and looking at a release before anybody gets it: through the real program, and against the real minisign.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are no production

#[path = "sign/desk.rs"]
mod desk;
#[path = "sign/keys.rs"]
mod keys;
#[path = "support/terminal.rs"]
mod terminal;
#[path = "sign/tool.rs"]
mod tool;

use std::fs;

use desk::{Desk, Said, is_here, names, updater};
use pikit_updater::release::Manifest;

fn payload(desk: &Desk) -> Vec<u8> {
    let size = desk.manifest()["bundle"]["payload_size"].as_u64().unwrap() as usize;
    let bundle = desk.bundle();
    bundle[bundle.len() - size..].to_vec()
}

fn levels(said: &Said, name: &str) -> Vec<String> {
    let checks = said.json()["checks"].as_array().unwrap().clone();
    checks.iter().filter(|c| c["name"] == name).map(|c| c["level"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_signed_release_is_what_a_device_would_take() {
    let desk = Desk::new("signed");
    let (manifest, before) = (desk.read("out/manifest.json"), payload(&desk));
    let said = desk.run("sign out --key a.key").well();
    assert!(said.out.contains("pikit 1.4.0 manifest.json 20"), "{said:?}");
    assert_eq!(desk.read("out/manifest.json"), manifest, "the manifest is signed and not changed");
    assert!(payload(&desk) == before, "the payload stays");
    assert_eq!(names(&desk.path("out")), ["manifest.json", "manifest.json.minisig", "pikit-1.4.0.tar.gz"]);
    let said = desk.run("verify-release out --key a.pub").well();
    for line in [
        "ok    manifest  pikit 1.4.0, 3 files",
        "ok    signature",
        "ok    expires",
        "ok    bundle    its head holds what lies beside it",
        "ok    blocks",
        "ok    files",
    ] {
        assert!(said.out.contains(line), "{line}: {}", said.out);
    }
    let said = desk.run("verify-release out/pikit-1.4.0.tar.gz --key a.pub --json").well();
    assert_eq!(said.json()["ok"], true);
    assert_eq!(levels(&said, "bundle"), ["ok"]);
    desk.run("verify-release out/manifest.json --key a.pub").well();
    // the line of the key instead of its file
    let line = desk.text("a.pub").lines().nth(1).unwrap().to_owned();
    desk.run(&format!("verify-release out --key {line}")).well();
}

#[test]
fn without_a_key_nobody_knows_whose_it_is_and_that_is_said() {
    let desk = Desk::new("whose");
    desk.run("verify-release out").refused(4, "it is not signed: anybody may have made this release");
    desk.run("verify-release out --unsigned").well();
    desk.run("verify-release out --key a.pub").refused(4, "it is not signed");
    desk.run("sign out --key a.key").well();
    desk.run("verify-release out").refused(4, "nobody looked whose it is");
    desk.run("verify-release out --key b.pub").refused(4, "no signature by the key");
    desk.run("verify-release out --key a.pub --threshold 2").refused(2, "can never be met");
    desk.run("verify-release out --keys site").refused(2, "there is no key in site");
    let said = desk.run("verify-release out --key a.key").refused(2, "no public key");
    assert!(!said.all().contains(desk.text("a.key").lines().nth(1).unwrap()), "a secret is not repeated");
}

#[test]
fn several_sign_one_after_the_other_and_who_signs_twice_counts_once() {
    let desk = Desk::new("several");
    desk.run("sign out --key a.key").well();
    desk.run("sign out --key a.key").well();
    assert_eq!(desk.text("out/manifest.json.minisig").lines().count(), 4);
    desk.run("verify-release out --keys . --threshold 2").refused(4, "only, and it takes 2 of 2 keys");
    let said = desk.run("sign out --key b.key").well();
    assert!(said.err.contains("kept, and not looked at"), "{said:?}");
    desk.run("verify-release out --keys . --threshold 2").well();
    let said = desk.run("sign out --key b.key --keys .").well();
    assert!(said.err.contains("was kept\n"), "{said:?}");
    assert_eq!(desk.text("out/manifest.json.minisig").lines().count(), 8);
    // other bytes: what others signed is gone, and that is said
    let said = desk.run("sign out --key b.key --expires 5000d").well();
    assert!(said.err.contains("was dropped: it does not hold any more"), "{said:?}");
    assert_eq!(desk.text("out/manifest.json.minisig").lines().count(), 4);
    desk.run("sign out --key a.key --key b.key").well();
    desk.run("verify-release out --keys . --threshold 2").well();
    desk.write("out/manifest.json.minisig", "hello");
    let said = desk.run("sign out --key a.key").well();
    assert!(said.err.contains("was replaced: it is no signature"), "{said:?}");
    desk.run("verify-release out --key a.pub").well();
}

#[test]
fn whatever_was_changed_after_signing_is_named() {
    type Spoil = fn(&Desk);
    fn flip(desk: &Desk, name: &str, at: impl Fn(usize) -> usize) {
        let mut bytes = desk.read(name);
        let i = at(bytes.len());
        bytes[i] ^= 1;
        desk.write(name, bytes);
    }
    fn head(desk: &Desk, signature: Option<&[u8]>) {
        let manifest = desk.read("out/manifest.json");
        pikit_updater::publish::bundle::replace_head(&desk.path("out/pikit-1.4.0.tar.gz"), &manifest, signature).unwrap();
    }
    let table: [(&str, Spoil, &str); 9] = [
        ("manifest", |d| d.write("out/manifest.json", d.text("out/manifest.json").replace("\"1.4.0\"", "\"1.4.1\"")), "no signature by the key"),
        ("broken", |d| d.write("out/manifest.json", "{"), "FAIL  manifest"),
        (
            "signature",
            |d| d.write("out/manifest.json.minisig", d.text("out/manifest.json.minisig").replace("manifest.json 2", "manifest.json 3")),
            "no signature",
        ),
        ("block", |d| flip(d, "out/pikit-1.4.0.tar.gz", |n| n - 40), "has another digest"),
        ("no bundle", |d| fs::remove_file(d.path("out/pikit-1.4.0.tar.gz")).unwrap(), "FAIL  bundle    it is not there"),
        ("head without a signature", |d| head(d, None), "the signature in its head is not the one beside it"),
        ("head of another", |d| head(d, Some(b"untrusted comment: x\n")), "the signature in its head is not the one beside it"),
        ("short", |d| d.write("out/pikit-1.4.0.tar.gz", &d.bundle()[..100]), "its payload alone should have"),
        ("longer", |d| d.write("out/pikit-1.4.0.tar.gz", [d.bundle(), vec![0; 9]].concat()), "FAIL"),
    ];
    for (name, spoil, words) in table {
        let desk = Desk::new(&format!("spoilt-{}", name.replace(' ', "-")));
        desk.run("sign out --key a.key").well();
        spoil(&desk);
        let said = desk.run("verify-release out --key a.pub");
        assert!(said.code == 4 && said.out.contains(words), "{name}: {said:?}");
    }
}

#[test]
fn a_manifest_that_tells_another_bundle_than_there_is_fails_also_when_it_is_signed() {
    type Lie = fn(&mut Manifest);
    let table: [(&str, Lie, &str); 6] = [
        ("digest", |m| m.files[0].sha256 = pikit_updater::release::Digest::of(b"x"), "does not lie in block"),
        ("offset", |m| m.files[0].offset = Some(0), "does not lie in block"),
        ("unlisted", |m| drop(m.files.remove(0)), "which the manifest does not list"),
        ("block", |m| m.bundle.as_mut().unwrap().blocks[0].length += 1, "block"),
        ("missing", |m| m.files[0].path = pikit_updater::release::ReleasePath::new("web/other").unwrap(), "does not list"),
        ("nowhere", |m| (m.files[0].block, m.files[0].offset) = (None, None), "in no block"),
    ];
    for (name, lie, words) in table {
        let desk = Desk::new(&format!("lie-{name}"));
        let mut manifest = Manifest::parse(&desk.read("out/manifest.json")).unwrap();
        lie(&mut manifest);
        desk.write("out/manifest.json", pikit_updater::publish::pack::text(&manifest));
        desk.run("sign out --key a.key").well();
        desk.run("verify-release out --key a.pub").refused(4, words);
    }
}

#[test]
fn a_later_expiry_is_signed_without_packing_again() {
    let desk = Desk::new("expires");
    desk.run("sign out --key a.key").well();
    let (before, manifest) = (payload(&desk), desk.manifest());
    desk.run("check-expiry out --within 3000d").well();
    desk.run("check-expiry out --within 4000d").refused(4, "1.4.0 expires at 2036-11-17T10:00:00Z");
    for (expires, words) in
        [("90d", "is not later than"), ("2036-11-17T10:00:00Z", "is not later than"), ("2020-01-01", "would have expired"), ("soon", "neither a duration")]
    {
        let said = desk.run(&format!("sign out --key a.key --expires {expires}"));
        assert!([2, 5].contains(&said.code) && said.err.contains(words), "{expires}: {said:?}");
    }
    assert_eq!(desk.manifest(), manifest, "what is refused changes nothing");
    let said = desk.run("sign out --key a.key --expires 2040-01-01").well();
    assert!(said.out.contains("expires at 2040-01-01"), "{said:?}");
    desk.run("verify-release out --key a.pub").well();
    desk.run("check-expiry out --within 4000d").well();
    assert!(payload(&desk) == before);
    let mut changed = desk.manifest();
    changed["expires"] = manifest["expires"].clone();
    assert_eq!(changed, manifest, "nothing else changed");
    // the manifest by itself, as a CI fetches it
    desk.write("alone/manifest.json", desk.read("out/manifest.json"));
    let said = desk.run("sign alone/manifest.json --key a.key --expires 90d --force").well();
    assert!(said.err.contains("stays as it was"), "{said:?}");
    desk.run("check-expiry alone/manifest.json --within 89d").well();
    desk.run("verify-release alone/manifest.json --key a.pub").well();
    desk.run("sign alone --key a.key --expires 2020-01-01 --force").well();
    desk.run("check-expiry alone").refused(4, "expired at 2020-01-01");
    desk.run("verify-release alone/manifest.json --key a.pub").refused(4, "it expired at 2020-01-01");
}

#[test]
fn a_manifest_with_something_unknown_in_it_is_signed_and_not_rewritten() {
    let desk = Desk::new("unknown");
    let odd = desk.text("out/manifest.json").replacen("{", "{\n \"of_the_future\": 1,", 1);
    desk.write("out/manifest.json", &odd);
    desk.run("sign out --key a.key --expires 2040-01-01").refused(5, "would lose what this program does not know");
    desk.run("sign out --key a.key --recall").refused(5, "would lose what this program does not know");
    assert_eq!(desk.text("out/manifest.json"), odd);
    desk.run("sign out --key a.key").well();
    assert_eq!(desk.text("out/manifest.json"), odd);
    desk.run("verify-release out --key a.pub").well();
}

#[test]
fn a_recall_is_this_release_said_anew() {
    let desk = Desk::new("recall");
    desk.run("sign out --recall").refused(2, "there is no key to sign with");
    let said = desk.run("sign out --recall --key a.key").well();
    assert!(said.out.contains("takes back every release above 1.4.0"), "{said:?}");
    let manifest = desk.manifest();
    assert_eq!(manifest["recall"]["max_version"], "1.4.0");
    assert_ne!(manifest["released"], "2026-11-20T10:00:00Z", "a recall counts only if it is newer than all that was seen");
    let said = desk.run("verify-release out --key a.pub").well();
    assert!(said.out.contains("note  recall    devices above 1.4.0 return"), "{said:?}");
    // an expired one would take nothing back
    desk.run("sign out --key a.key --expires 2020-01-01 --force").well();
    desk.run("sign out --recall --key a.key").refused(5, "it has expired");
    desk.run("sign out --recall --key a.key --expires 90d").well();
    desk.run("verify-release out --key a.pub").well();
}

#[test]
fn what_a_kill_leaves_at_any_moment_is_signed_and_signing_again_mends_it() {
    if !is_here("strace") {
        return;
    }
    let desk = Desk::new("kill");
    desk.run("sign out --key a.key").well();
    let original: Vec<(String, Vec<u8>)> = names(&desk.path("out")).into_iter().map(|n| (n.clone(), desk.read(&format!("out/{n}")))).collect();
    let mut moments = 0;
    for call in ["rename", "renameat", "renameat2", "fsync", "write", "copy_file_range", "unlink", "unlinkat"] {
        for n in 1.. {
            fs::remove_dir_all(desk.path("out")).unwrap();
            original.iter().for_each(|(name, bytes)| desk.write(&format!("out/{name}"), bytes));
            let inject = format!("inject={call}:signal=KILL:when={n}");
            let under = ["-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject, updater()];
            let mut strace = desk.command("strace");
            let ran = strace.args(under).args("sign out --key a.key --expires 2040-01-01".split(' ')).output().unwrap();
            if ran.status.success() {
                break;
            }
            moments += 1;
            let what = format!("{call} {n}");
            let said = desk.run("verify-release out --key a.pub --json");
            assert_eq!(levels(&said, "signature"), ["ok"], "{what}: {said:?}");
            desk.run("verify-release out/pikit-1.4.0.tar.gz --key a.pub").well();
            assert!(said.code == 0 || levels(&said, "bundle") == ["fail"], "{what}: a state between is seen: {said:?}");
            desk.run("sign out --key a.key --expires 2041-01-01").well();
            desk.run("verify-release out --key a.pub").well();
            desk.run("pack --out out").well();
        }
    }
    assert!(moments > 8, "only {moments} moments");
}
