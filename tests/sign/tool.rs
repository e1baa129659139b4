//! The real `minisign`, of Debian: its keys sign here, its signatures hold here, and the other way round.

use std::fs;

use super::desk::{Desk, is_here};

#[test]
fn what_minisign_signs_holds_here_prehashed_and_legacy() {
    if !is_here("minisign") {
        return;
    }
    let desk = Desk::new("theirs");
    desk.other("minisign -G -W -p m.pub -s m.key").well();
    for legacy in ["", " -l"] {
        desk.other(&format!("minisign -S{legacy} -W -s m.key -m out/manifest.json -t by-the-tool")).well();
        let said = desk.run("verify-release out/manifest.json --key m.pub");
        assert!(said.out.contains("\"by-the-tool\""), "{legacy}: {said:?}");
        desk.run("verify-release out/manifest.json --key a.pub").refused(4, "no signature by the key");
        // the bundle's head does not know it yet; our own key signs along and writes it there
        desk.run("verify-release out --key m.pub").refused(4, "the signature in its head is not the one beside it");
        desk.run("sign out --key a.key --keys .").well();
        desk.run("verify-release out --key m.pub --key a.pub --threshold 2").well();
        let signature = desk.text("out/manifest.json.minisig");
        desk.write("out/manifest.json.minisig", signature.replace("by-the-tool", "by-somebody"));
        desk.run("verify-release out --key m.pub").refused(4, "no signature by the key");
    }
}

#[test]
fn what_is_signed_here_holds_for_minisign() {
    if !is_here("minisign") {
        return;
    }
    let desk = Desk::new("ours");
    desk.run("sign out --key a.key --comment hello").well();
    let said = desk.other("minisign -V -H -m out/manifest.json -p a.pub").well();
    assert!(said.out.contains("Trusted comment: pikit 1.4.0 manifest.json 20") && said.out.contains("Z hello"), "{said:?}");
    assert_ne!(desk.other("minisign -V -m out/manifest.json -p b.pub").code, 0);
    // by the line that keygen prints
    let line = desk.text("a.pub").lines().nth(1).unwrap().to_owned();
    desk.other(&format!("minisign -V -m out/manifest.json -P {line}")).well();
    // our key without a passphrase signs there, and its public half can be made again from it
    desk.other("minisign -S -W -s a.key -m site/app.js").well();
    desk.other("minisign -V -m site/app.js -p a.pub").well();
    desk.other("minisign -R -W -s a.key -p again.pub").well();
    assert_eq!(desk.text("again.pub").lines().nth(1), desk.text("a.pub").lines().nth(1));
    desk.write("site/app.js", "changed");
    assert_ne!(desk.other("minisign -V -m site/app.js -p a.pub").code, 0);
}

#[test]
fn a_key_with_a_passphrase_opens_on_both_sides() {
    if !is_here("minisign") || !is_here("python3") {
        return;
    }
    let desk = Desk::new("passphrase");
    // ours, opened by the tool
    desk.write("pass", "correct horse\n");
    fs::set_permissions(desk.path("pass"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    desk.run("keygen ours --passphrase pass").well();
    let said = desk.on_terminal("minisign -S -s ours.key -m site/style.css", &["correct horse\n"]);
    assert_eq!(said.code, 0, "{said:?}");
    desk.other("minisign -V -m site/style.css -p ours.pub").well();
    let said = desk.on_terminal("minisign -S -s ours.key -m site/index.html", &["wrong\n"]);
    assert_ne!(said.code, 0, "{said:?}");
    // theirs, opened by us
    let said = desk.on_terminal("minisign -G -p theirs.pub -s theirs.key", &["battery staple\n", "battery staple\n"]);
    assert_eq!(said.code, 0, "{said:?}");
    desk.run_with("sign out --key theirs.key", &[("PIKIT_PASSPHRASE", "battery staple")]).well();
    desk.run("verify-release out --key theirs.pub").well();
    let said = desk.run_with("sign out --key theirs.key", &[("PIKIT_PASSPHRASE", "battery stable")]).refused(2, "does not open the key theirs.key");
    assert!(!said.all().contains("stable"), "{said:?}");
}
