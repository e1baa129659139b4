//! Keys: made, kept secret, asked for, changed.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;

use super::desk::{Desk, Said, is_here, updater};

fn mode(desk: &Desk, name: &str) -> u32 {
    fs::metadata(desk.path(name)).unwrap().permissions().mode() & 0o777
}

/// The key's line, which must be seen nowhere.
fn secret(desk: &Desk, name: &str) -> String {
    desk.text(name).lines().nth(1).unwrap().to_owned()
}

#[test]
fn keygen_makes_two_files_and_overwrites_none() {
    let desk = Desk::bare("keygen");
    let said = desk.run("keygen --no-passphrase --comment releases").well();
    assert_eq!((mode(&desk, "pikit.key"), mode(&desk, "pikit.pub")), (0o600, 0o644));
    let (key, public) = (desk.text("pikit.key"), desk.text("pikit.pub"));
    assert!(key.starts_with("untrusted comment: releases\n"), "{key}");
    assert!(said.out.starts_with(public.lines().nth(1).unwrap()) && said.out.contains("/etc/pikit/keys"), "{said:?}");
    assert!(!said.all().contains(&secret(&desk, "pikit.key")));
    desk.run("keygen --no-passphrase").refused(5, "pikit.key is there already");
    assert_eq!((desk.text("pikit.key"), desk.text("pikit.pub")), (key, public));
    desk.write("half.pub", "somebody's");
    desk.run("keygen half --no-passphrase").refused(5, "half.pub is there already");
    assert!(!desk.path("half.key").exists());
    let said = desk.run("keygen other --no-passphrase --json").well();
    assert_eq!(said.json()["line"], desk.text("other.pub").lines().nth(1).unwrap());
    assert!(!said.out.contains(&secret(&desk, "other.key")));
}

#[test]
fn without_a_terminal_and_without_a_place_nobody_is_asked_and_nothing_is_made() {
    let desk = Desk::bare("nobody");
    let mut command = desk.command("setsid");
    let said = Said::of(&command.arg(updater()).arg("keygen").output().unwrap());
    said.refused(2, "there is no terminal to ask on");
    desk.run("keygen --no-input").refused(2, "nobody to ask");
    desk.write("empty", "\n");
    desk.run("keygen --passphrase empty").refused(2, "is empty");
    assert!(!desk.path("pikit.key").exists() && !desk.path("pikit.pub").exists());
}

#[test]
fn a_passphrase_is_asked_for_twice_and_never_shown() {
    if !is_here("python3") {
        return;
    }
    let desk = Desk::new("asked");
    let updater = updater();
    let said = desk.on_terminal(&format!("{updater} keygen k"), &["tulip\n", "rose\n"]);
    assert!(said.code == 2 && said.out.contains("differ") && said.out.contains("the terminal echoes"), "{said:?}");
    assert!(!said.out.contains("tulip") && !desk.path("k.key").exists());
    let said = desk.on_terminal(&format!("{updater} keygen k"), &["tulip\n", "tulip\n"]);
    assert!(said.code == 0 && !said.out.contains("tulip") && said.out.contains("the terminal echoes and 0 answers"), "{said:?}");
    let said = desk.on_terminal(&format!("{updater} sign out --key k.key"), &["tulip\n"]);
    assert!(said.code == 0 && !said.out.contains("tulip") && said.out.contains("the terminal echoes"), "{said:?}");
    desk.run("verify-release out --key k.pub").well();
    // Ctrl-C, and the end of the input, at the question
    for (answer, name) in [("\u{3}", "Ctrl-C"), ("tul\u{3}", "Ctrl-C in the middle"), ("\u{4}", "Ctrl-D")] {
        let said = desk.on_terminal(&format!("{updater} keygen other"), &[answer]);
        assert!(said.code == 10 && said.out.contains("the terminal echoes"), "{name}: {said:?}");
        assert!(!desk.path("other.key").exists());
    }
}

#[test]
fn secrets_come_from_files_variables_and_descriptors_and_are_shown_nowhere() {
    let desk = Desk::new("places");
    let (text, line) = (desk.text("a.key"), secret(&desk, "a.key"));
    let quiet = |said: Said| {
        assert!(!said.all().contains(&line), "{said:?}");
        said
    };
    quiet(desk.run_with("sign out", &[("PIKIT_SECRET_KEY", text.as_str())])).well();
    quiet(desk.run_with("sign out", &[("PIKIT_SECRET_KEY", line.as_str())])).well();
    quiet(desk.run_with("sign out --key env:MY_KEY", &[("MY_KEY", text.as_str())])).well();
    quiet(desk.run("sign out --key env:MY_KEY")).refused(2, "the variable MY_KEY is not set");
    quiet(desk.run("sign out")).refused(2, "PIKIT_SECRET_KEY");
    quiet(desk.run(&format!("sign out --key {line}"))).refused(2, "`ps`");
    quiet(desk.run("sign out --key a.pub")).refused(2, "is a public key");
    let said = desk.run("keygen k --passphrase hunter2").refused(2, "`ps`");
    assert!(!said.all().contains("hunter2"), "{said:?}");
    // a descriptor: stdin is one
    let mut command = desk.command(updater());
    command.args(["sign", "out", "--key", "fd:0"]).stdin(File::open(desk.path("a.key")).unwrap());
    quiet(Said::of(&command.output().unwrap())).well();
    let mut command = desk.command("sh");
    command.arg("-c").arg(format!("cat a.key | {} sign out --key fd:0", updater()));
    quiet(Said::of(&command.output().unwrap())).well();
    desk.run("verify-release out --key a.pub").well();
    // damaged, and readable by everybody
    desk.write("cut.key", &text[..text.len() - 9]);
    quiet(desk.run("sign out --key cut.key")).refused(2, "damaged");
    assert!(!desk.run("sign out --key a.key").well().err.contains("warning"));
    fs::set_permissions(desk.path("a.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let said = quiet(desk.run("sign out --key a.key")).well();
    assert!(said.err.contains("a.key can be read by others"), "{said:?}");
}

fn with_trust(desk: &Desk) {
    desk.write("release.toml", format!("trust = \"trust.json\"\n{}", desk.text("release.toml")));
}

#[test]
fn keys_change_in_band_and_a_device_of_the_first_day_arrives() {
    let desk = Desk::new("rotate");
    with_trust(&desk);
    desk.run("keygen c --no-passphrase").well();
    desk.run("pack --out out").refused(2, "there is no trust.json");
    let said = desk.run("rotate trust.json --product pikit --to b.pub --key a.key --key b.key").well();
    assert!(said.out.contains("version 2 of the keys, 1 of") && said.out.contains("complete"), "{said:?}");
    let said = desk.run("rotate trust.json --to b.pub --to c.pub --threshold 2 --key b.key --key c.key --json").well();
    assert_eq!((said.json()["step"]["version"].as_u64(), said.json()["step"]["missing"].is_null()), (Some(3), true));
    desk.run("pack --out out").well();
    let trust = desk.manifest()["trust"].clone();
    assert_eq!((trust["version"].as_u64(), trust["threshold"].as_u64(), trust["steps"].as_array().unwrap().len()), (Some(3), Some(2), 2));
    // one of the two is not enough any more, and sign says so
    let said = desk.run("sign out --key b.key").well();
    assert!(said.err.contains("devices will not take it yet"), "{said:?}");
    desk.run("verify-release out --key a.pub").refused(4, "only, and it takes 2 of 2 keys");
    desk.run("sign out --key c.key").well();
    for known in ["a.pub", "b.pub", "b.pub --key c.pub --threshold 2"] {
        let said = desk.run(&format!("verify-release out --key {known}")).well();
        assert!(said.out.contains("arrive at version 3"), "{known}: {said:?}");
    }
    // a stranger does not arrive, and the key that went counts no more
    desk.run("keygen d --no-passphrase").well();
    desk.run("verify-release out --key d.pub").refused(4, "FAIL  keys");
    let said = desk.run("sign out --key a.key --expires 2040-01-01").well();
    assert!(said.err.contains("is none of the keys that the manifest names"), "{said:?}");
    desk.run("verify-release out --key a.pub").refused(4, "FAIL  signature");
}

#[test]
fn a_step_that_devices_would_refuse_is_not_written() {
    let desk = Desk::new("steps");
    let table = [
        ("rotate trust.json --to b.pub --key a.key", 5, "the new keys have not agreed"),
        ("rotate trust.json --to b.pub --key b.key", 2, "the keys that devices have now"),
        ("rotate trust.json --to b.pub --from a.pub --key b.key", 5, "the old keys have not agreed"),
        ("rotate trust.json --to b.pub --threshold 2 --key a.key --key b.key", 2, "can never be met"),
        ("rotate trust.json --to b.pub --threshold 0 --key a.key --key b.key", 2, "nobody signed"),
        ("rotate trust.json --to a.pub --from a.pub --key a.key", 5, "would stay as they are"),
        ("rotate trust.json --to b.pub --from b.pub --key a.key", 5, "would stay as they are"),
    ];
    for (words, code, said) in table {
        desk.run(words).refused(code, said);
        assert!(!desk.path("trust.json").exists(), "{words}");
    }
    desk.run("keygen c --no-passphrase").well();
    desk.run("rotate trust.json --to b.pub --from a.pub --key a.key --key b.key --key c.key").refused(2, "neither among the old keys nor among the new");
    desk.run("rotate trust.json --product pikit --to b.pub --key a.key --key b.key").well();
    let before = desk.text("trust.json");
    desk.run("rotate trust.json --to c.pub --key a.key --key c.key").refused(2, "neither among the old keys");
    desk.run("rotate trust.json --to c.pub --key c.key").refused(5, "the old keys have not agreed");
    desk.run("rotate trust.json --to c.pub --from a.pub --key b.key --key c.key").refused(2, "--from is of the first step");
    assert_eq!(desk.text("trust.json"), before);
    // another product's release does not carry it
    with_trust(&desk);
    desk.write("release.toml", desk.text("release.toml").replace("product = \"pikit\"", "product = \"other\""));
    desk.run("pack --out out2").refused(4, "one of \"pikit\"");
    desk.write("trust.json", before.replace("RW", "RX"));
    desk.run("rotate trust.json --to c.pub --key b.key --key c.key").refused(4, "trust.json");
}

#[test]
fn a_team_signs_a_step_one_after_the_other() {
    let desk = Desk::new("team");
    with_trust(&desk);
    desk.run("rotate trust.json --product pikit --to b.pub --key a.key --partial").well();
    desk.run("pack --out out").refused(4, "the new keys have not agreed");
    desk.run("rotate trust.json --to a.pub --key b.key --key a.key").refused(4, "the new keys have not agreed");
    desk.run("keygen c --no-passphrase").well();
    desk.run("sign trust.json --key c.key").refused(2, "neither among");
    desk.run("sign trust.json --key b.key --expires 90d").refused(2, "only --key and --passphrase");
    let said = desk.run("sign trust.json --key b.key").well();
    assert!(said.out.contains("complete: `pack`"), "{said:?}");
    desk.run("pack --out out").well();
    desk.run("sign out --key b.key").well();
    desk.run("verify-release out --key a.pub").well();
}
