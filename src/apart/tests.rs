//! What a process that was taken over could say: every message is cut, lengthened and changed, contents come in the wrong order and
//! in the wrong amount. Nothing of it is believed, and all of it has an end.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::Read;

use super::frame::{Lie, Pack};
use super::helper::lied;
use super::intake::{self, Answers};
use super::patch_words;
use super::words::{self, Kind};
use crate::error::{Code, Error, Result};
use crate::release::Digest;
use crate::release::bundle::Head;
use crate::release::chunks::Id;
use crate::release::manifest::SignedStep;
use crate::release::patch::Stretch;
use crate::source::steps::STEPS_MAX;
use crate::source::{
    Access, Bits, BundleRef, Candidate, Chunked, Earlier, Inside, Line, Loose, Making, Place, Span, Start, Tally, Taste, Token, Unpacked, Verdict, Wanted,
};

fn head(path: &str, size: u64) -> Head {
    Head { path: crate::release::ReleasePath::new(path).unwrap(), size, mode: 0o644, member: Some(7) }
}

fn step() -> SignedStep {
    SignedStep { signed: "{}".into(), signatures: "sig".into() }
}

fn a_line() -> Line {
    Line {
        place: Place::Gitea("owner/kit".into()),
        base: "https://git.lan".into(),
        taste: Taste { product: "pikit".into(), channel: "stable".into() },
        access: Access { token: Token::new("s3cret"), authorities: Some(("/ca.pem".into(), b"pem".to_vec())), allow_http: true },
        limits: crate::device::settings::Download { timeout: std::time::Duration::from_millis(400), min_speed: 1024, limit_rate: 0 },
    }
}

#[test]
fn what_is_said_is_understood() {
    assert_eq!(words::line(&words::pack_line(&a_line())).unwrap(), a_line());
    let wanted = Wanted::Exact("1.2.3".parse().unwrap());
    assert_eq!(words::find(&words::pack_find(&wanted, "memory")).unwrap(), (wanted, "memory"));
    let bundle = BundleRef { at: "https://git.lan/b".into(), size: Some(3) };
    for span in [Span::ALL, Span::Rest { from: 9, validator: Some("tag") }, Span::Run { before_end: 7, length: 3 }] {
        assert_eq!(words::unpack(&words::pack_unpack(&bundle, span)).unwrap(), (bundle.clone(), span));
    }
    let (mut wanted, here) = (Bits::default(), Bits(vec![1, 2]));
    wanted.set(70);
    assert!(wanted.has(70) && !wanted.has(69) && !wanted.has(7000));
    assert_eq!(patch_words::patch(&patch_words::pack_patch(&bundle, &wanted, &here)).unwrap(), (bundle.clone(), wanted, here));
    let loose: Vec<Loose> = (0..300u32).map(|n| Loose { file: n / 7 * 3, length: n + 4000, id: Id([n as u8; 6]) }).collect();
    let (order, files, here) = (Chunked { index: 8, index_sha256: Digest::of(b"index"), limit: u64::MAX, loose }, Bits(vec![4]), Bits(vec![]));
    let packed = patch_words::pack_chunks(&bundle, &order, &files, &here);
    assert_eq!(patch_words::chunks(&packed).unwrap(), (bundle.clone(), order.clone(), files.clone(), here.clone()));
    assert!(patch_words::chunks(&packed[..packed.len() - 1]).is_err());
    // of a list that is too long the start is said, and what comes is no larger than it may be
    let order = Chunked { loose: order.loose.iter().cycle().take(1_000_000).map(|c| Loose { file: 5, ..*c }).collect(), ..order };
    let packed = patch_words::pack_chunks(&bundle, &order, &files, &here);
    assert!(packed.len() < Kind::Chunks.most() && patch_words::chunks(&packed).unwrap().1.loose.len() > 400_000);
    let tally = Tally { requests: 3, bytes: 4 };
    assert_eq!(words::tally(&words::pack_tally(tally)).unwrap(), tally);
    assert_eq!(patch_words::made(&patch_words::pack_made(7, 8, 9)).unwrap(), (7, 8, 9));
    let stretch = Stretch { file: 1, offset: 2, length: 3 };
    assert_eq!(patch_words::lacks(&patch_words::pack_lacks(&stretch)).unwrap(), stretch);
    assert!(patch_words::lacks(&patch_words::pack_lacks(&Stretch { length: 3 << 20, ..stretch })).is_err());
    assert_eq!(words::unpack_this(&words::pack_unpack_this(5, Some(6))).unwrap(), (5, Some(6)));
    assert_eq!(words::found(words::pack_found(&bundle, &["note".into()], "m".into())).unwrap(), (bundle, vec!["note".into()], "m".into()));
    let start = Start { start: 1, total: Some(2), validator: Some("tag".into()) };
    assert_eq!(words::start(&words::pack_start(&start)).unwrap(), start);
    assert_eq!(words::entry(&words::pack_entry(&head("a/b", 5), 11)).unwrap(), (head("a/b", 5), 11));
    let inside = Inside { manifest: b"{}".to_vec(), signature: Some(b"sig".to_vec()), steps: vec![step()] };
    assert_eq!(words::is_inside(&words::pack_inside_answer(&inside)).unwrap(), inside);
    let manifest = br#"{"version":"1.0.0","files":[]}"#;
    for verdict in [Verdict::NotForUs("1.0.0".parse().unwrap()), Verdict::Wrong(Error::verification("no").hint("try"))] {
        assert_eq!(format!("{:?}", words::verdict(&words::pack_verdict(&verdict), manifest).unwrap()), format!("{verdict:?}"));
    }
    let taken = Verdict::Take(Box::new(crate::release::Manifest::parse(manifest).unwrap()));
    assert!(matches!(words::verdict(&words::pack_verdict(&taken), manifest), Ok(Verdict::Take(_))));
    let long = Error::source_failed("ü".repeat(100_000));
    assert!(words::error(&words::pack_error(&long)).unwrap().message().len() <= 8 << 10);
}

#[test]
fn a_message_that_is_cut_or_has_something_behind_it_is_none() {
    let (tag, steps) = ("1.0.0".parse().unwrap(), [step()]);
    let shown =
        Candidate { name: "it", manifest: b"{}", signature: Some(b"s"), tag: Some(&tag), flagged: true, handed: false, look_only: false, steps: &steps };
    let inside = Inside { manifest: b"{}".to_vec(), signature: None, steps: vec![step()] };
    type Read = fn(&[u8]) -> bool;
    let table: [(Vec<u8>, Read); 6] = [
        (words::pack_shown(&shown), |b| words::shown(b).is_ok()),
        (words::pack_inside_answer(&inside), |b| words::is_inside(b).is_ok()),
        (words::pack_error(&Error::source_failed("x").hint("y")), |b| words::error(b).is_ok()),
        (words::pack_start(&Start { start: 0, total: Some(1), validator: None }), |b| words::start(b).is_ok()),
        (words::pack_entry(&head("a", 1), 1), |b| words::entry(b).is_ok()),
        (words::pack_found(&BundleRef { at: "x".into(), size: None }, &["n".into()], "m".into()), |b| words::found(b.to_vec()).is_ok()),
    ];
    for (n, (whole, read)) in table.into_iter().enumerate() {
        assert!(read(&whole), "{n}");
        for cut in 0..whole.len() {
            assert!(!read(&whole[..cut]), "{n} cut at {cut}");
        }
        assert!(!read(&[&whole[..], &[0]].concat()), "{n}");
    }
}

#[test]
fn words_that_lead_somewhere_else_are_refused() {
    let entry = |path: &str, size: u64, mode: u64| words::entry(&Pack::default().text(path).number(size).number(mode).flag(false).number(0).0);
    assert!(entry("a/b", 5, 0o755).is_ok());
    for path in ["../x", "/etc/passwd", "a/../../x", "", "a//b", "."] {
        assert_eq!(entry(path, 5, 0o644).unwrap_err(), Lie("a path leads somewhere else"), "{path}");
    }
    for mode in [0o4755, 0o777, 1 << 40] {
        assert!(entry("a", 5, mode).is_err(), "{mode:o}");
    }
    assert_eq!(entry("a", u64::MAX, 0o644).unwrap_err(), Lie("a size is beyond belief"));
    let bad = Pack::default().bytes(b"\xff").number(1).number(0o644).flag(false).number(0);
    assert_eq!(words::entry(&bad.0).unwrap_err(), Lie("a text is not UTF-8"));
    assert!(words::start(&Pack::default().number(u64::MAX).flag(false).flag(false).0).is_err());
    // rolled back, stuck, busy: endings that only the root side has
    for code in [0u64, 6, 7, 8, 11, 1 << 40] {
        assert!(words::error(&Pack::default().number(code).text("x").flag(false).0).is_err(), "{code}");
    }
    assert!(words::the_steps(&words::pack_steps(&vec![step(); STEPS_MAX])).is_ok());
    assert!(words::the_steps(&words::pack_steps(&vec![step(); STEPS_MAX + 1])).is_err());
    assert!(words::the_steps(&Pack::default().number(u64::MAX).0).is_err());
    assert!(words::found(Pack::default().text("x").flag(false).number(1 << 40).0).is_err());
    // a verdict without the manifest it is about
    assert!(words::verdict(&[0, 0], b"{").is_err());
}

#[test]
fn every_kind_has_a_number_and_a_bound() {
    for number in 0..=u8::MAX {
        if let Some(kind) = Kind::of(number) {
            assert_eq!(kind as u8, number);
            assert!(kind.most() <= 64 << 20, "{kind:?}");
        }
    }
    assert!(Kind::of(0).is_none() && Kind::of(64).is_none() && Kind::of(255).is_none());
}

/// Answers from a list; one that is not its turn is a lie, as on the line.
struct Said(VecDeque<Answer>, Vec<u8>);

impl Answers for Said {
    fn next(&mut self, may: &[Kind]) -> Result<Kind> {
        let (kind, said) = self.0.pop_front().ok_or_else(|| Error::source_failed("gone"))?;
        self.1 = said;
        if may.contains(&kind) { Ok(kind) } else { Err(lied(Lie("something came that was not its turn"))) }
    }
    fn said(&self) -> &[u8] {
        &self.1
    }
    fn say(&mut self, _: Kind, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// Reads what it is given, or leaves it.
#[derive(Default)]
struct Taker {
    leaves: bool,
    got: Vec<(String, Vec<u8>)>,
}

impl Unpacked for Taker {
    fn start(&mut self, _: &Start) -> Result<u64> {
        Ok(0)
    }
    fn entry(&mut self, head: &Head, content: &mut dyn Read, _: &Cell<u64>) -> Result<()> {
        let mut bytes = Vec::new();
        if !self.leaves {
            content.read_to_end(&mut bytes).map_err(|e| crate::source::read_error(e, || "reading".into()))?;
        }
        self.got.push((head.path.to_string(), bytes));
        Ok(())
    }
}

/// A kind, and what it says.
type Answer = (Kind, Vec<u8>);

fn take(said: &[Answer], limit: u64, leaves: bool) -> (Result<u64>, Taker) {
    let mut taker = Taker { leaves, ..Taker::default() };
    let used = intake::entries(&mut Said(said.to_vec().into(), Vec::new()), limit, &mut taker);
    (used, taker)
}

fn entry(path: &str, size: u64) -> Answer {
    (Kind::Entry, words::pack_entry(&head(path, size), 1))
}

fn some(bytes: &[u8]) -> Answer {
    (Kind::Bytes, [&words::pack_used(2), bytes].concat())
}

fn end(used: u64) -> Answer {
    (Kind::End, used.to_le_bytes().to_vec())
}

#[test]
fn contents_come_whole_and_what_is_left_passes_by() {
    let said = [entry("a", 5), some(b"abc"), some(b"de"), entry("empty", 0), entry("b", 1), some(b"x"), end(99)];
    for leaves in [false, true] {
        let (used, taker) = take(&said, 10_000, leaves);
        assert_eq!(used.unwrap(), 99);
        let want = [("a", &b"abcde"[..]), ("empty", b""), ("b", b"x")];
        assert!(taker.got.iter().map(|(n, b)| (n.as_str(), b.as_slice())).eq(want.map(|(n, b)| (n, if leaves { &b""[..] } else { b }))));
    }
}

#[test]
fn contents_that_lie_are_refused_whether_they_are_read_or_left() {
    let table: [(&str, Vec<Answer>, Code); 9] = [
        ("more than was said", vec![entry("a", 2), some(b"abc")], Code::Source),
        ("more than was said, after all of it", vec![entry("a", 2), some(b"ab"), some(b"c")], Code::Source),
        ("less than was said", vec![entry("a", 4), some(b"abc"), entry("b", 1)], Code::Source),
        ("nothing at all", vec![entry("a", 4), some(b"")], Code::Source),
        ("the end within a content", vec![entry("a", 4), some(b"abc"), end(1)], Code::Source),
        ("a content without an entry", vec![some(b"abc")], Code::Source),
        ("gone", vec![entry("a", 4), some(b"abc")], Code::Source),
        ("more than the manifest accounts for", vec![entry("a", 9_000), some(&[0; 9_000]), entry("b", 9_000)], Code::Verification),
        ("files without content, for ever", (0..100).map(|n| entry(&format!("f{n}"), 0)).collect(), Code::Verification),
    ];
    for (what, said, code) in table {
        for leaves in [false, true] {
            let (used, _) = take(&said, 10_000, leaves);
            assert_eq!(used.expect_err(what).code, code, "{what}");
        }
    }
}

/// Has one content.
struct Kept;

impl Earlier for Kept {
    fn hand(&self, stretch: &Stretch, to: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if stretch.file == 0 { to(b"earlier") } else { Err(Error::source_failed("the patch needs what is not here")) }
    }
}

#[test]
fn what_a_patch_makes_is_what_was_asked_for_or_nothing() {
    let manifest =
        |size| format!(r#"{{"version":"1.0.0","files":[{{"path":"a","sha256":"{0}"}},{{"path":"b","sha256":"{0}","size":{size}}}]}}"#, "0".repeat(64));
    let manifest = crate::release::Manifest::parse(manifest(3).as_bytes()).unwrap();
    let mut wanted = Bits::default();
    wanted.set(1);
    let making = Making { files: &manifest.files, wanted, here: Bits::default(), earlier: &Kept };
    let made = |index, size| (Kind::Made, patch_words::pack_made(index, size, 0));
    let lacks = |file| (Kind::Lacks, patch_words::pack_lacks(&Stretch { file, offset: 0, length: 7 }));
    let bytes = |b: &[u8]| (Kind::Bytes, [&words::pack_used(1), b].concat());
    let end = || (Kind::End, 9u64.to_le_bytes().to_vec());
    let all = |answers: Vec<Answer>| {
        let mut taker = Taker::default();
        let result = intake::made(&mut Said(answers.into(), Vec::new()), &making, &mut taker);
        result.map(|used| (used, taker.got))
    };
    let (used, taken) = all(vec![made(1, 3), lacks(0), bytes(b"ab"), bytes(b"c"), end()]).unwrap();
    assert_eq!((used, taken), (9, vec![("b".to_owned(), b"abc".to_vec())]));
    // what will come is said once, and first
    let expect = || (Kind::Expect, 9u64.to_le_bytes().to_vec());
    assert!(all(vec![expect(), made(1, 3), bytes(b"abc"), end()]).is_ok());
    assert!(all(vec![expect(), expect(), made(1, 3), bytes(b"abc"), end()]).is_err());
    assert!(all(vec![made(1, 3), bytes(b"abc"), expect(), end()]).is_err());
    // not wanted; not in the list; of another size; longer; without an end; what is not here; out of turn
    assert!(all(vec![made(0, 3), bytes(b"abc"), end()]).is_err());
    assert!(all(vec![made(7, 3), bytes(b"abc"), end()]).is_err());
    assert!(all(vec![made(1, 4), bytes(b"abcd"), end()]).is_err());
    assert!(all(vec![made(1, 3), bytes(b"abcd"), end()]).is_err());
    assert!(all(vec![made(1, 3), bytes(b"ab")]).is_err());
    assert!(all(vec![made(1, 3), lacks(1), bytes(b"abc"), end()]).is_err());
    assert!(all(vec![lacks(0), end()]).is_err());
    assert!(all(vec![made(1, 3), lacks(0), lacks(0), bytes(b"abc"), end()]).is_err());
    assert!(all(vec![made(1, 3), made(1, 3)]).is_err());
}
