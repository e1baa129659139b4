//! The ways in which a release is damaged.

use super::generator::{BLOCK, Dice, Entry, Listed, Release, gzip, manifest};

/// What must become of a bundle that was damaged so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Harmless, or harmless by chance: refused, or installed as its manifest says.
    MayPass,
    /// Refused.
    Refuse,
}
use Verdict::{MayPass, Refuse};

/// Does it to a release.
type Apply = Box<dyn Fn(&mut Release, &mut Dice)>;

pub struct Trick {
    pub name: &'static str,
    pub verdict: Verdict,
    pub apply: Apply,
}

fn trick(name: &'static str, verdict: Verdict, apply: impl Fn(&mut Release, &mut Dice) + 'static) -> Trick {
    Trick { name, verdict, apply: Box::new(apply) }
}

const LISTED: [&str; 4] = ["web/index.html", "web/js/app.js", "web/img/deep/er/logo.png", "api.py"];
const TARGETS: [&str; 6] = ["/canary/secret", "/canary/dir", "../../../canary", "/etc/shadow", "../canary/secret", "/"];

fn listed(dice: &mut Dice) -> &'static str {
    LISTED[dice.below(LISTED.len())]
}

/// Puts an entry somewhere among the others.
fn add(release: &mut Release, dice: &mut Dice, entry: Entry) {
    let at = dice.below(release.entries.len() + 1);
    release.entries.insert(at, entry);
}

fn extension(flag: u8, content: &[u8]) -> Vec<u8> {
    Entry { flag, ..Entry::file("extension", content) }.bytes()
}

fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let length = (1..).find(|n: &usize| n.to_string().len() + rest.len() == *n).unwrap();
    format!("{length}{rest}").into_bytes()
}

/// Puts something before one of the listed files.
fn before(release: &mut Release, dice: &mut Dice, bytes: &[u8]) {
    let path = *dice.pick(&LISTED);
    release.entry(path).before.extend_from_slice(bytes);
}

/// Puts bytes over one header.
fn spoil(release: &mut Release, dice: &mut Dice, at: usize, with: &[u8]) {
    let path = *dice.pick(&LISTED);
    release.entry(path).spoil.push((at, with.to_vec()));
}

fn relist(release: &mut Release, change: impl Fn(&mut Vec<Listed>)) {
    change(&mut release.listed);
    release.manifest = manifest(&release.listed);
    release.manifest_entries = vec![Entry::file("manifest.json", release.manifest.as_bytes())];
}

fn rewrite(release: &mut Release, from: &str, to: &str) {
    release.manifest = release.manifest.replacen(from, to, 1);
    release.manifest_entries = vec![Entry::file("manifest.json", release.manifest.as_bytes())];
}

/// All of them; the order is part of what a seed means.
pub fn all() -> Vec<Trick> {
    let mut all = Vec::new();
    kinds(&mut all);
    names(&mut all);
    headers(&mut all);
    extensions(&mut all);
    order(&mut all);
    compressed(&mut all);
    described(&mut all);
    all
}

fn kinds(all: &mut Vec<Trick>) {
    for (name, flag) in [
        ("a symbolic link more", b'2'),
        ("a hard link more", b'1'),
        ("a character device more", b'3'),
        ("a block device more", b'4'),
        ("a pipe more", b'6'),
        ("a contiguous file more", b'7'),
        ("an unknown type more", b'Z'),
        ("a volume label more", b'V'),
        ("the rest of a volume more", b'M'),
        ("a table of a folder more", b'D'),
        ("a sparse file more", b'S'),
        ("an entry of Solaris more", b'A'),
    ] {
        all.push(trick(name, Refuse, move |r, d| {
            let target = *d.pick(&TARGETS);
            add(r, d, Entry::of_kind("web/way", flag, target));
        }));
    }
    for (name, flag) in [
        ("a listed file is a symbolic link", b'2'),
        ("a listed file is a hard link", b'1'),
        ("a listed file is a device", b'3'),
        ("a listed file is sparse", b'S'),
    ] {
        all.push(trick(name, Refuse, move |r, d| {
            let path = *d.pick(&LISTED);
            let target = d.pick(&TARGETS).as_bytes().to_vec();
            let entry = r.entry(path);
            (entry.flag, entry.link) = (flag, target);
        }));
    }
    all.push(trick("a link and a file below it", Refuse, |r, _| {
        r.entries.insert(0, Entry::of_kind("web/js", b'2', "/canary/dir"));
    }));
    all.push(trick("folders more", MayPass, |r, d| {
        for name in ["./", "web/", "./web/js/", "web/empty"] {
            add(r, d, Entry { mode: 0o2755, ..Entry::of_kind(name, b'5', "") });
        }
    }));
    all.push(trick("a folder outside", Refuse, |r, d| {
        let name = *d.pick(&["../canary/made", "/canary/made", "web/../../canary/made"]);
        add(r, d, Entry::of_kind(name, b'5', ""));
    }));
    all.push(trick("a folder with content", Refuse, |r, d| add(r, d, Entry { flag: b'5', ..Entry::file("web/js", b"content") })));
}

fn names(all: &mut Vec<Trick>) {
    for name in [
        "../canary/planted",
        "/canary/planted",
        "web/../../canary/planted",
        "web/js/../../../../canary/planted",
        "./../canary/planted",
        "..",
        ".",
        "",
        "web//planted",
        "web/./planted",
        "web/planted/",
        "web/planted\n",
        "web/planted\u{1b}[2J",
        "web/..\\..\\planted",
        "web/.pikit-grave.x",
        "usr/bin/planted",
        "etc/pikit/updater.toml",
        ".web.pikit-00000000000000000000000000/planted",
    ] {
        all.push(trick(name, Refuse, move |r, d| add(r, d, Entry::file(name, b"planted"))));
    }
    all.push(trick("a name that is not UTF-8", Refuse, |r, d| add(r, d, Entry { name: b"web/\xff\xfe".to_vec(), ..Entry::file("", b"planted") })));
    all.push(trick("a part of 300 bytes", Refuse, |r, d| {
        let name = format!("web/{}\0", "n".repeat(300));
        add(r, d, Entry { before: extension(b'L', name.as_bytes()), ..Entry::file("web/nn", b"x") });
    }));
    all.push(trick("a path of 5,000 bytes", Refuse, |r, d| {
        let name = format!("web/{}x\0", "n/".repeat(2500));
        add(r, d, Entry { before: extension(b'L', name.as_bytes()), ..Entry::file("web/nn", b"x") });
    }));
    all.push(trick("a name with more behind its end", Refuse, |r, d| {
        add(r, d, Entry { name: b"web/index.html\0/../../canary".to_vec(), ..Entry::file("", b"x") })
    }));
    all.push(trick("a file with the name of a folder", Refuse, |r, d| r.entry(listed(d)).name.push(b'/')));
    all.push(trick("an old folder: a file's type, a slash", Refuse, |r, d| add(r, d, Entry { flag: 0, ..Entry::file("web/js/", b"") })));
    all.push(trick("names that begin with ./", MayPass, |r, _| r.entries.iter_mut().for_each(|e| e.name.splice(0..0, *b"./").for_each(drop))));
}

fn headers(all: &mut Vec<Trick>) {
    for (name, bit) in [("setuid", 0o4000), ("setgid", 0o2000), ("sticky", 0o1000), ("all three bits", 0o7000)] {
        all.push(trick(name, Refuse, move |r, d| r.entry(listed(d)).mode |= bit));
    }
    all.push(trick("mode 0777", MayPass, |r, d| r.entry(listed(d)).mode = 0o777));
    all.push(trick("a wrong checksum", Refuse, |r, d| r.entry(listed(d)).unsummed = true));
    for (name, at, with) in [
        ("a negative size", 124, &[0xff; 12][..]),
        ("a binary size", 124, b"\x80\0\0\0\0\0\0\0\0\0\x02\xbc"),
        ("the largest binary size", 124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"),
        ("the largest octal size", 124, b"777777777777"),
        ("a size with a sign", 124, b"-0000000700\0"),
        ("a size of spaces", 124, b"            "),
        ("a size of zero", 124, b"00000000000\0"),
        ("a size that is too large", 124, b"00000200000\0"),
        ("a size that is too small", 124, b"00000000010\0"),
        ("a mode of letters", 100, b"rwxr-xr-"),
        ("no format", 257, &[0; 8]),
        ("another version of the format", 263, b"99"),
        ("star's mark", 508, b"tar\0"),
        ("a prefix that leads out", 345, b"../../canary"),
        ("an absolute prefix", 345, b"/canary"),
        ("a file with a link's target", 157, b"/canary/secret"),
    ] {
        all.push(trick(name, Refuse, move |r, d| spoil(r, d, at, with)));
    }
    for (name, at, with) in [
        ("a mode with the type of the file", 100, &b"0100644\0"[..]),
        ("numbers with spaces", 100, b"   644 \0"),
        ("a binary owner", 108, &[0xff; 8]),
        ("a user's name", 265, b"root"),
    ] {
        all.push(trick(name, MayPass, move |r, d| spoil(r, d, at, with)));
    }
}

fn extensions(all: &mut Vec<Trick>) {
    for (key, value) in [
        ("path", "/canary/planted"),
        ("path", "web/index.html"),
        ("linkpath", "/canary/secret"),
        ("size", "1"),
        ("size", "18446744073709551615"),
        ("uid", "0"),
        ("gid", "0"),
        ("uname", "root"),
        ("hdrcharset", "BINARY"),
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.name", "/canary/planted"),
        ("GNU.sparse.realsize", "99999999999999"),
        ("GNU.sparse.map", "0,1,99999999999,1"),
        ("SCHILY.xattr.security.capability", "x"),
        ("SCHILY.acl.access", "user::rwx"),
        ("LIBARCHIVE.symlinktype", "dir"),
        ("RHT.security.selinux", "x"),
        ("VENDOR.anything", "x"),
    ] {
        all.push(trick(key, Refuse, move |r, d| before(r, d, &extension(b'x', &record(key, value)))));
    }
    all.push(trick("pax times and a comment", MayPass, |r, d| {
        let records = [record("mtime", "1795000000.123"), record("atime", "1"), record("comment", "path=/canary")].concat();
        before(r, d, &extension(b'x', &records));
    }));
    all.push(trick("a pax header for all", Refuse, |r, d| {
        let key = *d.pick(&["path", "comment", "size"]);
        before(r, d, &extension(b'g', &record(key, "1")));
    }));
    all.push(trick("pax of Solaris", Refuse, |r, d| before(r, d, &extension(b'X', &record("path", "/canary/planted")))));
    for (name, content) in [
        ("a pax length that is too long", &b"99999 mtime=1\n"[..]),
        ("a pax length that overflows", b"99999999999999999999999 mtime=1\n"),
        ("a pax length of nothing", b" mtime=1\n"),
        ("a pax length that is too short", b"3 mtime=1\n"),
        ("pax without a value", b"9 mtime1\n"),
        ("pax with rubbish", b"\xff\xfe\xfd"),
    ] {
        all.push(trick(name, Refuse, move |r, d| before(r, d, &extension(b'x', content))));
    }
    all.push(trick("a pax header of 4 MiB", Refuse, |r, d| before(r, d, &extension(b'x', &record("comment", &"c".repeat(4 << 20))))));
    all.push(trick("two pax headers", Refuse, |r, d| {
        let one = extension(b'x', &record("mtime", "1"));
        before(r, d, &[one.clone(), one].concat());
    }));
    all.push(trick("a long name of 64 MiB", Refuse, |r, d| before(r, d, &extension(b'L', &vec![b'n'; 64 << 20]))));
    all.push(trick("two long names", Refuse, |r, d| before(r, d, &[extension(b'L', b"web/a\0"), extension(b'L', b"/canary/planted\0")].concat())));
    all.push(trick("a long name and a pax header", Refuse, |r, d| {
        let two = [extension(b'L', b"web/index.html\0"), extension(b'x', &record("mtime", "1"))];
        let two = if d.below(2) == 0 { two.concat() } else { [two[1].clone(), two[0].clone()].concat() };
        before(r, d, &two);
    }));
    for name in ["/canary/planted\0", "../canary/planted\0", "web/index.html\0/canary\0", "\0"] {
        all.push(trick("a long name that leads out", Refuse, move |r, d| before(r, d, &extension(b'L', name.as_bytes()))));
    }
    all.push(trick("a long link", Refuse, |r, d| before(r, d, &extension(b'K', b"/canary/secret\0"))));
    all.push(trick("a thousand headers in a row", Refuse, |r, d| before(r, d, &extension(b'L', b"web/index.html\0").repeat(1000))));
    all.push(trick("a thousand folders in a row", MayPass, |r, _| {
        r.entries.splice(0..0, (0..1000).map(|i| Entry::of_kind(&format!("web/f{i}"), b'5', ""))).for_each(drop);
    }));
    all.push(trick("a header that describes nothing", Refuse, |r, _| r.end.splice(0..0, extension(b'L', b"web/x\0")).for_each(drop)));
}

fn order(all: &mut Vec<Trick>) {
    all.push(trick("shuffled", MayPass, |r, d| {
        for i in (1..r.entries.len()).rev() {
            r.entries.swap(i, d.below(i + 1));
        }
    }));
    all.push(trick("the manifest last", MayPass, |r, _| r.manifest_at = usize::MAX));
    all.push(trick("an entry twice", Refuse, |r, d| {
        let again = r.entry(listed(d)).clone();
        add(r, d, again);
    }));
    all.push(trick("an entry twice, the second differs", Refuse, |r, d| {
        let path = *d.pick(&LISTED);
        r.entries.push(Entry::file(path, b"another content"));
    }));
    all.push(trick("an entry twice, once with ./", Refuse, |r, d| {
        let mut again = r.entry(listed(d)).clone();
        again.name.splice(0..0, *b"./").for_each(drop);
        add(r, d, again);
    }));
    all.push(trick("another manifest behind the first", Refuse, |r, d| {
        let other = manifest(&[Listed { path: "web/index.html".into(), content: b"other".to_vec(), mode: 0o4755 }]);
        add(r, d, Entry::file("manifest.json", other.as_bytes()));
    }));
    all.push(trick("an entry that is not listed", Refuse, |r, d| add(r, d, Entry::file("web/unlisted.js", b"unlisted"))));
    all.push(trick("an entry is missing", MayPass, |r, d| {
        let path = *d.pick(&LISTED);
        r.entries.retain(|e| e.name != path.as_bytes());
    }));
    all.push(trick("two contents exchanged", Refuse, |r, _| {
        let one = r.entry("web/index.html").content.clone();
        let other = std::mem::replace(&mut r.entry("api.py").content, one);
        r.entry("web/index.html").content = other;
    }));
    all.push(trick("a byte of a content changed", Refuse, |r, d| {
        let entry = r.entry(listed(d));
        let at = d.below(entry.content.len());
        entry.content[at] ^= 1;
    }));
    all.push(trick("a content that is longer", Refuse, |r, d| r.entry(listed(d)).content.extend_from_slice(b"more")));
    all.push(trick("a content of 100 MB", Refuse, |r, d| r.entry(listed(d)).content = vec![b'x'; 100 << 20]));
    all.push(trick("a stranger of 200 MB", Refuse, |r, d| add(r, d, Entry::file("web/bomb", &vec![0; 200 << 20]))));
    all.push(trick("no end", Refuse, |r, _| r.end.clear()));
    all.push(trick("half an end", Refuse, |r, _| r.end.truncate(BLOCK)));
    all.push(trick("a padded end", MayPass, |r, _| {
        if r.end.len() >= 2 * BLOCK {
            r.end.extend_from_slice(&[0; 9216]);
        }
    }));
    all.push(trick("something behind the end", Refuse, |r, _| r.end.extend_from_slice(b"something")));
    all.push(trick("an entry behind the end", Refuse, |r, _| r.end.extend_from_slice(&Entry::file("web/late", b"late").bytes())));
    all.push(trick("an entry behind half an end", Refuse, |r, _| {
        let at = r.end.len().min(BLOCK);
        r.end.splice(at..at, Entry::file("web/late", b"late").bytes()).for_each(drop);
    }));
    all.push(trick("a gigabyte of nothing behind the end", Refuse, |r, _| {
        r.after.push(Box::new(|bytes| [bytes, gzip(&vec![0; 64 << 20], 1, None).repeat(16)].concat()))
    }));
}

fn compressed(all: &mut Vec<Trick>) {
    all.push(trick("cut off", Refuse, |r, d| {
        let share = d.below(1000);
        r.after.push(Box::new(move |mut bytes| {
            bytes.truncate((bytes.len() * share / 1000).min(bytes.len() - 1));
            bytes
        }));
    }));
    all.push(trick("a byte less", Refuse, |r, _| {
        r.after.push(Box::new(|mut bytes| {
            bytes.pop();
            bytes
        }));
    }));
    all.push(trick("a bit flipped", MayPass, |r, d| {
        let (at, bit) = (d.next() as usize, d.below(8));
        r.after.push(Box::new(move |mut bytes| {
            let len = bytes.len();
            bytes[at % len] ^= 1 << bit;
            bytes
        }));
    }));
    all.push(trick("a piece repeated", MayPass, |r, d| {
        let at = d.next() as usize;
        r.after.push(Box::new(move |mut bytes| {
            let at = at % bytes.len();
            let piece = bytes[at..(at + 100).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece).for_each(drop);
            bytes
        }));
    }));
    all.push(trick("noise", Refuse, |r, d| {
        let mut dice = Dice::new(d.next());
        let noise: Vec<u8> = (0..5000).map(|_| dice.next() as u8).collect();
        r.after.push(Box::new(move |_| noise.clone()));
    }));
    all.push(trick("nothing at all", Refuse, |r, _| r.after.push(Box::new(|_| Vec::new()))));
    all.push(trick("a second bundle behind it", Refuse, |r, _| r.after.push(Box::new(|bytes| bytes.repeat(2)))));
    all.push(trick("rubbish behind it", Refuse, |r, _| r.after.push(Box::new(|bytes| [&bytes[..], b"rubbish"].concat()))));
    all.push(trick("zeros behind it", MayPass, |r, _| r.after.push(Box::new(|bytes| [&bytes[..], &[0; 700]].concat()))));
    all.push(trick("a few empty members", MayPass, |r, _| r.after.push(Box::new(|bytes| [bytes, gzip(b"", 6, None).repeat(3)].concat()))));
    all.push(trick("a hundred thousand empty members", Refuse, |r, _| r.after.push(Box::new(|bytes| [bytes, gzip(b"", 6, None).repeat(100_000)].concat()))));
    all.push(trick("empty members first", Refuse, |r, _| r.after.push(Box::new(|bytes| [gzip(b"", 6, None).repeat(1000), bytes].concat()))));
    all.push(trick("no gzip", Refuse, |r, _| {
        let plain: Vec<u8> = r.entries.iter().flat_map(Entry::bytes).collect();
        r.after.push(Box::new(move |_| plain.clone()));
    }));
    all.push(trick("cut into members anywhere", MayPass, |r, d| r.cuts = Some((0..20).map(|_| d.next() as usize).collect())));
    all.push(trick("one member", MayPass, |r, _| r.cuts = Some(Vec::new())));
    all.push(trick("not compressed", MayPass, |r, _| r.level = 0));
    all.push(trick("gzip with a name", MayPass, |r, _| r.gz_name = Some(b"../../canary/planted".to_vec())));
    all.push(trick("gzip with an endless name", Refuse, |r, _| {
        r.after.push(Box::new(|bytes| [&b"\x1f\x8b\x08\x08\0\0\0\0\0\xff"[..], &vec![b'n'; 8 << 20], &bytes].concat()));
    }));
}

fn described(all: &mut Vec<Trick>) {
    for path in ["../canary/planted", "/canary/planted", "web/../../canary/planted", "web//x", "web/x\u{7}", "web/index.html/x", "WEB/index.html"] {
        all.push(trick("the manifest lists a path that leads out", Refuse, move |r, _| {
            relist(r, |l| l.push(Listed { path: path.into(), content: b"planted".to_vec(), mode: 0o644 }));
            r.entries.push(Entry::file(path, b"planted"));
        }));
    }
    all.push(trick("the manifest lists a file twice", Refuse, |r, _| relist(r, |l| l.push(l[0].clone()))));
    all.push(trick("the manifest lists setuid", Refuse, |r, d| {
        let bit = *d.pick(&[0o4755, 0o2755, 0o1755]);
        relist(r, move |l| l[0].mode = bit);
    }));
    all.push(trick("the manifest lists an absurd size", Refuse, |r, _| rewrite(r, "\"size\":5000", "\"size\":18446744073709551615")));
    all.push(trick("the manifest lies about a size", MayPass, |r, _| rewrite(r, "\"size\":700", "\"size\":7")));
    all.push(trick("the manifest names another product", Refuse, |r, _| rewrite(r, "\"product\":\"pikit\"", "\"product\":\"other\"")));
    all.push(trick("a program of another machine", Refuse, |r, _| {
        let mut program = vec![0; 200];
        program[..7].copy_from_slice(b"\x7fELF\x02\x02\x01");
        (program[17], program[19], program[30]) = (2, 22, 1);
        r.entry("api.py").content = program.clone();
        relist(r, move |l| l[3].content = program.clone());
    }));
}
