//! Software that is not the maintainer's, or not the one that is offered.

use super::*;
use support::release;

#[test]
fn arbitrary_software_nobody_or_somebody_else_signed() {
    let board = Signed::new("trust-arbitrary");
    board.withdraw("1.0.0");
    board.release("1.1.0", &files("evil"));
    board.refuses(&["apply", "-y"], 4, &["is not signed"]);
    sign(&board.dir("1.1.0"), &[&Key::new()]);
    board.refuses(&["apply", "-y"], 4, &["not signed by whom this device trusts", &board.key.id()]);
    // signed, and then changed
    sign(&board.dir("1.1.0"), &[&board.key]);
    maintainer::edit(&board.dir("1.1.0"), |m| m["notes"] = json!("trust me"));
    board.refuses(&["apply", "-y"], 4, &["not signed by whom"]);
    // the signature of another release
    board.release_signed("1.0.0", |_| {});
    fs::copy(board.dir("1.0.0").join("manifest.json.minisig"), board.dir("1.1.0").join("manifest.json.minisig")).unwrap();
    board.withdraw("1.0.0");
    board.refuses(&["apply", "-y"], 4, &["not signed by whom"]);
    // what the maintainer said with it is signed too
    sign(&board.dir("1.1.0"), &[&board.key]);
    let path = board.dir("1.1.0").join("manifest.json.minisig");
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("signed by a test", "checked by experts")).unwrap();
    board.refuses(&["apply", "-y"], 4, &["not signed by whom"]);
    fs::write(&path, "rubbish").unwrap();
    board.refuses(&["apply", "-y"], 4, &["signature"]);
    let failed = board.run(&["check"]);
    assert_eq!(failed.code, 4);
    assert!(board.status()["last_check_error"].as_str().unwrap().contains("1.1.0"));
}

#[test]
fn arbitrary_software_from_a_stick_or_a_pipe() {
    let board = Signed::new("trust-stick");
    release::pack_into(&board.path("stick"), "1.1.0", &files("evil"), "");
    let folder = board.path("stick/1.1.0");
    let bundle = folder.join("pikit-1.1.0.tar.gz");
    for from in [&folder, &bundle] {
        board.refuses(&["apply", "-y", "--from", from.to_str().unwrap()], 4, &["is not signed"]);
    }
    let piped = board.command(&["apply", "-y", "--from", "-"]).stdin(fs::File::open(&bundle).unwrap()).output().unwrap();
    assert_eq!(piped.status.code(), Some(4));
}

#[test]
fn several_keys_must_sign_and_one_key_counts_once() {
    let board = Signed::new("trust-threshold");
    let second = Key::new();
    board.withdraw("1.0.0");
    board.configure("required = true", "required = true\nthreshold = 2");
    board.write("etc/pikit/keys/copy.pub", board.key.public());
    board.release_by("1.1.0", &[&board.key, &board.key], |_| {});
    board.refuses(&["apply", "-y"], 4, &["cannot be believed", "can never be met by 1 key"]);
    board.write("etc/pikit/keys/second.pub", second.public());
    board.refuses(&["apply", "-y"], 4, &["signed by", "only", "2 of 2 keys"]);
    sign(&board.dir("1.1.0"), &[&second, &board.key]);
    board.ok(&["apply", "-y"]);
    assert_eq!(board.status()["trust"]["threshold"], 2);
}

#[test]
fn without_a_key_nothing_is_believed() {
    let board = Signed::empty("trust-nokey");
    fs::remove_file(board.path("etc/pikit/keys/maintainer.pub")).unwrap();
    board.release_signed("1.0.0", |_| {});
    board.refuses(&["apply", "-y"], 4, &["no public key in"]);
    board.write("etc/pikit/keys/broken.pub", "not a key");
    board.refuses(&["apply", "-y"], 4, &["cannot be believed", "is not a minisign public key"]);
    let doctor = board.run(&["doctor", "--offline"]);
    assert!(doctor.out.contains("every release is refused"), "{}", doctor.out);
}

#[test]
fn rollback_an_old_release_passed_off_as_new() {
    let board = Signed::new("trust-rollback");
    board.release_signed("1.1.0", |_| {});
    board.ok(&["check"]); // it was seen, and not even installed
    board.withdraw("1.1.0");
    board.refuses(&["apply", "-y"], 4, &["an old release is passed off as new", "1.1.0"]);
    board.release_signed("1.1.0", |_| {});
    board.ok(&["apply", "-y"]);
    board.withdraw("1.1.0");
    board.refuses(&["apply", "-y"], 4, &["an old release is passed off as new"]);
    board.refuses(&["apply", "1.0.0", "-y"], 4, &["an old release is passed off as new"]);
    board.ok(&["apply", "1.0.0", "-y", "--allow-downgrade"]);
    assert_eq!(board.installed(), "1.0.0");
    assert_eq!(memory(&board)["learned"]["floor"]["version"], "1.1.0", "what a person did once lowers nothing");
    // to a local backup the way is always open
    board.ok(&["rollback", "-y"]);
    assert_eq!(board.installed(), "1.1.0");
}

#[test]
fn replay_the_same_version_with_an_older_signature_or_other_contents() {
    let board = Signed::new("trust-replay");
    board.release_signed("1.1.0", |m| m["expires"] = json!(day(30)));
    board.ok(&["check"]);
    board.release_signed("1.1.0", |m| m["expires"] = json!(day(10)));
    board.refuses(&["apply", "-y"], 4, &["an old signature is replayed"]);
    board.release_signed("1.1.0", |m| {
        m["expires"] = json!(day(40));
        m["notes"] = json!("other notes");
    });
    board.refuses(&["apply", "-y"], 4, &["not the release that was offered under this version before"]);
    board.release_signed("1.1.0", |m| m["expires"] = json!(day(40)));
    board.ok(&["apply", "-y"]);
}

#[test]
fn freeze_an_expired_release_is_not_offered_and_stays_where_it_is_installed() {
    let board = Signed::new("trust-freeze");
    board.release_signed("1.1.0", |m| m["expires"] = json!(day(-1)));
    board.refuses(&["apply", "-y"], 4, &["1.1.0 expired on", "kept from this device"]);
    board.release_signed("1.1.0", |m| m["expires"] = json!(day(1)));
    board.ok(&["apply", "-y"]);
    // it expires on the device
    board.release_signed("1.1.0", |m| m["expires"] = json!(day(-1)));
    let installed = fs::read(board.dir("1.1.0").join("manifest.json")).unwrap();
    board.write("var/lib/pikit-update/installed.json", installed);
    // a server that shows nothing but this for ever is noticed
    let frozen = board.run(&["check"]);
    assert_eq!(frozen.code, 4);
    assert!(frozen.err.contains("1.1.0 expired on"), "{}", frozen.err);
    board.ok(&["verify"]);
    board.ok(&["status"]);
    board.ok(&["rollback", "-y"]);
    assert_eq!(board.installed(), "1.0.0");
}

#[test]
fn mix_and_match_one_manifest_fixes_the_whole_set() {
    let board = Signed::new("trust-mix");
    board.release_signed("1.1.0", |_| {});
    board.release_signed("1.2.0", |_| {});
    fs::copy(board.dir("1.1.0").join("pikit-1.1.0.tar.gz"), board.dir("1.2.0").join("pikit-1.2.0.tar.gz")).unwrap();
    let ran = board.run(&["apply", "-y"]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert_eq!(board.installed(), "1.0.0");
}

#[test]
fn extraneous_files_are_refused() {
    let board = Signed::new("trust-extra");
    release::pack_into(&board.path("src"), "1.1.0", &[("web/index.html", "new"), ("web/extra.html", "more"), ("api.py", "api of new")], "");
    maintainer::edit(&board.dir("1.1.0"), |m| m["files"].as_array_mut().unwrap().retain(|f| f["path"] != "web/extra.html"));
    sign(&board.dir("1.1.0"), &[&board.key]);
    let ran = board.run(&["apply", "-y"]);
    assert_eq!(ran.code, 4);
    assert!(ran.err.contains("web/extra.html, which its manifest does not list"), "{}", ran.err);
    assert!(!board.has("srv/web/extra.html"));
    release::pack_into(&board.path("src"), "1.2.0", &[("web/index.html", "new"), ("etc/passwd", "root::0:0::/:/bin/sh"), ("api.py", "a")], "");
    sign(&board.dir("1.2.0"), &[&board.key]);
    let ran = board.run(&["apply", "-y"]);
    assert_eq!(ran.code, 5);
    assert!(ran.err.contains("no managed path takes etc/passwd"), "{}", ran.err);
}

#[test]
fn wrong_software_is_signed_and_still_not_for_this_device() {
    let wrong: [(&str, Value, &str); 5] = [
        ("product", json!("another"), "product"),
        ("channel", json!("beta"), "channel"),
        ("requires", json!({"arch": ["vax"]}), "vax"),
        ("requires", json!({"updater": ">=99.0.0"}), "99.0.0"),
        ("requires", json!({"from": ">=5.0.0"}), "5.0.0"),
    ];
    for (key, value, word) in wrong {
        let board = Signed::new("trust-wrong");
        board.release_signed("1.1.0", |m| m[key] = value.clone());
        // it is passed over for what is offered, and named to whoever asks for it
        let ran = board.ok(&["apply", "-y"]);
        assert!(ran.err.contains("offers") || ran.out.contains("1.0.0"), "{}{}", ran.err, ran.out);
        let ran = board.run(&["apply", "1.1.0", "-y"]);
        assert_eq!(ran.code, 5, "{key}: {}", ran.err);
        assert!(ran.err.contains(word), "{key}: {}", ran.err);
        assert_eq!(board.installed(), "1.0.0");
        let floor = memory(&board)["learned"]["floor"]["version"].clone();
        assert!(floor == "1.0.0" || key != "product", "what is another's raises nothing here: {floor}");
    }
}

#[test]
fn what_was_consented_to_is_what_is_installed() {
    let board = Signed::new("trust-toctou");
    board.release_signed("1.1.0", |_| {});
    board.ok(&["check"]);
    let agreed = board.status()["available"]["manifest_sha256"].as_str().unwrap().to_owned();
    board.release_signed("1.2.0", |_| {});
    let ran = board.run(&["apply", "-y", "--require-manifest", &agreed]);
    assert_eq!(ran.code, 4);
    assert!(ran.err.contains("changed since it was consented to"), "{}", ran.err);
    board.ok(&["apply", "1.1.0", "-y", "--require-manifest", &agreed, "--allow-downgrade"]);
    assert_eq!(board.installed(), "1.1.0");
}

#[test]
fn what_failed_here_is_remembered_by_its_content_and_forgiven_by_hand() {
    let board = Signed::new("trust-sick");
    board.configure("run = [\"/bin/true\"]", &format!("run = [\"/bin/grep\", \"-q\", \"1.0.0\", \"{}\"]", board.path("srv/web/index.html").display()));
    board.release_signed("1.1.0", |m| m["expires"] = json!(day(3)));
    assert_eq!(board.run(&["apply", "-y"]).code, 6);
    // signed again it is the same release
    board.release_signed("1.1.0", |m| m["expires"] = json!(day(30)));
    let ran = board.run(&["apply", "-y"]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.err.contains("failed on this board before"), "{}", ran.err);
    let said = board.ok(&["unskip", "1.1.0"]).out;
    assert!(said.contains("that it failed here is forgotten"), "{said}");
    assert_eq!(board.run(&["apply", "-y"]).code, 6, "so it is tried once more");
}

#[test]
fn without_signatures_nothing_is_run_and_that_is_said() {
    let board = Signed::new("trust-unsigned");
    board.configure("required = true", "required = false");
    let allowed = board.text("etc/pikit/updater.toml").replace("[services]", "[services]\nallow_commands = true");
    board.write("etc/pikit/updater.toml", allowed);
    board.release("1.1.0", &files("1.1.0"));
    maintainer::edit(&board.dir("1.1.0"), |m| m["post_install"] = json!([{"run": ["api.py"]}]));
    let ran = board.run(&["apply", "-y"]);
    assert_eq!(ran.code, 5);
    assert!(ran.err.contains("wants to run"), "{}", ran.err);
    assert!(board.ok(&["status"]).out.contains("not required"));
    assert!(board.run(&["doctor", "--offline"]).out.contains("signatures are not required"));
    assert_eq!(board.status()["trust"]["required"], false);
}

#[test]
fn endless_data_is_not_read() {
    let board = Signed::new("trust-endless");
    board.withdraw("1.0.0"); // otherwise it would be passed over for this one
    board.release_signed("1.1.0", |_| {});
    let manifest = board.dir("1.1.0").join("manifest.json");
    let good = fs::read(&manifest).unwrap();
    let refused = |what: &str, says: &str| {
        let ran = board.run(&["apply", "-y"]);
        assert!(ran.code == 4, "{what}: {} {}", ran.code, ran.err);
        assert!(ran.err.contains(says), "{what}: {}", ran.err);
        assert_eq!(board.installed(), "1.0.0");
    };
    fs::File::options().write(true).open(&manifest).unwrap().set_len(17 << 20).unwrap();
    refused("a manifest of 17 MiB", "is the most that is read");
    fs::write(&manifest, &good).unwrap();
    fs::write(board.dir("1.1.0").join("manifest.json.minisig"), vec![b'a'; 65 << 10]).unwrap();
    refused("a signature of 65 KiB", "is the most that is read");
    // what follows is signed by the right key: a mistake, or a stolen one
    let hostile = |text: &[u8], what: &str, says: &str| {
        fs::write(&manifest, text).unwrap();
        sign(&board.dir("1.1.0"), &[&board.key]);
        refused(what, says);
    };
    hostile(format!("{}{}", "[".repeat(200_000), "]".repeat(200_000)).as_bytes(), "JSON that is deep", "JSON");
    let deep = format!(r#"{{"version":"1.1.0","post_install":[{{"run":{}{}}}],"files":[]}}"#, "[".repeat(5_000), "]".repeat(5_000));
    hostile(deep.as_bytes(), "a field that is deep", "JSON");
    let entry = |n: usize| format!(r#"{{"path":"web/{n}","sha256":"{:064}"}}"#, n);
    let many: Vec<String> = (0..100_001).map(entry).collect();
    hostile(format!(r#"{{"version":"1.1.0","files":[{}]}}"#, many.join(",")).as_bytes(), "100,001 files", "100000 is the most");
    for (path, says) in [
        ("x".repeat(256), "longer than 255"),
        ("x/".repeat(2100) + "x", "longer than 4096"),
        ("../../etc/passwd".into(), ".."),
        ("/etc/passwd".into(), "absolute"),
    ] {
        let text = format!(r#"{{"version":"1.1.0","files":[{{"path":"{path}","sha256":"{:064}"}}]}}"#, 0);
        hostile(text.as_bytes(), &path, says);
    }
}
