//! The orders of the root side: what is asked of the process without privileges, and the verdicts on what it shows.

#![allow(missing_docs)] // each message is packed and unpacked by a pair of functions of its name

use std::time::Duration;

use super::frame::{Lie, Pack, Unpack};
use super::words::{SHORT, error_from, pack_error_into, size, version};
use crate::device::settings::Download;
use crate::release::Manifest;
use crate::source::{Access, BundleRef, Line, MEMORY_MAX, PEM_MAX, Place, Span, Taste, Token, Verdict, Wanted};

pub fn pack_line(line: &Line) -> Vec<u8> {
    let repo = if let Place::Gitea(repo) = &line.place { Some(repo) } else { None };
    let (access, limits) = (&line.access, &line.limits);
    let pack = Pack::default().maybe(repo, |p, r| p.text(r)).text(&line.base).text(&line.taste.product).text(&line.taste.channel);
    let pack = pack.maybe(access.token.as_ref(), |p, t| p.text(t.secret())).maybe(access.authorities.as_ref(), |p, (n, b)| p.text(n).bytes(b));
    let ms = u64::try_from(limits.timeout.as_millis()).unwrap_or(u64::MAX);
    pack.flag(access.allow_http).number(ms).number(limits.min_speed).number(limits.limit_rate).0
}

pub fn line(payload: &[u8]) -> Result<Line, Lie> {
    let mut p = Unpack(payload);
    let place = p.maybe(|p| p.text(SHORT))?.map_or(Place::Folder, |repo| Place::Gitea(repo.to_owned()));
    let base = p.text(SHORT)?.to_owned();
    let taste = Taste { product: p.text(SHORT)?.to_owned(), channel: p.text(SHORT)?.to_owned() };
    let token = p.maybe(|p| Token::new(p.text(SHORT)?).ok_or(Lie("a token is none")))?;
    let authorities = p.maybe(|p| Ok((p.text(SHORT)?.to_owned(), p.bytes(PEM_MAX)?.to_vec())))?;
    let access = Access { token, authorities, allow_http: p.flag()? };
    let limits = Download { timeout: Duration::from_millis(p.number()?), min_speed: p.number()?, limit_rate: p.number()? };
    p.end()?;
    Ok(Line { place, base, taste, access, limits })
}

pub fn pack_find(wanted: &Wanted, memory: &str) -> Vec<u8> {
    let version = if let Wanted::Exact(version) = wanted { Some(version.to_string()) } else { None };
    Pack::default().maybe(version, |p, v| p.text(&v)).text(memory).0
}

pub fn find(payload: &[u8]) -> Result<(Wanted, &str), Lie> {
    let mut p = Unpack(payload);
    let wanted = p.maybe(version)?.map_or(Wanted::Best, Wanted::Exact);
    let memory = p.text(MEMORY_MAX)?;
    p.end()?;
    Ok((wanted, memory))
}

/// A verdict without the manifest: the other side has its bytes.
pub fn pack_verdict(verdict: &Verdict) -> Vec<u8> {
    let version = if let Verdict::NotForUs(version) = verdict { Some(version.to_string()) } else { None };
    let wrong = if let Verdict::Wrong(error) = verdict { Some(error) } else { None };
    Pack::default().maybe(version, |p, v| p.text(&v)).maybe(wrong, pack_error_into).0
}

/// The verdict on this manifest.
pub fn verdict(payload: &[u8], manifest: &[u8]) -> Result<Verdict, Lie> {
    let mut p = Unpack(payload);
    let (not_for_us, wrong) = (p.maybe(version)?, p.maybe(error_from)?);
    p.end()?;
    Ok(match (not_for_us, wrong) {
        (Some(version), _) => Verdict::NotForUs(version),
        (_, Some(error)) => Verdict::Wrong(error),
        (None, None) => Verdict::Take(Box::new(Manifest::parse(manifest).map_err(|_| Lie("a manifest was taken that is none"))?)),
    })
}

pub fn pack_unpack(bundle: &BundleRef, span: Span) -> Vec<u8> {
    let pack = pack_bundle(Pack::default(), bundle);
    match span {
        Span::Rest { from, validator } => pack.flag(true).number(from).maybe(validator, Pack::text).0,
        Span::Run { before_end, length } => pack.flag(false).number(before_end).number(length).0,
    }
}

pub fn unpack(payload: &[u8]) -> Result<(BundleRef, Span<'_>), Lie> {
    let mut p = Unpack(payload);
    let bundle = bundle(&mut p)?;
    let span = match p.flag()? {
        true => Span::Rest { from: p.number()?, validator: p.maybe(|p| p.text(SHORT))? },
        false => Span::Run { before_end: p.number()?, length: p.number()? },
    };
    p.end()?;
    Ok((bundle, span))
}

/// A limit, and how much of the archive is meant if not all.
pub fn pack_unpack_this(limit: u64, length: Option<u64>) -> Vec<u8> {
    Pack::default().number(limit).maybe(length, Pack::number).0
}

pub fn unpack_this(payload: &[u8]) -> Result<(u64, Option<u64>), Lie> {
    let mut p = Unpack(payload);
    let order = (p.number()?, p.maybe(Unpack::number)?);
    p.end()?;
    Ok(order)
}

pub(super) fn pack_bundle(pack: Pack, bundle: &BundleRef) -> Pack {
    pack.text(&bundle.at).maybe(bundle.size, Pack::number)
}

pub(super) fn bundle(p: &mut Unpack) -> Result<BundleRef, Lie> {
    Ok(BundleRef { at: p.text(SHORT)?.to_owned(), size: p.maybe(size)? })
}

pub fn pack_inside(first: bool, name: &str) -> Vec<u8> {
    Pack::default().flag(first).text(name).0
}

pub fn inside(payload: &[u8]) -> Result<(bool, &str), Lie> {
    let mut p = Unpack(payload);
    let order = (p.flag()?, p.text(SHORT)?);
    p.end()?;
    Ok(order)
}

/// A limit: any number.
pub fn limit(payload: &[u8]) -> Result<u64, Lie> {
    let mut p = Unpack(payload);
    let n = p.number()?;
    p.end()?;
    Ok(n)
}
