//! What comes out of an archive, and the tricks that do not.

use super::*;

/// A header with this name and type flag; `then` may spoil it before its checksum is made.
fn header(name: &str, flag: u8, size: u64, then: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_size(size);
    header.set_mode(0o644);
    header.as_mut_bytes()[156] = flag;
    then(header.as_mut_bytes());
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn with_content(mut header: Vec<u8>, content: &[u8]) -> Vec<u8> {
    header.extend_from_slice(content);
    header.resize(header.len().next_multiple_of(BLOCK), 0);
    header
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    with_content(header(name, b'0', content.len() as u64, |_| ()), content)
}

fn extension(flag: u8, content: &[u8]) -> Vec<u8> {
    with_content(header("extension", flag, content.len() as u64, |_| ()), content)
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    extension(b'x', &records.iter().flat_map(|(key, value)| pax_record(key, value)).collect::<Vec<u8>>())
}

fn pax_record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let length = (1..).find(|n: &usize| n.to_string().len() + rest.len() == *n).unwrap();
    format!("{length}{rest}").into_bytes()
}

fn names(parts: &[Vec<u8>]) -> Result<Vec<String>, String> {
    let bytes = [parts.concat(), vec![0; 2 * BLOCK]].concat();
    read(&bytes)
}

fn read(bytes: &[u8]) -> Result<Vec<String>, String> {
    let mut archive = Archive::new(bytes, false);
    let mut names = Vec::new();
    loop {
        match archive.next() {
            Ok(None) => return Ok(names),
            Ok(Some(plain)) => names.push(plain.path.to_string()),
            Err(Fault::Bad(words)) => return Err(words),
            Err(Fault::Read(e)) => return Err(format!("reading: {e}")),
        }
    }
}

#[test]
fn ordinary_archives_are_read() {
    let long = "a/".repeat(60) + "b";
    let folder = header("./web/", b'5', 0, |h| h[100..107].copy_from_slice(b"0002755"));
    let parts = [
        header("./", b'5', 0, |_| ()),
        folder,
        file("./web/index.html", &[1; 700]),
        pax(&[("mtime", "1732570000.25"), ("comment", "hello")]),
        file("plain", b""),
        extension(b'L', format!("{long}\0").as_bytes()),
        file(&long[..100], b"x"),
        with_content(header("old", 0, 1, |_| ()), b"x"),
        with_content(header("name", b'0', 1, |h| h[345..351].copy_from_slice(b"prefix")), b"x"),
        with_content(header("gnu", b'0', 1, |h| h[257..265].copy_from_slice(b"ustar  \0")), b"x"),
    ];
    assert_eq!(names(&parts).unwrap(), ["web/index.html", "plain", &long, "old", "prefix/name", "gnu"]);
    // tar pads to records
    assert_eq!(read(&[file("a", b"x"), vec![0; 10_240]].concat()).unwrap(), ["a"]);
}

#[test]
fn each_trick_is_refused_with_words_that_name_it() {
    let spoiled = |at: usize, with: &[u8]| with_content(header("x", b'0', 1, |h| h[at..at + with.len()].copy_from_slice(with)), b"x");
    let flag = |flag: u8| header("x", flag, 0, |_| ());
    let long = |name: &[u8]| extension(b'L', name);
    let plain = || file("x", b"x");
    let tricks: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("4755 has the setuid", vec![spoiled(100, b"0004755\0")]),
        ("setgid", vec![spoiled(100, b"0002644\0")]),
        ("sticky", vec![spoiled(100, b"0001644\0")]),
        ("mode is not written in octal", vec![spoiled(100, b"rw-r--r-")]),
        ("a symbolic link", vec![flag(b'2')]),
        ("a hard link", vec![flag(b'1')]),
        ("a device", vec![flag(b'3')]),
        ("a device", vec![flag(b'4')]),
        ("a pipe", vec![flag(b'6')]),
        ("no plain file", vec![flag(b'7')]),
        ("a sparse file", vec![flag(b'S')]),
        ("the table of a folder", vec![flag(b'D')]),
        ("a file of another archive", vec![flag(b'M')]),
        ("the label of a tape", vec![flag(b'V')]),
        ("a long target", vec![extension(b'K', b"/etc/shadow\0"), plain()]),
        ("everything that follows", vec![extension(b'g', &pax_record("comment", "x")), plain()]),
        ("overrides \"path\"", vec![pax(&[("mtime", "1"), ("path", "/etc/shadow")]), plain()]),
        ("overrides \"size\"", vec![pax(&[("size", "1")]), plain()]),
        ("overrides \"linkpath\"", vec![pax(&[("linkpath", "y")]), plain()]),
        ("overrides \"uid\"", vec![pax(&[("uid", "0")]), plain()]),
        ("overrides \"GNU.sparse.major\"", vec![pax(&[("GNU.sparse.major", "1")]), plain()]),
        ("overrides \"SCHILY.xattr.security.capability\"", vec![pax(&[("SCHILY.xattr.security.capability", "x")]), plain()]),
        ("overrides \"hdrcharset\"", vec![pax(&[("hdrcharset", "BINARY")]), plain()]),
        ("pax header that is damaged", vec![pax(&[("mtime", "1"), ("mtime", "2")]), plain()]),
        ("pax header that is damaged", vec![extension(b'x', b"99 mtime=1\n"), plain()]),
        ("pax header that is damaged", vec![extension(b'x', b"011 mtime=1\n"), plain()]),
        ("pax header that is damaged", vec![extension(b'x', b"3 mtime=1\n"), plain()]),
        ("pax header that is damaged", vec![extension(b'x', b"18446744073709551615 mtime=1\n"), plain()]),
        ("a pax header of", vec![extension(b'x', &pax_record("comment", &"x".repeat(20_000))), plain()]),
        ("two pax headers", vec![pax(&[("mtime", "1")]), pax(&[("mtime", "1")]), plain()]),
        ("two long names", vec![long(b"y\0"), long(b"z\0"), plain()]),
        ("GNU's long name and a pax header", vec![long(b"y\0"), pax(&[("mtime", "1")]), plain()]),
        ("GNU's long name and a pax header", vec![pax(&[("mtime", "1")]), long(b"y\0"), plain()]),
        ("goes on behind its end", vec![long(b"y\0/etc/shadow\0"), plain()]),
        ("empty", vec![long(b"\0"), plain()]),
        ("is absolute", vec![long(b"/etc/shadow\0"), plain()]),
        ("describes the next entry", vec![long(b"y\0")]),
        ("the name of a folder", vec![file("x/", b"x")]),
        ("the name of a folder", vec![file("x/", b"")]),
        ("the target of a link", vec![spoiled(157, b"/etc/shadow")]),
        ("a folder with", vec![with_content(header("x", b'5', 1, |_| ()), b"x")]),
        ("part . or ..", vec![header("x/../..", b'5', 0, |_| ())]),
        ("part . or ..", vec![file("../x", b"x")]),
        ("is absolute", vec![file("/x", b"x")]),
        ("empty part", vec![file("a//x", b"x")]),
        ("control character", vec![file("a\nx", b"x")]),
        ("not UTF-8", vec![spoiled(0, b"\xff")]),
        ("behind its end", vec![spoiled(0, b"x\0y")]),
        ("behind its end", vec![spoiled(345, b"x\0y")]),
        ("octal digits", vec![spoiled(124, &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])]),
        ("octal digits", vec![spoiled(124, &[0xff; 12])]),
        ("octal digits", vec![spoiled(124, b"-0000000001\0")]),
        ("neither ustar nor GNU's", vec![spoiled(257, &[0; 8])]),
        ("neither ustar nor GNU's", vec![spoiled(263, b"01")]),
        ("where there should be nothing", vec![spoiled(508, b"tar\0")]),
        (
            "where there should be nothing",
            vec![spoiled(257, b"ustar  \0"), plain()]
                .into_iter()
                .map(|mut h| {
                    h[345] = b'x';
                    resum(h)
                })
                .collect(),
        ),
        (
            "wrong checksum",
            vec![plain()]
                .into_iter()
                .map(|mut h| {
                    h[0] = b'y';
                    h
                })
                .collect(),
        ),
    ];
    for (words, parts) in tricks {
        let said = names(&parts).expect_err(words);
        assert!(said.contains(words), "{words:?} is not in {said:?}");
    }
}

fn resum(mut entry: Vec<u8>) -> Vec<u8> {
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(&entry[..BLOCK]);
    header.set_cksum();
    entry[..BLOCK].copy_from_slice(header.as_bytes());
    entry
}

#[test]
fn nothing_stands_behind_the_end_and_the_end_is_there() {
    let one = file("a", b"x");
    for (words, bytes) in [
        ("behind its end marker", [one.clone(), vec![0; BLOCK], file("b", b"x"), vec![0; 2 * BLOCK]].concat()),
        ("behind its end marker", [one.clone(), vec![0; 2 * BLOCK], file("b", b"x"), vec![0; 2 * BLOCK]].concat()),
        ("behind its end marker", [one.clone(), vec![0; 9000], vec![1]].concat()),
        ("end marker is missing", one.clone()),
        ("end marker is missing", [one.clone(), vec![0; BLOCK]].concat()),
        ("cut off", one[..700].to_vec()),
        ("cut off", one[..513].to_vec()),
        ("cut off", one[..100].to_vec()),
    ] {
        let said = read(&bytes).expect_err(words);
        assert!(said.contains(words), "{words:?} is not in {said:?}");
    }
}
