//! What is read, what is refused, and what a release is.

use super::*;

fn with_files(files: &str) -> Result<Manifest, String> {
    Manifest::parse(format!(r#"{{"version":"1.0.0","files":[{files}]}}"#).as_bytes())
}

fn file(path: &str, more: &str) -> String {
    format!(r#"{{"path":"{path}","sha256":"{}"{more}}}"#, Digest::of(b""))
}

#[test]
fn accepts_the_minimal_manifest_and_the_full_one() {
    let minimal = format!(
        r#"{{"version":"v1.2.3","changelog":"https://x","files":[{}],"post_install":["restart pikit-api"]}}"#,
        file("pikit-web/index.html", r#","mode":"0644""#)
    );
    let m = Manifest::parse(minimal.as_bytes()).unwrap();
    assert_eq!((m.version.to_string().as_str(), m.files.len(), m.post_install.len()), ("1.2.3", 1, 1));
    let full = include_bytes!("../../../tests/fixtures/manifest-full.json");
    let m = Manifest::parse(full).unwrap();
    assert_eq!(m.files[0].mode.unwrap().bits(), 0o644);
    assert_eq!(m.requires.arch, ["aarch64", "armv7"]);
    assert_eq!(m.listing("x86_64").len(), 2);
    assert_eq!(m.listing("aarch64").len(), 3);
    let again = serde_json::to_vec(&m).unwrap();
    assert_eq!(Manifest::parse(&again).unwrap(), m);
}

#[test]
fn refuses_each_kind_of_nonsense_with_a_sentence() {
    let table = [
        (file("a", "") + "," + &file("a", ""), "twice"),
        (file("a", "") + "," + &file("a", r#","arch":"aarch64""#), "twice"),
        (file("a", "") + "," + &file("A", ""), "case alone"),
        (file("a", "") + "," + &file("a/b", ""), "below it"),
        (file("a", "") + "," + &file("A/b", ""), "below it"),
        (file("../a", ""), ". or .."),
        (file("manifest.json", ""), "never installed"),
        (file("a", r#","mode":"4755""#), "setuid"),
        (file("a", r#","mode":644"#), "setuid"),
        (file("a", r#","mode":"rwx""#), "octal"),
        (r#"{"path":"a","sha256":"12"}"#.into(), "64 hex digits"),
        (r#"{"path":"a"}"#.into(), "sha256"),
    ];
    for (files, want) in table {
        let error = with_files(&files).unwrap_err();
        assert!(error.contains(want), "{files}: {error}");
    }
    assert!(Manifest::parse(br#"{"schema":2,"everything":"else"}"#).unwrap_err().contains("update the updater"));
    assert!(Manifest::parse(b"<html>").unwrap_err().contains("JSON"));
    assert!(Manifest::parse("[".repeat(100_000).as_bytes()).is_err());
}

#[test]
fn one_path_may_stand_once_for_each_architecture() {
    let files = file("a", r#","arch":"aarch64""#) + "," + &file("a", r#","arch":"armv7""#);
    assert_eq!(with_files(&files).unwrap().listing("armv7").len(), 1);
}

#[test]
fn the_content_digest_is_that_of_sorted_lines() {
    let more = |mode: &str| format!(r#","mode":"{mode}","size":7"#);
    let files = [file("b", ""), file("c", &more("0070")), file("a", &more("0644")), file("d", r#","arch":"armv7""#)].join(",");
    let m = with_files(&files.replacen(&Digest::of(b"").to_string(), &Digest::of(b"x").to_string(), 1)).unwrap();
    let (x, e) = (Digest::of(b"x"), Digest::of(b""));
    // boards remember it: 512 stands for no mode, and 56 comes behind 420 and 512
    let mut lines = [format!("{x} 512 b *\n"), format!("{e} 56 c *\n"), format!("{e} 420 a *\n"), format!("{e} 512 d armv7\n")];
    lines.sort();
    assert_eq!(m.content_digest(), Digest::of(format!("{}[]", lines.concat()).as_bytes()));
}

#[test]
fn the_content_digest_follows_the_files_and_nothing_else() {
    let a = with_files(&(file("a", "") + "," + &file("b", ""))).unwrap();
    let mut b = with_files(&(file("b", "") + "," + &file("a", ""))).unwrap();
    b.expires = Some(Utc::now());
    assert_eq!(a.content_digest(), b.content_digest());
    assert_ne!(a.content_digest(), with_files(&file("a", "")).unwrap().content_digest());
}
