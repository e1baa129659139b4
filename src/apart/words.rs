//! What the two processes say to each other, each in one frame. The root side gives orders and verdicts; the process without privileges
//! gives bytes, and what it was told about them.

#![allow(missing_docs)] // each message is packed and unpacked by a pair of functions of its name

use semver::Version;

use super::frame::{Lie, Pack, Unpack};
pub use super::orders::*;
use super::patch_words;
use crate::error::{Code, Error};
use crate::release::ReleasePath;
use crate::release::bundle::Head;
use crate::release::manifest::{self, SignedStep};
use crate::source::steps::{self, STEPS_MAX, TEXT_MAX};
use crate::source::{BundleRef, Candidate, Inside, MEMORY_MAX, PEM_MAX, SIGNATURE_MAX, Start, Tally};

/// Longest text of an address, a name or a sentence, bytes.
pub(super) const SHORT: usize = 8 << 10;
/// Sentences about releases that were passed over, at most.
const NOTES_MAX: usize = 128;
/// Bytes of contents in one frame.
pub const CHUNK: usize = 64 << 10;
/// Bytes of a frame around its longest field.
const AROUND: usize = 64 << 10;
const MANIFEST: usize = manifest::SIZE_MAX as usize;
const SIGNATURE: usize = SIGNATURE_MAX as usize;

/// What comes next, from either side.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    // orders
    Speak = 1,
    Find,
    Judged,
    Unpack,
    Limit,
    Inside,
    UnpackThis,
    Steps,
    Patch,
    Earlier,
    Chunks,
    // answers
    Ready = 65,
    Shown,
    Found,
    Nothing,
    Failed,
    Began,
    Entry,
    Bytes,
    End,
    IsInside,
    TheSteps,
    Tallied,
    Made,
    Lacks,
    Expect,
}

impl Kind {
    const ALL: [Kind; 26] = [
        Kind::Speak,
        Kind::Find,
        Kind::Judged,
        Kind::Unpack,
        Kind::Limit,
        Kind::Inside,
        Kind::UnpackThis,
        Kind::Steps,
        Kind::Patch,
        Kind::Earlier,
        Kind::Chunks,
        Kind::Ready,
        Kind::Shown,
        Kind::Found,
        Kind::Nothing,
        Kind::Failed,
        Kind::Began,
        Kind::Entry,
        Kind::Bytes,
        Kind::End,
        Kind::IsInside,
        Kind::TheSteps,
        Kind::Tallied,
        Kind::Made,
        Kind::Lacks,
        Kind::Expect,
    ];

    /// The kind of this number.
    pub fn of(number: u8) -> Option<Self> {
        Kind::ALL.into_iter().find(|k| *k as u8 == number)
    }

    /// Longest frame of it, bytes.
    pub fn most(self) -> usize {
        // they came out of a manifest
        let all_steps = MANIFEST + STEPS_MAX * 8;
        match self {
            Kind::Limit | Kind::End | Kind::Expect => 8,
            Kind::UnpackThis | Kind::Tallied => 17,
            Kind::Made | Kind::Lacks => 24,
            Kind::Bytes => CHUNK + 8,
            Kind::Earlier => CHUNK,
            Kind::Speak => PEM_MAX + AROUND,
            Kind::Find | Kind::Nothing => MEMORY_MAX + AROUND,
            Kind::Found => MEMORY_MAX + NOTES_MAX * SHORT + AROUND,
            Kind::Steps => MANIFEST + AROUND,
            Kind::Chunks => patch_words::LOOSE_MAX + AROUND,
            Kind::TheSteps => all_steps + AROUND,
            Kind::Shown | Kind::IsInside => MANIFEST + SIGNATURE + all_steps + AROUND,
            Kind::Judged | Kind::Unpack | Kind::Patch | Kind::Inside | Kind::Ready | Kind::Failed | Kind::Began | Kind::Entry => AROUND,
        }
    }
}

/// Text that does not get longer than it may, cut where a character ends.
fn short(text: &str) -> &str {
    let end = (0..=text.len().min(SHORT)).rev().find(|n| text.is_char_boundary(*n));
    &text[..end.unwrap_or_default()]
}

/// Bytes of something. What is beyond all belief is refused, so that nobody who adds or multiplies has to think of it.
pub(super) fn size(p: &mut Unpack) -> Result<u64, Lie> {
    p.number().and_then(|n| if n <= 1 << 50 { Ok(n) } else { Err(Lie("a size is beyond belief")) })
}

/// What stands before some bytes of a content: how many compressed ones were used so far.
pub fn pack_used(used: u64) -> [u8; 8] {
    used.to_le_bytes()
}

/// The compressed bytes used so far, and the content if it may be that long.
pub fn content(payload: &[u8], left: u64) -> Result<(u64, &[u8]), Lie> {
    let mut p = Unpack(payload);
    let used = size(&mut p)?;
    if p.0.is_empty() || p.0.len() as u64 > left {
        return Err(Lie("a content has another length than was said"));
    }
    Ok((used, p.0))
}

pub(super) fn version(p: &mut Unpack) -> Result<Version, Lie> {
    Version::parse(p.text(SHORT)?).map_err(|_| Lie("a version is none"))
}

/// What was asked of a server so far.
pub fn pack_tally(tally: Tally) -> Vec<u8> {
    Pack::default().number(tally.requests).number(tally.bytes).0
}

pub fn tally(payload: &[u8]) -> Result<Tally, Lie> {
    let mut p = Unpack(payload);
    let tally = Tally { requests: size(&mut p)?, bytes: size(&mut p)? };
    p.end()?;
    Ok(tally)
}

/// The compressed bytes used in all.
pub fn end(payload: &[u8]) -> Result<u64, Lie> {
    let mut p = Unpack(payload);
    let used = size(&mut p)?;
    p.end()?;
    Ok(used)
}

pub fn pack_error(error: &Error) -> Vec<u8> {
    pack_error_into(Pack::default(), error).0
}

pub(super) fn pack_error_into(pack: Pack, error: &Error) -> Pack {
    pack.number(error.code as u64).text(short(&error.message())).maybe(error.hint.as_deref(), |p, h| p.text(short(h)))
}

pub fn error(payload: &[u8]) -> Result<Error, Lie> {
    let mut p = Unpack(payload);
    let error = error_from(&mut p)?;
    p.end()?;
    Ok(error)
}

/// An ending of the other side's choice, out of those that it can have.
pub(super) fn error_from(p: &mut Unpack) -> Result<Error, Lie> {
    let number = p.number()?;
    let known = [Code::Unexpected, Code::Usage, Code::Source, Code::Verification, Code::Refused, Code::Permission, Code::Cancelled];
    let code = known.into_iter().find(|c| *c as u64 == number).ok_or(Lie("an error has a number that it cannot have"))?;
    let error = Error::new(code, p.text(SHORT)?);
    Ok(match p.maybe(|p| p.text(SHORT))? {
        Some(hint) => error.hint(hint),
        None => error,
    })
}

pub fn pack_shown(shown: &Candidate) -> Vec<u8> {
    let tag = shown.tag.map(Version::to_string);
    let pack = Pack::default().text(short(shown.name)).bytes(shown.manifest).maybe(shown.signature, Pack::bytes).maybe(tag, |p, t| p.text(&t));
    pack_steps_into(pack.flag(shown.flagged).flag(shown.look_only), shown.steps).0
}

/// A candidate as it came.
pub struct Shown {
    name: String,
    pub manifest: Vec<u8>,
    pub signature: Option<Vec<u8>>,
    tag: Option<Version>,
    flagged: bool,
    pub look_only: bool,
    steps: Vec<SignedStep>,
}

impl Shown {
    pub fn candidate(&self) -> Candidate<'_> {
        Candidate {
            name: &self.name,
            manifest: &self.manifest,
            signature: self.signature.as_deref(),
            tag: self.tag.as_ref(),
            flagged: self.flagged,
            handed: false,
            look_only: self.look_only,
            steps: &self.steps,
        }
    }
}

pub fn shown(payload: &[u8]) -> Result<Shown, Lie> {
    let mut p = Unpack(payload);
    let (name, manifest) = (p.text(SHORT)?.to_owned(), p.bytes(MANIFEST)?.to_vec());
    let (signature, tag) = (p.maybe(|p| p.bytes(SIGNATURE))?.map(<[u8]>::to_vec), p.maybe(version)?);
    let shown = Shown { name, manifest, signature, tag, flagged: p.flag()?, look_only: p.flag()?, steps: steps_from(&mut p)? };
    p.end()?;
    Ok(shown)
}

pub fn pack_steps(steps: &[SignedStep]) -> Vec<u8> {
    pack_steps_into(Pack::default(), steps).0
}

fn pack_steps_into(pack: Pack, steps: &[SignedStep]) -> Pack {
    steps.iter().fold(pack.number(steps.len() as u64), |p, s| p.text(&s.signed).text(&s.signatures))
}

pub fn the_steps(payload: &[u8]) -> Result<Vec<SignedStep>, Lie> {
    let mut p = Unpack(payload);
    let steps = steps_from(&mut p)?;
    p.end()?;
    Ok(steps)
}

fn steps_from(p: &mut Unpack) -> Result<Vec<SignedStep>, Lie> {
    let count = p.number()?;
    let mut found = Vec::new();
    for _ in 0..count.min(STEPS_MAX as u64 + 1) {
        found.push(SignedStep { signed: p.text(TEXT_MAX)?.to_owned(), signatures: p.text(TEXT_MAX)?.to_owned() });
    }
    if steps::fit(&found) { Ok(found) } else { Err(Lie("there are more changes of keys than may be")) }
}

pub fn pack_found(bundle: &BundleRef, notes: &[String], memory: String) -> Vec<u8> {
    let notes = &notes[..notes.len().min(NOTES_MAX)];
    let pack = pack_bundle(Pack::default(), bundle).number(notes.len() as u64);
    notes.iter().fold(pack, |p, n| p.text(short(n))).last(memory.into_bytes()).0
}

pub fn found(mut payload: Vec<u8>) -> Result<(BundleRef, Vec<String>, String), Lie> {
    let mut p = Unpack(&payload);
    let (bundle, count) = (bundle(&mut p)?, p.number()?);
    if count > NOTES_MAX as u64 {
        return Err(Lie("there are more notes than may be"));
    }
    let notes = (0..count).map(|_| p.text(SHORT).map(str::to_owned)).collect::<Result<_, _>>()?;
    let memory = p.text(MEMORY_MAX)?.len();
    p.end()?;
    // it stands at the end, and stays where it is: it may be megabytes
    payload.drain(..payload.len() - memory);
    Ok((bundle, notes, text(payload)?))
}

pub fn text(payload: Vec<u8>) -> Result<String, Lie> {
    String::from_utf8(payload).map_err(|_| Lie("a text is not UTF-8"))
}

pub fn pack_start(start: &Start) -> Vec<u8> {
    Pack::default().number(start.start).maybe(start.total, Pack::number).maybe(start.validator.as_deref().filter(|v| v.len() <= SHORT), Pack::text).0
}

pub fn start(payload: &[u8]) -> Result<Start, Lie> {
    let mut p = Unpack(payload);
    let start = Start { start: size(&mut p)?, total: p.maybe(size)?, validator: p.maybe(|p| p.text(SHORT))?.map(str::to_owned) };
    p.end()?;
    Ok(start)
}

pub fn pack_entry(head: &Head, used: u64) -> Vec<u8> {
    Pack::default().text(head.path.as_str()).number(head.size).number(head.mode.into()).maybe(head.member, Pack::number).number(used).0
}

pub fn entry(payload: &[u8]) -> Result<(Head, u64), Lie> {
    let mut p = Unpack(payload);
    let path = ReleasePath::new(p.text(SHORT)?).map_err(|_| Lie("a path leads somewhere else"))?;
    let (bytes, mode) = (size(&mut p)?, p.number()?);
    let mode = u32::try_from(mode).ok().filter(|m| m & !0o755 == 0).ok_or(Lie("a mode has more than it may"))?;
    let (member, used) = (p.maybe(size)?, size(&mut p)?);
    p.end()?;
    Ok((Head { path, size: bytes, mode, member }, used))
}

pub fn pack_inside_answer(inside: &Inside) -> Vec<u8> {
    pack_steps_into(Pack::default().bytes(&inside.manifest).maybe(inside.signature.as_deref(), Pack::bytes), &inside.steps).0
}

pub fn is_inside(payload: &[u8]) -> Result<Inside, Lie> {
    let mut p = Unpack(payload);
    let (manifest, signature) = (p.bytes(MANIFEST)?.to_vec(), p.maybe(|p| p.bytes(SIGNATURE))?.map(<[u8]>::to_vec));
    let inside = Inside { manifest, signature, steps: steps_from(&mut p)? };
    p.end()?;
    Ok(inside)
}
